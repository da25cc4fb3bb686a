import type { Batch, Delivery, Fate, MaskedBatch, Receipt } from '../../src/batch.js';
import type { Sink } from '../../src/load/sink.js';
import { type IngestPorts, drain, settle } from '../../src/pipeline.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import { Run } from '../../src/run.js';
import type { BatchLimits } from '../../src/source/batching.js';
import type { QueueClient } from '../../src/source/queue-client.js';
import type { ReceiveMode, Source } from '../../src/source/source.js';
import { type SqsSource, createSource } from '../../src/source/sqs-source.js';
import type { Host } from './host.js';
import type { Oracle } from './oracle.js';
import type { Benign, Planted } from './planted.js';
import { AS_IT_IS } from '../support/opening.js';
import { fakePointers } from './fake-pointers.js';

/** How one ingester goes about it; drawn by the schedule. */
export interface IngesterSettings {
  readonly mode: ReceiveMode;
  /** Between the end of a run and the next; `continuous` cuts its runs after it. */
  readonly tickMs: number;
  readonly residenceMs: number;
  readonly receivers: number;
  readonly inFlight: number;
  readonly visibilityTimeoutS: number;
  readonly batching: BatchLimits;
}

/** What an ingester reaches. */
export interface IngesterParts {
  readonly host: Host;
  readonly client: QueueClient;
  readonly transformQueue: BatchQueue<Batch>;
  readonly loadQueue: Pick<BatchQueue<MaskedBatch>, 'states'>;
  readonly sink: Pick<Sink, 'fates' | 'letGo'>;
  readonly oracle: Oracle;
  readonly settings: IngesterSettings;
  /** As under `fifo: block`. */
  readonly holdingFails: boolean;
  readonly planted: Planted | Benign | null;
  /** Hears of every batch that is formed. */
  readonly onBatch: (batch: Batch) => void;
}

/** What a hard stop is given before the process ends all the same. */
const HARD_STOP_MS = 7_000;
const PIPELINE = 'logins';

/** One ingester process: the real source, runs, drain and settle, on ports that the oracle watches. */
export class SimIngester {
  readonly #parts: IngesterParts;
  readonly #source: SqsSource;
  readonly #soft = new AbortController();
  readonly #hard = new AbortController();
  readonly #ended: Promise<void>;
  readonly #runs = new Set<Run>();

  constructor(parts: IngesterParts) {
    const { host, client, settings } = parts;
    this.#parts = parts;
    this.#source = createSource({
      ...settings,
      client,
      clock: host.clock,
      opening: AS_IT_IS,
      pointers: fakePointers(host.clock),
      waitTimeS: 1,
      inFlightBytes: 1 << 20,
    });
    this.#ended = this.#live();
  }

  /** True when it waits for no batch. */
  get isIdle(): boolean {
    return [...this.#runs].every((run) => run.held.length === 0);
  }

  /** As a process does at a signal: softly, then hard, and then it is gone. */
  async stop(softMs: number): Promise<void> {
    const { host } = this.#parts;
    const { clock } = host;
    this.#soft.abort();
    const closed = this.#ended.then(() => this.#source.stop('soft'));
    if (!(await within(clock, softMs, closed))) {
      this.#hard.abort();
      await within(clock, HARD_STOP_MS, closed);
    }
    host.kill();
  }

  async #live(): Promise<void> {
    const { host, settings } = this.#parts;
    const finishing = new Set<Promise<void>>();
    while (!this.#soft.signal.aborted) {
      const run = this.#newRun();
      const { received, ended } = this.#carryOut(run);
      finishing.add(ended);
      void ended.then(() => finishing.delete(ended));
      if (settings.mode === 'continuous') {
        const cut = host.clock.sleep(settings.tickMs, this.#soft.signal).then(() => run.stop('cut'));
        await received;
        await Promise.race([cut, host.clock.sleep(1_000, this.#soft.signal)]);
      } else {
        await ended;
        await host.clock.sleep(settings.tickMs, this.#soft.signal);
      }
    }
    await Promise.all(finishing);
  }

  #newRun(): WatchedRun {
    const { host, oracle, planted, onBatch, settings, holdingFails } = this.#parts;
    const run = new WatchedRun(
      {
        runId: host.clock.id(),
        pipeline: PIPELINE,
        trigger: 'schedule',
        startedAt: host.clock.now(),
        partLimits: { records: settings.batching.maxMessages, bytes: 1 << 20 },
        holdingFails,
      },
      (batch, receipts) => {
        onBatch(batch);
        oracle.holds(batch.batchId, receipts);
        if (planted === 'ack_before_commit') void this.#watchedSource().ack(receipts);
      },
      planted,
    );
    return run;
  }

  /** As the ingest role does it. Neither promise rejects. */
  #carryOut(run: WatchedRun): { readonly received: Promise<void>; readonly ended: Promise<void> } {
    const { host, settings, oracle } = this.#parts;
    const { clock } = host;
    const ports: IngestPorts = {
      ...this.#parts,
      source: this.#watchedSource(),
      sink: this.#sink(run),
      clock,
      onWait: () => undefined,
    };
    const batching = { ...settings.batching, runId: run.options.runId, pipeline: PIPELINE, clock };
    const cancel = (): void => run.stop('canceled');
    this.#soft.signal.addEventListener('abort', cancel);
    this.#runs.add(run);
    const draining = drain(ports, run, { mode: settings.mode, batching }, this.#hard.signal);
    const settling = settle(ports, run, settings, this.#hard.signal);
    const ended = Promise.allSettled([draining, settling]).then(() => {
      this.#soft.signal.removeEventListener('abort', cancel);
      this.#runs.delete(run);
      if (run.finished) oracle.completed(run.report(clock.now()));
    });
    return { received: draining.catch(() => undefined), ended };
  }

  /** The source, whose receipts the oracle sees before they are spent. */
  #watchedSource(): Source {
    const { oracle, planted } = this.#parts;
    const source = this.#source;
    return {
      receive: (mode, signal, halt) => {
        const deliveries = source.receive(mode, signal, halt);
        return planted === 'group_split' ? oneByOne(deliveries) : deliveries;
      },
      depth: () => source.depth(),
      ack: (receipts) => {
        oracle.spends('ack', receipts);
        return source.ack(receipts);
      },
      release: async (receipts, delayMs) => {
        oracle.spends('release', receipts);
        return source.release(receipts, delayMs);
      },
    };
  }

  #sink(run: WatchedRun): Pick<Sink, 'fates' | 'letGo'> {
    const { sink, planted } = this.#parts;
    if (planted === 'held_acked') {
      const nothingHeld = (fates: readonly Fate[]): readonly Fate[] =>
        fates.map((fate) => ({ ...fate, held: [] }));
      return {
        fates: async (ids) => nothingHeld(await sink.fates(ids)),
        letGo: async (batches) => nothingHeld(await sink.letGo(batches)),
      };
    }
    if (planted !== 'release_before_fate') return sink;
    return {
      fates: (ids) => sink.fates(ids),
      letGo: async (batches) => {
        const ids = new Set(batches.map((batch) => batch.batchId));
        const receipts = run.held.flatMap((held) => (ids.has(held.batchId) ? held.receipts : []));
        await this.#watchedSource().release(receipts, () => 0);
        return sink.letGo(batches);
      },
    };
  }
}

/** The real run, which tells what it holds. */
class WatchedRun extends Run {
  readonly #onHold: (batch: Batch, receipts: readonly Receipt[]) => void;
  readonly #planted: Planted | Benign | null;

  constructor(
    options: Run['options'],
    onHold: (batch: Batch, receipts: readonly Receipt[]) => void,
    planted: Planted | Benign | null,
  ) {
    super(options);
    this.#onHold = onHold;
    this.#planted = planted;
  }

  override hold(batch: Batch, receipts: readonly Receipt[], now: number): void {
    this.#onHold(batch, receipts);
    const asWhole = ({ more: _, ...receipt }: Receipt): Receipt => receipt;
    super.hold(batch, this.#planted === 'acked_after_first_part' ? receipts.map(asWhole) : receipts, now);
  }

  override settle(fate: Fate): void {
    const other = this.held.find((held) => held.batchId !== fate.batchId);
    const own = this.held.find((held) => held.batchId === fate.batchId);
    if (this.#planted === 'wrong_receipts' && own && other) {
      super.settle({ ...fate, batchId: other.batchId });
    } else if (this.#planted === 'released_part_forgotten' && own?.receipts.every(({ more }) => more)) {
      super.settle({ ...fate, state: 'committed', held: [] });
    } else super.settle(fate);
  }
}

async function* oneByOne(
  deliveries: AsyncIterable<readonly Delivery[]>,
): AsyncGenerator<readonly Delivery[], void, undefined> {
  for await (const some of deliveries) for (const one of some) yield [one];
}

async function within(clock: Host['clock'], ms: number, work: Promise<unknown>): Promise<boolean> {
  const timer = new AbortController();
  const isInTime = await Promise.race([
    work.then(() => true),
    clock.sleep(ms, timer.signal).then(() => false),
  ]);
  timer.abort();
  return isInTime;
}
