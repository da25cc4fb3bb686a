import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import type { PipelineConfig, QueueConfig } from '../config/config.js';
import { loadConfig } from '../config/load.js';
import { PipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { listProcesses } from '../load/processes.js';
import type { Arena } from '../proof/arena.js';
import { openStagingArena, rowsOf } from '../proof/staging-arena.js';
import { configFileOf } from '../proof/workspace.js';
import { databaseServer, openPool } from '../roles/database.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { openKeyring } from '../roles/keyring.js';
import { openQueues, queueServer, withoutKeys } from '../roles/queues.js';
import type { QueueClient } from '../source/queue-client.js';
import { createSqsClient } from '../source/sqs.js';
import { createSqsSender } from '../source/sqs-sender.js';
import type { CliContext } from './context.js';
import { openDeployment } from './deployment.js';

/** So often is the queue drained, and so soon do messages of a killed ingester come back. */
const EVERY_SECOND = '* * * * * *';
const VISIBILITY = '10s';
/** Processes of maskline that were seen within this are at work. */
const SEEN_MS = 30_000;

/** Where a run on a named deployment takes place, and what must be known of it. */
export interface StagingPlace {
  readonly arena: Arena;
  readonly pipeline: string;
  readonly queueBackend: string;
}

/**
 * Opens the deployment that `-c` names for a run. Its own file is left as it is: the run's processes work by a copy that
 * drains every second. Throws `usage` when it looks like production, unless that is said to be all right.
 */
export async function openStaging(
  context: CliContext,
  {
    seed,
    isForced,
    dir,
    releases,
  }: {
    readonly seed: number;
    readonly isForced: boolean;
    readonly dir: string;
    readonly releases: Releases;
  },
): Promise<StagingPlace> {
  const deployment = openDeployment(context, 'torture');
  const pipeline = onlyPipeline(deployment, context);
  const pool = await releases.acquire(openPool(deployment, 'owner', 'maskline-torture'), (open) =>
    open.close(),
  );
  const place = onlyQueue(pipeline);
  const client = await releases.acquire(createSqsClient(place), (open) => open.close());
  const signs = await productionSigns(deployment, pipeline, pool, client);
  if (signs.length > 0 && !isForced) {
    throw new PipelineError(
      'usage',
      `torture sends made-up messages and kills the processes that load them, and this looks like production: ` +
        `${signs.join('; ')}. Name a stack of its own, or say --yes-really`,
    );
  }
  const queues = await openQueues(deployment, withoutKeys, pipeline.name);
  await releases.acquire(queues, ({ transformQueue, loadQueue }) =>
    Promise.all([transformQueue.close(), loadQueue.close()]),
  );
  const sender = await releases.acquire(createSqsSender(place.queue, place), (open) => open.close());
  const arena = await openStagingArena({
    pipeline,
    pool,
    client,
    sender,
    seed,
    keyring: await openKeyring(deployment),
    backlog: async () => {
      const all = await Promise.all([queues.transformQueue.backlog(), queues.loadQueue.backlog()]);
      return all.reduce((sum, { waiting, active }) => sum + waiting + active, 0);
    },
    fleet: fleetOf(context, deployment, pipeline, dir),
  });
  return { arena, pipeline: pipeline.name, queueBackend: deployment.config.queue.backend };
}

/** What speaks for a deployment that people depend on. */
async function productionSigns(
  { config }: Deployment,
  pipeline: PipelineConfig,
  pool: PostgresPool,
  client: QueueClient,
): Promise<readonly string[]> {
  const hosts = [
    ['the database', databaseServer(config, 'owner').url],
    ['the queue', queueServer(config).url],
    ['SQS', pipeline.source.sqs.queues[0].endpoint ?? 'https://sqs.amazonaws.com'],
  ] as const;
  const signs: string[] = [];
  for (const [what, url] of hosts) {
    if (!isLoopback(new URL(url).hostname)) signs.push(`${what} is not on this machine`);
  }
  const rows = await rowsOf(pool, pipeline);
  if (rows > 0) signs.push(`table ${pipeline.target.schema}.${pipeline.target.table} holds ${rows} rows`);
  const { visible = 0, inFlight = 0 } = (await client.attributes()) ?? {};
  if (visible + inFlight > 0) signs.push(`queue ${client.queue} holds ${visible + inFlight} messages`);
  const others = await listProcesses(pool, SEEN_MS);
  if (others.length > 0) signs.push(`${others.length} processes of maskline are at work on it`);
  return signs;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127(\.\d+){3}$/.test(host);
}

/** Made-up messages go to one queue, which is looked at afterwards. */
function onlyQueue({ name, source: { sqs } }: PipelineConfig): QueueConfig {
  const [queue, ...others] = sqs.queues;
  if (others.length === 0) return queue;
  throw new PipelineError(
    'usage',
    `pipeline ${name} reads ${sqs.queues.length} queues: torture works on one, so name a pipeline of one queue`,
  );
}

function onlyPipeline({ config }: Deployment, { pipelines: names }: CliContext): PipelineConfig {
  const [pipeline, ...others] = selectPipelines(config, names);
  if (pipeline === undefined || others.length > 0) {
    throw new PipelineError('usage', 'torture takes one pipeline at a time: name it with -p');
  }
  if (config.queue.backend === 'memory') {
    throw new PipelineError('usage', 'torture needs processes of their own, which memory:// does not allow');
  }
  return pipeline;
}

function fleetOf(
  { environment }: CliContext,
  { config }: Deployment,
  pipeline: PipelineConfig,
  dir: string,
): Arena['fleet'] {
  const document = parseDocument(readFileSync(config.file, 'utf8'));
  document.setIn(['pipelines', pipeline.name, 'schedule'], EVERY_SECOND);
  document.setIn(['pipelines', pipeline.name, 'source', 'sqs', 'visibility_timeout'], VISIBILITY);
  const changed = configFileOf(dir);
  writeFileSync(changed, String(document), { mode: 0o600 });
  // A change that can't be read must show here, not in seven logs.
  loadConfig({ file: changed, env: environment.variables });
  const processes = join(dir, 'processes');
  mkdirSync(processes, { recursive: true });
  const env: { [name: string]: string } = {};
  for (const [name, value] of Object.entries(environment.variables)) {
    // One port is not for seven processes.
    if (value !== undefined && name !== 'PORT' && name !== 'HOST') env[name] = value;
  }
  if (environment.kek !== null) env['MASKLINE_KEK'] = environment.kek;
  return { configFile: changed, args: ['-p', pipeline.name], env, dir: processes };
}
