import type { PipelineConfig } from '../config/config.js';
import { tablesOf } from '../config/tables.js';
import { type ErrorCode, asPipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { checkSchema } from '../load/migrate.js';
import { checkTarget, targetSpec } from '../load/target.js';
import { PayloadSealer } from '../masking/seal.js';
import { createSqsClient } from '../source/sqs.js';
import { type PoolUser, databaseUrls, openPool } from './database.js';
import type { Deployment } from './deployment.js';
import { openKeyring } from './keyring.js';
import { checkQueues, checkSource, sourceWarnings } from './preflight.js';
import { labelledQueues } from './queue-labels.js';
import { openQueues } from './queues.js';

/** Something found wrong, or doubtful, in what a configuration names. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  /** What was looked at: `keys and queue`, `database` or one of `database.roles`, or `table` and `source` of a pipeline. */
  readonly subject: string;
  /** Null for findings about a column or a setting rather than an error. */
  readonly code: ErrorCode | null;
  readonly message: string;
}

/** Looks once at everything that the configuration names, and changes nothing. Never throws what it finds. */
export async function inspect(
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
  releases: Releases,
): Promise<readonly Finding[]> {
  const connect = (user: PoolUser): Promise<PostgresPool> =>
    releases.acquire(openPool(deployment, user, 'maskline-validate'), (open) => open.close());
  const looks = [
    look('keys and queue', async () => {
      const sealer = new PayloadSealer(await openKeyring(deployment));
      const opened = [];
      for (const pipeline of pipelines) {
        const queues = await releases.acquire(
          await openQueues(deployment, sealer, pipeline.name),
          ({ transformQueue, loadQueue }) => Promise.all([transformQueue.close(), loadQueue.close()]),
        );
        opened.push({ pipeline, queues });
      }
      await checkQueues(deployment, opened);
      return [];
    }),
    ...[...databaseUrls(deployment.config)].map(([key, user]) =>
      look(key === 'database.url' ? 'database' : key, async () => {
        await checkSchema(await connect(user));
        return [];
      }),
    ),
    ...pipelines.map((pipeline) =>
      look(`table of ${pipeline.name}`, async () => {
        const pool = await connect('load');
        const tables = tablesOf(pipeline);
        const checks = tables.map((table) => checkTarget(pool, targetSpec(table, table.target)));
        return (await Promise.all(checks)).flat().map(({ severity, message }) => ({ severity, message }));
      }),
    ),
    ...pipelines.flatMap((pipeline) =>
      labelledQueues(pipeline).map(({ label, queue }) =>
        look(`source of ${label}`, async () => {
          const client = await releases.acquire(createSqsClient(queue), (open) => open.close());
          const attributes = await checkSource(deployment, pipeline, client);
          const warnings = sourceWarnings(pipeline, queue.queue, attributes);
          return warnings.map((message) => ({ severity: 'warning', message }));
        }),
      ),
    ),
    ...pipelines.map((pipeline) =>
      look(`source of ${pipeline.name}`, async () => {
        await checkBuckets(pipeline, releases);
        return [];
      }),
    ),
  ];
  return (await Promise.all(looks)).flat();
}

/** Throws `source_unfit` for a bucket that is missing or forbidden, `s3_unavailable` when S3 can't be reached. */
async function checkBuckets({ source }: PipelineConfig, releases: Releases): Promise<void> {
  if (source.s3 === null) return;
  const { createS3Store } = await import('../source/s3.js');
  const store = await releases.acquire(createS3Store(source.s3), (open) => open.close());
  for (const bucket of source.s3.buckets) await store.check(bucket);
}

async function look(
  subject: string,
  at: () => Promise<readonly Pick<Finding, 'severity' | 'message'>[]>,
): Promise<readonly Finding[]> {
  try {
    return (await at()).map((found) => ({ ...found, subject, code: null }));
  } catch (thrown) {
    const { code, message } = asPipelineError(thrown);
    return [{ severity: 'error', subject, code, message }];
  }
}
