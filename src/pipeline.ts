// SQS ─drain→ transform queue ─transform→ load queue ─load→ Postgres ─settle→ ack to SQS
//
//   1. No message is acked before its records are committed.
//   2. No record is committed twice: the ledger decides, not the queues.
//   3. Nothing unmasked leaves `transform`.
//
// A stage throws to be retried, and returns when the batch needs nothing more from it. Outages are waited out here:
// they are nobody's fault and spend no attempt.

import type { Batch, BatchReport, Fate, MaskedBatch } from './batch.js';
import type { Clock } from './clock.js';
import { failedOrMissing, overdue, releaseDelayMs } from './letting-go.js';
import type { HeldBatch, Sink } from './load/sink.js';
import type { MaskCounts, Masking } from './masking/mask.js';
import { outlast, persist } from './policy.js';
import type { BatchQueue } from './queue/queue.js';
import type { Run } from './run.js';
import { type BatchingOptions, formBatches } from './source/batching.js';
import type { ReceiveMode, Source } from './source/source.js';

/** What every stage needs. */
interface StagePorts {
  readonly clock: Clock;
  /** Hears of every wait for something that is away. */
  readonly onWait: (error: unknown) => void;
}

/** What an ingester needs. It asks the load queue only for the state of its batches. */
export interface IngestPorts extends StagePorts {
  readonly source: Source;
  readonly transformQueue: Pick<BatchQueue<Batch>, 'add' | 'states'>;
  readonly loadQueue: Pick<BatchQueue<MaskedBatch>, 'states'>;
  readonly sink: Pick<Sink, 'fates' | 'letGo'>;
}

/** What a transform worker needs. */
export interface TransformPorts extends StagePorts {
  readonly masker: { mask(batch: Batch): Masking | Promise<Masking> };
  readonly loadQueue: Pick<BatchQueue<MaskedBatch>, 'add'>;
}

/** What a load worker needs. */
export interface LoadPorts extends StagePorts {
  readonly sink: Pick<Sink, 'commit'>;
}

/** How often the ingester asks what became of its batches: one primary-key query a time. */
const POLL_MS = 200;
/** How often it asks the queues, which answer one id at a time. */
const QUEUE_CHECK_MS = 5_000;

/** Receives until the queue is empty or the run is stopped, and hands on batches whose receipts the run holds. */
export async function drain(
  ports: IngestPorts,
  run: Run,
  options: { readonly mode: ReceiveMode; readonly batching: BatchingOptions },
  hardStop: AbortSignal,
): Promise<void> {
  const { source, transformQueue, clock, onWait } = ports;
  const failures: unknown[] = [];
  const deliveries = source.receive(options.mode, run.intake, AbortSignal.any([run.halt, hardStop]));
  try {
    for await (const { batch, receipts } of formBatches(deliveries, options.batching)) {
      run.hold(batch, receipts, clock.elapsed());
      // Once adding has failed, the rest is only held: `settle` lets it go.
      if (failures.length > 0) continue;
      await outlast(clock, () => transformQueue.add(batch), hardStop, onWait).catch((error: unknown) => {
        failures.push(error);
        run.stop('failed');
      });
      await run.room(hardStop);
    }
  } finally {
    run.drained();
  }
  if (failures.length > 0) throw failures[0];
}

/** Masks a batch and hands it on. A record that can't be masked becomes a rejection; a missing key throws. */
export async function transform(
  ports: TransformPorts,
  batch: Batch,
  hardStop: AbortSignal,
): Promise<MaskCounts> {
  const { masked, counts } = await ports.masker.mask(batch);
  await outlast(ports.clock, () => ports.loadQueue.add(masked), hardStop, ports.onWait);
  return counts;
}

/** Commits a batch in one transaction: fate, ledger, rows, quarantine. Null: its fate was decided before. */
export async function load(
  ports: LoadPorts,
  batch: MaskedBatch,
  hardStop: AbortSignal,
): Promise<BatchReport | null> {
  return outlast(ports.clock, () => ports.sink.commit(batch), hardStop, ports.onWait);
}

/** Waits for the fate of every batch the run holds, and only then acks or releases its messages. */
export async function settle(
  ports: IngestPorts,
  run: Run,
  options: { readonly residenceMs: number },
  hardStop: AbortSignal,
): Promise<void> {
  const { sink, clock, onWait } = ports;
  let askQueuesAt = clock.elapsed() + QUEUE_CHECK_MS;
  while (!run.finished) {
    const stopping = hardStop.aborted;
    const look = async (): Promise<void> => {
      const { held } = run;
      const fates = held.length === 0 ? [] : await sink.fates(held.map((batch) => batch.batchId));
      await spend(ports, run, fates, stopping);
      if (run.held.length === 0) return;
      const now = clock.elapsed();
      await letGo(ports, run, stopping ? run.held : overdue(run.held, now, options.residenceMs), stopping);
      if (now < askQueuesAt) return;
      askQueuesAt = now + QUEUE_CHECK_MS;
      await letGo(ports, run, await failedOrMissing(ports, run.held, now), stopping);
    };
    await persist(clock, look, hardStop, onWait).catch((error: unknown) => {
      run.stop('failed');
      throw error;
    });
    if (!run.finished) await clock.sleep(POLL_MS, stopping ? undefined : hardStop);
  }
}

/** Gives batches the fate `released`, unless they have one: whichever it is, it then holds for their messages. */
async function letGo(
  ports: IngestPorts,
  run: Run,
  batches: readonly HeldBatch[],
  stopping: boolean,
): Promise<void> {
  if (batches.length > 0) await spend(ports, run, await ports.sink.letGo(batches), stopping);
}

/** The one place where receipts are spent. */
async function spend(ports: IngestPorts, run: Run, fates: readonly Fate[], stopping: boolean): Promise<void> {
  for (const fate of fates) run.settle(fate);
  const { acked, released } = run.takeDue();
  await Promise.all([
    ports.source.release(released, (receipt) => (stopping ? 0 : releaseDelayMs(receipt))),
    ports.source.ack(acked),
  ]);
}
