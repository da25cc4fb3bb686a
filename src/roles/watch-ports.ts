// The calls by which a process reaches what is outside of it, as loops that are watched. Every loop of a role turns by
// one of these or by the clock: looks of intakes and settling, presence, maintenance and schedules by statements,
// receiving and the heartbeat of receipts by calls to SQS, handlers and what fetches their batches by the queue.

import type { PipelineConfig } from '../config/config.js';
import type { PostgresPool } from '../load/connection.js';
import type { QueueWatch } from '../queue/queue.js';
import type { QueueClient } from '../source/queue-client.js';
import type { Loop, Loops } from './watch.js';

/** A connection (5 s), its settings and the statement (each 70 s at most: statement_timeout, and 10 s for the answer). */
const STATEMENT_LIMIT_MS = 180_000;
/** Many statements, each within those limits; and as long as a batch may be without a fate before it is let go. */
const WORK_LIMIT_MS = 15 * 60_000;
/** A call answers or fails within 5 s; a worker that is cut off has noticed after 15 s, and is back in seconds. */
const QUEUE_LIMIT_MS = 90_000;
/** The longest poll (20 s) and 10 s for its answer; three tries of another call; and as much again for slow bodies. */
const SQS_LIMIT_MS = 90_000;

/** The same pool, watched. */
export function watchedPool(loops: Loops, pool: PostgresPool): PostgresPool {
  const need = 'postgres';
  const statements = loops.watch({ name: 'statements', need, limitMs: STATEMENT_LIMIT_MS });
  const transactions = loops.watch({ name: 'transactions', need, limitMs: WORK_LIMIT_MS });
  return {
    query: (text, values) => statements.turn(() => pool.query(text, values)),
    withClient: (work, place) => transactions.turn(() => pool.withClient(work, place)),
    transaction: (work, place) => transactions.turn(() => pool.transaction(work, place)),
    close: () => pool.close(),
  };
}

/** The same client of the queue that is called so, watched. */
export function watchedClient(loops: Loops, label: string, client: QueueClient): QueueClient {
  const watch = (name: string): Loop =>
    loops.watch({ name: `${name} ${label}`, need: `sqs ${label}`, limitMs: SQS_LIMIT_MS });
  const [receive, acks, visibility] = [watch('receive'), watch('ack'), watch('visibility')];
  return {
    queue: client.queue,
    receive: (options, signal) => receive.turn(() => client.receive(options, signal)),
    deleteBatch: (handles) => acks.turn(() => client.deleteBatch(handles)),
    changeVisibilityBatch: (changes) => visibility.turn(() => client.changeVisibilityBatch(changes)),
    // Asked now and then, by whoever looks: it is no loop.
    attributes: () => client.attributes(),
    close: () => client.close(),
  };
}

/** Watches the calls and the consumer of a queue. */
export function queueWatch(loops: Loops, queue: string): QueueWatch {
  const watch = (name: string): Loop =>
    loops.watch({ name: `${name} ${queue}`, need: 'queue', limitMs: QUEUE_LIMIT_MS });
  const [calls, fetches] = [watch('queue'), watch('fetch')];
  return { call: (work) => calls.turn(work), fetch: () => fetches.begin() };
}

/** Watches the handlers of a stage, by what they can't go on without. */
export function handlerLoop(
  loops: Loops,
  stage: 'transform' | 'load',
  pipeline: Pick<PipelineConfig, 'name'> & { readonly limits: Pick<PipelineConfig['limits'], 'residenceMs'> },
): Loop {
  return loops.watch({
    name: `${stage} ${pipeline.name}`,
    need: stage === 'load' ? 'postgres' : 'queue',
    limitMs: Math.max(WORK_LIMIT_MS, pipeline.limits.residenceMs),
  });
}
