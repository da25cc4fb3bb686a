import type { Batch, MaskedBatch } from '../batch.js';
import { PipelineError } from '../errors.js';
import type { Stage } from '../ops/events.js';
import type { OnQueueEvent } from '../queue/attempts.js';
import type { BoardQueue } from '../queue/board.js';
import type { BullQueue } from '../queue/bullmq.js';
import type { QueueServer } from '../queue/bullmq-link.js';
import type { FailedJobs } from '../queue/failed-jobs.js';
import { MemoryQueue } from '../queue/memory.js';
import { type Codec, batchCodec, maskedCodec } from '../queue/payload.js';
import type { BatchQueue, QueueMemory, Sealer } from '../queue/queue.js';
import type { Deployment } from './deployment.js';
import { queueWatch } from './watch-ports.js';

/** The two queues of a pipeline. */
export interface PipelineQueues {
  readonly transformQueue: BatchQueue<Batch> & FailedJobs<Batch>;
  readonly loadQueue: BatchQueue<MaskedBatch> & FailedJobs<MaskedBatch>;
  /** How full the memory of their server is; null where it has no such limit, or does not tell. */
  readonly memory: () => Promise<QueueMemory | null>;
  /** Both as a dashboard may show them; none for queues in memory. */
  readonly boards: () => readonly BoardQueue[];
  /** BullMQ's own metrics of both, in the exposition format of Prometheus; none for queues in memory. */
  readonly expositions: () => Promise<readonly string[]>;
}

/** For who only looks at queues: what would seal or open a payload is refused. */
export const withoutKeys: Sealer = { keyring: 'none', seal: refuseKeys, open: refuseKeys };

function refuseKeys(): never {
  throw new PipelineError('key_unavailable', 'this process opens no payloads, and has no keys');
}

/** Opens a pipeline's queues on the configured backend; nothing connects yet. */
export async function openQueues(
  deployment: Deployment,
  sealer: Sealer,
  pipeline: string,
): Promise<PipelineQueues> {
  const transform = await openQueue(deployment, sealer, pipeline, 'transform', batchCodec);
  const load = await openQueue(deployment, sealer, pipeline, 'load', maskedCodec);
  return {
    transformQueue: transform,
    loadQueue: load,
    memory: async () => (transform instanceof MemoryQueue ? null : transform.memory()),
    boards: () => [transform, load].flatMap((queue) => (queue instanceof MemoryQueue ? [] : [queue.board])),
    expositions: () =>
      Promise.all(
        [transform, load].flatMap((queue) => (queue instanceof MemoryQueue ? [] : [queue.exposition()])),
      ),
  };
}

/** How the queue's server is reached. */
export function queueServer({ queue }: Pick<Deployment['config'], 'queue'>): QueueServer {
  const { url, tls, sentinel } = queue;
  return {
    url: url.reveal(),
    tls,
    sentinels: sentinel && { ...sentinel, password: sentinel.password?.reveal() ?? null },
  };
}

async function openQueue<T extends Batch | MaskedBatch>(
  { config, clock, events, onWait, loops }: Deployment,
  sealer: Sealer,
  pipeline: string,
  stage: Stage,
  codec: Codec<T>,
): Promise<BullQueue<T> | MemoryQueue<T>> {
  const { backend, prefix, keepFailed } = config.queue;
  const onEvent: OnQueueEvent = (event) => {
    if (event.kind === 'trouble') return onWait(event.error);
    if (event.kind !== 'attempt_failed') return;
    const { batchId, error, attempt, final } = event;
    events.emit('job_failed', { pipeline, stage, batchId, code: error.code, attempt, final });
  };
  if (backend === 'memory') return new MemoryQueue<T>({ clock, keepFailed, onEvent });
  // BullMQ takes a quarter of a second to load, which queues in memory can do without.
  const { createBullQueue } = await import('../queue/bullmq.js');
  const name = `${stage}.${pipeline}`;
  return createBullQueue<T>({
    ...queueServer(config),
    backend,
    prefix,
    name,
    codec,
    sealer,
    clock,
    keepFailed,
    onEvent,
    watch: queueWatch(loops, name),
  });
}
