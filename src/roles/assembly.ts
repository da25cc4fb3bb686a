import type { Clock } from '../clock.js';
import type { PipelineConfig } from '../config/config.js';
import type { Releases } from '../lifecycle.js';
import { type PostgresPool, createPool } from '../load/connection.js';
import { ensureLedgerPartitions } from '../load/ledger.js';
import { createPostgresSink } from '../load/postgres.js';
import { createRunLog } from '../load/runs.js';
import { type ScheduleLog, createScheduleLog } from '../load/schedules.js';
import type { Sink } from '../load/sink.js';
import type { Keyring } from '../masking/keyring.js';
import { PayloadSealer, seal } from '../masking/seal.js';
import type { QueueClient } from '../source/queue-client.js';
import { createSqsClient } from '../source/sqs.js';
import { type SqsSource, createSource } from '../source/sqs-source.js';
import { type Deployment, openKeyring } from './deployment.js';
import type { IngesterParts } from './ingester.js';
import { preflight } from './preflight.js';
import { type PipelineQueues, openQueues } from './queues.js';
import { sourceEvents } from './source-events.js';

/** One pipeline, connected. */
export interface AssembledPipeline {
  readonly pipeline: PipelineConfig;
  readonly queues: PipelineQueues;
  readonly sink: Sink;
  /** Null in processes that don't receive, as is `ingester`. */
  readonly client: QueueClient | null;
  readonly ingester: (IngesterParts & { readonly source: SqsSource }) | null;
}

/** A process's pipelines, connected and found fit. */
export interface Assembly {
  readonly keyring: Keyring;
  readonly pool: PostgresPool;
  readonly schedules: ScheduleLog;
  readonly pipelines: readonly AssembledPipeline[];
}

/** What to connect. */
export interface AssemblyOptions {
  readonly pipelines: readonly PipelineConfig[];
  /** The role, as pg_stat_activity shows it. */
  readonly role: string;
  readonly receives: boolean;
  readonly releases: Releases;
  readonly signal: AbortSignal;
}

/** Connects pipelines to everything they need, and throws what `preflight` finds; nothing is received yet. */
export async function assemble(deployment: Deployment, options: AssemblyOptions): Promise<Assembly> {
  const keyring = openKeyring(deployment);
  const url = deployment.config.database.url.reveal();
  const pool = await options.releases.acquire(
    createPool({ url, applicationName: `maskline-${options.role}` }),
    (open) => open.close(),
  );
  const shared = {
    keyring,
    pool,
    runs: createRunLog(pool),
    schedules: createScheduleLog(pool),
    prepareLedger: oncePerDay(deployment.clock, () => ensureLedgerPartitions(pool)),
  };
  const pipelines = await Promise.all(
    options.pipelines.map((pipeline) => assemblePipeline(deployment, options, pipeline, shared)),
  );
  await preflight(deployment, { pool, pipelines }, options.signal);
  return { keyring, pool, schedules: shared.schedules, pipelines };
}

async function assemblePipeline(
  deployment: Deployment,
  { releases, receives }: AssemblyOptions,
  pipeline: PipelineConfig,
  shared: Pick<IngesterParts, 'runs' | 'prepareLedger'> & Omit<Assembly, 'pipelines'>,
): Promise<AssembledPipeline> {
  const { keyring, pool, runs, schedules, prepareLedger } = shared;
  const { clock, events, onWait, owner } = deployment;
  const queues = openQueues(deployment, new PayloadSealer(keyring), pipeline.name);
  await releases.acquire(queues, async ({ transformQueue, loadQueue }) => {
    await Promise.all([transformQueue.close(), loadQueue.close()]);
  });
  const sink = createPostgresSink({
    pool,
    target: pipeline.target,
    sealer: { seal: (id, plain) => seal(keyring, 'quarantine', id, plain) },
    paths: new Map(pipeline.policy.columns.map(({ name, path }) => [name, path])),
    clock,
  });
  if (!receives) return { pipeline, queues, sink, client: null, ingester: null };
  const client = await releases.acquire(createSqsClient(pipeline.source.sqs), (open) => open.close());
  const source = await releases.acquire(
    createSource({
      ...pipeline.source.sqs,
      ...pipeline.limits,
      envelope: pipeline.source.envelope,
      client,
      clock,
      onEvent: sourceEvents(deployment, pipeline.name),
    }),
    (open) => open.stop(),
  );
  const ingester = {
    pipeline,
    source,
    ...queues,
    sink,
    runs,
    schedules,
    prepareLedger,
    clock,
    events,
    onWait,
    owner,
  };
  return { pipeline, queues, sink, client, ingester };
}

function oncePerDay(clock: Clock, work: () => Promise<unknown>): () => Promise<void> {
  let doneOn: string | null = null;
  return async () => {
    const today = new Date(clock.now()).toISOString().slice(0, 10);
    if (doneOn === today) return;
    await work();
    doneOn = today;
  };
}
