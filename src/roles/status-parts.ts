import type { PipelineConfig } from '../config/config.js';
import type { Releases } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { queueMissing } from '../source/sqs-errors.js';
import { createSqsClient } from '../source/sqs.js';
import type { QueueDepth } from '../source/source.js';
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
    const client = await releases.acquire(createSqsClient(pipeline.source.sqs), (opened) => opened.close());
    const source = {
      depth: async (): Promise<QueueDepth> => {
        const attributes = await client.attributes();
        if (attributes === null) throw queueMissing(client.queue);
        return attributes;
      },
    };
    if (deployment.config.queue.backend === 'memory') return { pipeline, queues: null, source };
    const queues = await releases.acquire(
      await openQueues(deployment, withoutKeys, pipeline.name),
      ({ transformQueue, loadQueue }) => Promise.all([transformQueue.close(), loadQueue.close()]),
    );
    return { pipeline, queues, source };
  });
  return { pool, pipelines: await Promise.all(open) };
}
