import type { Batch, MaskedBatch } from '../batch.js';
import type { Stage } from '../ops/events.js';
import type { OnQueueEvent } from '../queue/attempts.js';
import { createBullQueue } from '../queue/bullmq.js';
import { MemoryQueue } from '../queue/memory.js';
import { type Codec, batchCodec, maskedCodec } from '../queue/payload.js';
import type { BatchQueue, Sealer } from '../queue/queue.js';
import type { Deployment } from './deployment.js';

/** The two queues of a pipeline. */
export interface PipelineQueues {
  readonly transformQueue: BatchQueue<Batch>;
  readonly loadQueue: BatchQueue<MaskedBatch>;
}

/** Opens a pipeline's queues on the configured backend; nothing connects yet. */
export function openQueues(deployment: Deployment, sealer: Sealer, pipeline: string): PipelineQueues {
  return {
    transformQueue: openQueue(deployment, sealer, pipeline, 'transform', batchCodec),
    loadQueue: openQueue(deployment, sealer, pipeline, 'load', maskedCodec),
  };
}

function openQueue<T extends Batch | MaskedBatch>(
  { config, clock, events, onWait }: Deployment,
  sealer: Sealer,
  pipeline: string,
  stage: Stage,
  codec: Codec<T>,
): BatchQueue<T> {
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
