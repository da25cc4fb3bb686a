import type { Batch, BatchReport } from '../batch.js';
import type { PipelineConfig } from '../config/config.js';
import type { Service } from '../lifecycle.js';
import type { Sink } from '../load/sink.js';
import { compileMasker } from '../masking/mask.js';
import type { Keyring } from '../masking/keyring.js';
import { load, transform } from '../pipeline.js';
import type { Deployment } from './deployment.js';
import type { PipelineQueues } from './queues.js';

/** Batches that one worker masks at once: masking itself holds the thread, so more only overlaps the queue's round trips. */
export const TRANSFORM_CONCURRENCY = 2;
/** Transactions of one load worker at once: Postgres and the network work while it waits. */
export const LOAD_CONCURRENCY = 2;

/** Masks batches of one pipeline until stopped. */
export function startTransform(
  deployment: Deployment,
  pipeline: PipelineConfig,
  queues: PipelineQueues,
  keyring: Keyring,
  concurrency = TRANSFORM_CONCURRENCY,
): Service {
  const { clock, events, onWait } = deployment;
  const ports = {
    masker: compileMasker(pipeline.policy, keyring, clock),
    loadQueue: queues.loadQueue,
    clock,
    onWait,
  };
  const handle = async (batch: Batch, hardStop: AbortSignal): Promise<void> => {
    const startedAt = clock.now();
    const counts = await transform(ports, batch, hardStop);
    const { batchId, runId } = batch;
    events.emit('batch_masked', {
      ...counts,
      pipeline: pipeline.name,
      batchId,
      runId,
      ms: clock.now() - startedAt,
    });
  };
  return queues.transformQueue.process(handle, { concurrency });
}

/** Loads batches of one pipeline until stopped. */
export function startLoad(
  deployment: Deployment,
  pipeline: PipelineConfig,
  queues: PipelineQueues,
  sink: Pick<Sink, 'commit'>,
  concurrency = LOAD_CONCURRENCY,
): Service {
  const { clock, events, onWait } = deployment;
  const { schema, table } = pipeline.target;
  return queues.loadQueue.process(
    async (batch, hardStop) => {
      const report: BatchReport | null = await load({ sink, clock, onWait }, batch, hardStop);
      if (report === null) return;
      const oldest = Math.min(...[...batch.keys, ...batch.rejections].map((key) => key.sentAt));
      const lagMs = Number.isFinite(oldest) ? clock.now() - oldest : null;
      events.emit('batch_loaded', { ...report, table: `${schema}.${table}`, lagMs });
    },
    { concurrency },
  );
}
