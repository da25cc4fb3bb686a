import { statSync } from 'node:fs';
import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import { SUBSET_FORMAT } from '../masking/keyring-subset.js';
import { readKeyFile } from '../masking/keyring.js';
import type { Deployment } from '../roles/deployment.js';
import type { Problem } from '../ops/status.js';
import { openKeyring } from '../roles/keyring.js';
import { queueServer } from '../roles/queues.js';
import { openStatusParts } from '../roles/status-parts.js';
import { collectStatus } from '../roles/status.js';
import { probeQueue } from '../source/sqs-probe.js';
import { PostgresQuestions } from './ask-postgres.js';
import { fact } from './fact.js';
import type { Facts, HostFacts, KeyringFacts, SourceFacts } from './facts.js';

/** AWS KMS, where it has the key-encryption key, is not waited for as at a start. */
const KMS_LIMIT_MS = 5_000;
/** Of a file's mode; the rest is its type. */
const PERMISSIONS = 0o777;

/**
 * Asks everything that the configuration names, all at once, and changes nothing. Never rejects: what does not answer is a
 * fact too.
 */
export async function askAll(
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
  host: HostFacts,
  releases: Releases,
): Promise<Facts> {
  const { config } = deployment;
  const postgres = new PostgresQuestions(deployment, releases);
  const [databases, tables, processes, kids, keyring, redis, sources, buckets, work] = await Promise.all([
    postgres.databases(),
    postgres.tables(pipelines),
    postgres.processes(),
    postgres.kids(pipelines),
    askKeyring(deployment),
    askRedis(deployment),
    askSources(deployment, pipelines),
    askBuckets(pipelines, releases),
    askWork(deployment, pipelines, postgres, releases),
  ]);
  const asked = { databases, tables, processes, kids, keyring, redis, sources, buckets, ...work };
  return { config, pipelines, host, ...asked };
}

async function askKeyring({ config, environment }: Deployment): Promise<KeyringFacts> {
  const { file } = config.keyring;
  const opened = await fact('AWS KMS', 'kms_unavailable', async () => {
    await openKeyring({ config: { keyring: config.keyring, startupTimeoutMs: KMS_LIMIT_MS }, environment });
    return true as const;
  });
  return { file, ...ownershipOf(file), states: statesOf(file), opened };
}

function ownershipOf(file: string): Pick<KeyringFacts, 'mode' | 'isForeign'> {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) return { mode: null, isForeign: false };
  return { mode: found.mode & PERMISSIONS, isForeign: found.uid !== process.getuid?.() };
}

/** Of a file that can't be read nothing is known; opening it says why. */
function statesOf(file: string): KeyringFacts['states'] {
  try {
    const read = readKeyFile(file);
    const kids = read.format === SUBSET_FORMAT ? read.kids : read.keys;
    return new Map(kids.map(({ kid, state }) => [kid, state]));
  } catch (error) {
    if (error instanceof PipelineError) return new Map();
    throw error;
  }
}

async function askRedis({ config, clock }: Deployment): Promise<Facts['redis']> {
  if (config.queue.backend !== 'redis') return null;
  return fact('Redis', 'redis_unavailable', async () => {
    const { describeRedis } = await import('../queue/bullmq-check.js');
    return describeRedis(queueServer(config), clock);
  });
}

function askSources(
  { clock }: Deployment,
  pipelines: readonly PipelineConfig[],
): Promise<readonly SourceFacts[]> {
  return Promise.all(
    pipelines.flatMap((pipeline) =>
      pipeline.source.sqs.queues.map(async (queue) => ({
        pipeline,
        queue: queue.queue,
        probe: await fact(`SQS queue ${queue.queue}`, 'sqs_unavailable', () => probeQueue(queue, clock)),
      })),
    ),
  );
}

function askBuckets(pipelines: readonly PipelineConfig[], releases: Releases): Promise<Facts['buckets']> {
  return Promise.all(
    pipelines.flatMap(({ name, source: { s3 } }) => {
      if (s3 === null) return [];
      const look = async (): Promise<true> => {
        const { createS3Store } = await import('../source/s3.js');
        const store = await releases.acquire(createS3Store(s3), (open) => open.close());
        for (const bucket of s3.buckets) await store.check(bucket);
        return true;
      };
      return [fact('S3', 's3_unavailable', look).then((reached) => ({ pipeline: name, reached }))];
    }),
  );
}

/** The queues between the stages, and what `status` says of the work. */
async function askWork(
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
  postgres: PostgresQuestions,
  releases: Releases,
): Promise<Pick<Facts, 'queues' | 'problems'>> {
  const away = deployment.config.queue.backend === 'redis' ? 'redis_unavailable' : 'postgres_unavailable';
  const opened = await fact('the queue', away, async () =>
    openStatusParts(deployment, pipelines, { pool: await postgres.pool('admin'), releases }),
  );
  if (opened instanceof PipelineError) return { queues: opened, problems: opened };
  const [queues, problems] = await Promise.all([
    fact('the queue', away, async () => {
      for (const { queues: each } of opened.pipelines) await each?.transformQueue.backlog();
      return true as const;
    }),
    fact('status', 'unexpected', () => askProblems(deployment, opened)),
  ]);
  return { queues, problems };
}

/** What is away is found by those who ask for it; that there is no process at all is no problem before the first start. */
async function askProblems(
  deployment: Deployment,
  parts: Parameters<typeof collectStatus>[1],
): Promise<readonly Problem[]> {
  const { problems, processes } = await collectStatus(deployment, parts);
  return problems.filter(
    ({ subject }) => subject.startsWith('pipeline ') || (subject.startsWith('role ') && processes.length > 0),
  );
}
