import type { Batch, MaskedBatch } from '../batch.js';
import type { Stage } from '../ops/events.js';
import type { OnQueueEvent } from '../queue/attempts.js';
import { BullQueue, createBullQueue } from '../queue/bullmq.js';
import { MemoryQueue } from '../queue/memory.js';
import { type Codec, batchCodec, maskedCodec } from '../queue/payload.js';
import type { BatchQueue, Sealer } from '../queue/queue.js';
import type { Deployment } from './deployment.js';

/** The two queues of a pipeline. */
export interface PipelineQueues {
  readonly transformQueue: BatchQueue<Batch>;
  readonly loadQueue: BatchQueue<MaskedBatch>;
  /** BullMQ's own metrics of both, in the exposition format of Prometheus; none for queues in memory. */
  readonly expositions: () => Promise<readonly string[]>;
}

/** Opens a pipeline's queues on the configured backend; nothing connects yet. */
export function openQueues(deployment: Deployment, sealer: Sealer, pipeline: string): PipelineQueues {
  const transform = openQueue(deployment, sealer, pipeline, 'transform', batchCodec);
  const load = openQueue(deployment, sealer, pipeline, 'load', maskedCodec);
  return {
    transformQueue: transform,
    loadQueue: load,
    expositions: () =>
      Promise.all(
        [transform, load].flatMap((queue) => (queue instanceof BullQueue ? [queue.exposition()] : [])),
      ),
  };
}

function openQueue<T extends Batch | MaskedBatch>(
  { config, clock, events, onWait }: Deployment,
  sealer: Sealer,
  pipeline: string,
  stage: Stage,
  codec: Codec<T>,
): BullQueue<T> | MemoryQueue<T> {
  const { backend, url, prefix, keepFailed } = config.queue;
  const onEvent: OnQueueEvent = (event) => {
    if (event.kind === 'trouble') return onWait(event.error);
    if (event.kind !== 'attempt_failed') return;
    const { batchId, error, attempt, final } = event;
    events.emit('job_failed', { pipeline, stage, batchId, code: error.code, attempt, final });
  };
  if (backend === 'memory') return new MemoryQueue<T>({ clock, keepFailed, onEvent });
  const name = `${stage}.${pipeline}`;
  return createBullQueue<T>({
    url: url.reveal(),
    backend,
    prefix,
    name,
    codec,
    sealer,
    clock,
    keepFailed,
    onEvent,
  });
}
