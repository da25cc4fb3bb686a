import type { PipelineConfig } from '../config/config.js';
import type { Releases } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { createSqsClient } from '../source/sqs.js';
import type { Deployment } from './deployment.js';
import { type PipelineQueues, openQueues, withoutKeys } from './queues.js';
import type { StatusParts } from './status.js';

/** What a status asks, with the whole queues. */
export interface OpenParts extends StatusParts {
  readonly pipelines: readonly (StatusParts['pipelines'][number] & {
    readonly queues: PipelineQueues | null;
  })[];
}

/** Opens what a status asks, for a process that has no part in the work: without keys, and connecting only when asked. */
export async function openStatusParts(
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
  { pool, releases }: { readonly pool: Pick<PostgresPool, 'query'>; readonly releases: Releases },
): Promise<OpenParts> {
  const open = pipelines.map(async (pipeline): Promise<OpenParts['pipelines'][number]> => {
    const clients = await Promise.all(
      pipeline.source.sqs.queues.map((queue) =>
        releases.acquire(createSqsClient(queue), (opened) => opened.close()),
      ),
    );
    if (deployment.config.queue.backend === 'memory') return { pipeline, queues: null, clients };
    const queues = await releases.acquire(
      await openQueues(deployment, withoutKeys, pipeline.name),
      ({ transformQueue, loadQueue }) => Promise.all([transformQueue.close(), loadQueue.close()]),
    );
    return { pipeline, queues, clients };
  });
  return { pool, pipelines: await Promise.all(open) };
}
