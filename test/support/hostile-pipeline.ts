// The whole pipeline in one process: its four functions, queues in memory, a real Postgres, and a source that hands
// out any body there is, also those that SQS would refuse to take.

import type { Batch, BatchReport, Delivery, MaskedBatch, Receipt, RunReport } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { createPool } from '../../src/load/connection.js';
import { createPostgresSink } from '../../src/load/postgres.js';
import type { Keyring } from '../../src/masking/keyring.js';
import { compileMasker } from '../../src/masking/mask.js';
import type { ColumnPolicy } from '../../src/masking/methods.js';
import { sealMasked } from '../../src/masking/quarantined.js';
import { drain, load, settle, transform } from '../../src/pipeline.js';
import type { QueueEvent } from '../../src/queue/attempts.js';
import { MemoryQueue } from '../../src/queue/memory.js';
import { Run } from '../../src/run.js';
import type { Source } from '../../src/source/source.js';
import { openMessage } from '../../src/source/unwrap.js';
import { OPENING } from './hostile-check.js';

/** What a drain of all bodies came to. */
export interface Drained {
  readonly report: RunReport;
  /** Of each committed batch. */
  readonly batches: readonly BatchReport[];
  /** Messages by what became of them in the source. */
  readonly acked: readonly string[];
  readonly released: readonly string[];
  /** What the queues told of failed attempts. */
  readonly events: readonly QueueEvent[];
}

/** What to drain, and where to. */
export interface DrainOptions {
  readonly database: string;
  readonly policy: ColumnPolicy;
  readonly table: string;
  readonly keyring: Keyring;
  readonly bodies: readonly string[];
  readonly sentAt: number;
  readonly maxMessages: number;
}

const PER_RECEIVE = 10;
const NEVER = new AbortController().signal;

/** Hands out each body once; message i is `message-i`. */
class OnceSource implements Source {
  readonly acked: string[] = [];
  readonly released: string[] = [];
  readonly #deliveries: readonly Delivery[];

  constructor(bodies: readonly string[], sentAt: number) {
    this.#deliveries = bodies.map((body, i) => {
      const messageId = `message-${i}`;
      const receipt = {
        messageId,
        handle: messageId,
        receiveCount: 1,
        receivedAt: sentAt,
        bytes: body.length,
      };
      return {
        envelope: { messageId, body, sentAt, receivedAt: sentAt, attributes: {} },
        records: openMessage(messageId, body, OPENING).records,
        receipt,
      };
    });
  }

  async *receive(): AsyncGenerator<readonly Delivery[]> {
    for (let from = 0; from < this.#deliveries.length; from += PER_RECEIVE)
      yield this.#deliveries.slice(from, from + PER_RECEIVE);
  }

  async ack(receipts: readonly Receipt[]): Promise<void> {
    this.acked.push(...receipts.map((receipt) => receipt.messageId));
  }

  async release(receipts: readonly Receipt[]): Promise<void> {
    this.released.push(...receipts.map((receipt) => receipt.messageId));
  }

  async depth() {
    return { visible: 0, inFlight: 0, delayed: 0 };
  }
}

/** Drains the bodies into the table, as `run all` would, and waits until every message is settled. */
export async function drainBodies(options: DrainOptions): Promise<Drained> {
  const { database, policy, table, keyring, bodies, sentAt, maxMessages } = options;
  const clock = systemClock;
  const events: QueueEvent[] = [];
  const queueOptions = { clock, onEvent: (event: QueueEvent) => void events.push(event) };
  const transformQueue = new MemoryQueue<Batch>(queueOptions);
  const loadQueue = new MemoryQueue<MaskedBatch>(queueOptions);
  const pool = createPool({ url: database, applicationName: 'maskline-test' });
  const sink = createPostgresSink({
    pool,
    target: { schema: 'public', table },
    sealer: { seal: (id, plain) => sealMasked(keyring, id, plain) },
    paths: new Map(policy.columns.map((column) => [column.name, column.path])),
  });
  const source = new OnceSource(bodies, sentAt);
  const stage = { clock, onWait: () => undefined };
  const masker = compileMasker(policy, keyring, clock);
  const batches: BatchReport[] = [];
  const workers = [
    transformQueue.process(
      async (batch, stop) => void (await transform({ ...stage, masker, loadQueue }, batch, stop)),
      {
        concurrency: 2,
      },
    ),
    loadQueue.process(
      async (batch, stop) => {
        const report = await load({ ...stage, sink }, batch, stop);
        if (report) batches.push(report);
      },
      { concurrency: 2 },
    ),
  ];
  const { pipeline } = policy;
  const run = new Run({ runId: clock.id(), pipeline, trigger: 'drain', startedAt: clock.now() });
  const batching = {
    maxMessages,
    maxBytes: 64 << 20,
    lingerMs: 10_000,
    runId: run.options.runId,
    pipeline,
    clock,
  };
  const ports = { ...stage, source, transformQueue, loadQueue, sink };
  try {
    await Promise.all([
      drain(ports, run, { mode: 'until_empty', batching }, NEVER),
      settle(ports, run, { residenceMs: 600_000 }, NEVER),
    ]);
    return {
      report: run.report(clock.now()),
      batches,
      acked: source.acked,
      released: source.released,
      events,
    };
  } finally {
    await Promise.all(workers.map((worker) => worker.stop('soft')));
    await Promise.all([transformQueue.close(), loadQueue.close()]);
    await pool.close();
  }
}
