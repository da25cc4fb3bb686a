import type { Clock } from '../clock.js';
import type { PipelineConfig } from '../config/config.js';
import { tablesOf } from '../config/tables.js';
import type { Releases } from '../lifecycle.js';
import { asPipelineError } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import { ensureLedgerPartitions } from '../load/ledger.js';
import { createPostgresSink } from '../load/postgres.js';
import { type LeaseBook, createLeaseBook } from '../load/leases.js';
import { createRunLog } from '../load/runs.js';
import { type ScheduleLog, createScheduleLog } from '../load/schedules.js';
import type { Sink } from '../load/sink.js';
import { ensureTargetPartitions } from '../load/target-partitions.js';
import { type PostgresVault, createVault } from '../load/vault.js';
import type { Keyring } from '../masking/keyring.js';
import { sealMasked } from '../masking/quarantined.js';
import { PayloadSealer } from '../masking/seal.js';
import type { FailpointPorts } from '../proof/failpoint-ports.js';
import type { QueueClient } from '../source/queue-client.js';
import type { SqsSource } from '../source/sqs-source.js';
import { databaseWarnings, openPool, userOf } from './database.js';
import type { Deployment } from './deployment.js';
import { openKeyring } from './keyring.js';
import { armFailpoints } from './failpoints.js';
import type { IngesterParts } from './ingester.js';
import { createIntake } from './intake.js';
import { Lease } from './lease.js';
import { originSealer } from './origin.js';
import { preflight, preflightShared } from './preflight.js';
import { concurrencyOf } from './workers.js';
import { type PipelineQueues, openQueues } from './queues.js';
import { QueueSharing } from './sharing.js';
import { sinkTargetOf } from './tables.js';
import { TargetLimits } from './target-limits.js';
import { watchedPool } from './watch-ports.js';

/** For looks, heartbeats, fates and the like: short queries. */
const SHARED_CONNECTIONS = 4;

/** One pipeline, connected. */
export interface AssembledPipeline {
  readonly pipeline: PipelineConfig;
  readonly queues: PipelineQueues;
  readonly sink: Sink;
  readonly vault: PostgresVault;
  /** What its table refuses. */
  readonly limits: TargetLimits;
  /** Null in production. */
  readonly failpoints: FailpointPorts | null;
  /** Of each of its queues; none in processes that don't receive, where `ingester` is null. */
  readonly clients: readonly QueueClient[];
  readonly ingester: (IngesterParts & { readonly source: SqsSource }) | null;
  /** The same with a source of its own, for who begins again after a hard stop. */
  readonly reopened: () => Promise<IngesterParts | null>;
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
  /** Batches at once in each stage, where the pipeline does not say. */
  readonly jobs?: number | null;
  /** Leaves it to the caller to see whether each pipeline fits, so that one that does not stops no other. */
  readonly isTolerant?: boolean;
  readonly releases: Releases;
  readonly signal: AbortSignal;
}

/** Connects pipelines to everything they need, and throws what `preflight` finds; nothing is received yet. */
export async function assemble(deployment: Deployment, options: AssemblyOptions): Promise<Assembly> {
  const failpoints = await armFailpoints(deployment);
  if (deployment.tracing) await options.releases.acquire(deployment.tracing, (tracing) => tracing.flush());
  const keyring = await openKeyring(deployment);
  const user = userOf(options.role);
  const pool = await options.releases.acquire(
    watchedPool(
      deployment.loops,
      openPool(deployment, user, `maskline-${options.role}`, { max: connectionsFor(options) }),
    ),
    (open) => open.close(),
  );
  for (const warning of databaseWarnings(deployment.config, user)) {
    deployment.log.warn({ event: 'database_warning' }, warning);
  }
  const shared = {
    failpoints,
    keyring,
    pool,
    runs: createRunLog(pool),
    schedules: createScheduleLog(pool),
    leases: createLeaseBook(pool),
    queueSharing: new QueueSharing(deployment, options.releases, options.pipelines),
    prepareLedger: oncePerDay(deployment.clock, async () => {
      await ensureLedgerPartitions(pool, deployment.config.retention.ledgerMs);
      // Those of the days to come are there already: it can wait for who finds out what is wrong.
      await ensureTargetPartitions(pool).catch((error: unknown) => {
        deployment.log.warn({ event: 'maintenance_failed', error: asPipelineError(error) });
      });
    }),
  };
  const pipelines = await Promise.all(
    options.pipelines.map((pipeline) => assemblePipeline(deployment, options, pipeline, shared)),
  );
  if (options.isTolerant) await preflightShared(deployment, { pool, pipelines }, options.signal);
  else await preflight(deployment, { pool, loads: loads(options.role), pipelines }, options.signal);
  return { keyring, pool, schedules: shared.schedules, pipelines };
}

/** Whether a process of that role writes to the targets. */
export function loads(role: string): boolean {
  return role !== 'ingest' && role !== 'transform';
}

/** Connections for what all pipelines share, and to each its own: one that waits for locks takes none from the others. */
export function connectionsFor({
  pipelines,
  role,
  jobs = null,
}: Pick<AssemblyOptions, 'pipelines' | 'role' | 'jobs'>): number {
  const own = pipelines.map((pipeline) => {
    const { transform, load } = concurrencyOf(pipeline, jobs);
    return (role === 'load' ? 0 : transform) + (role === 'transform' ? 0 : load);
  });
  return SHARED_CONNECTIONS + own.reduce((sum, each) => sum + each, 0);
}

async function assemblePipeline(
  deployment: Deployment,
  { releases, receives, role }: AssemblyOptions,
  pipeline: PipelineConfig,
  shared: Pick<IngesterParts, 'runs' | 'prepareLedger'> &
    Pick<AssembledPipeline, 'failpoints'> &
    Omit<Assembly, 'pipelines'> & { readonly leases: LeaseBook; readonly queueSharing: QueueSharing },
): Promise<AssembledPipeline> {
  const { failpoints, keyring, pool, runs, schedules, leases, queueSharing, prepareLedger } = shared;
  const { clock, events, onWait, owner, tracing } = deployment;
  const opened = await openQueues(deployment, new PayloadSealer(keyring), pipeline.name);
  const queues = failpoints?.queues(opened) ?? opened;
  await releases.acquire(queues, async ({ transformQueue, loadQueue }) => {
    await Promise.all([transformQueue.close(), loadQueue.close()]);
  });
  const sink = sinkOf(deployment, pipeline, shared);
  const limits = new TargetLimits(pool, [pipeline.target, ...pipeline.further], clock);
  const own = { pipeline, queues, sink, vault: createVault(pool), limits, failpoints };
  if (!receives) return { ...own, clients: [], ingester: null, reopened: async () => null };
  const intake = createIntake(deployment, pipeline.name, { ...queues, schedules, pool, role });
  const { clients, openSource } = await queueSharing.open(pipeline, {
    admit: (signal) => intake.admit(signal),
    origins: originSealer(keyring),
  });
  const source = await openSource();
  const ingester = {
    pipeline,
    source: failpoints?.source(source) ?? source,
    intake,
    ...queues,
    sink,
    runs,
    schedules,
    lease: pipeline.schedule?.exclusive ? leaseOf(deployment, pipeline, leases) : null,
    prepareLedger,
    clock,
    events,
    onWait,
    owner,
    tracing,
  };
  const reopened = async (): Promise<IngesterParts> => {
    const next = await openSource();
    return { ...ingester, source: failpoints?.source(next) ?? next };
  };
  return { ...own, clients, ingester, reopened };
}

function leaseOf(
  { clock, owner, onWait, log }: Deployment,
  { name }: PipelineConfig,
  book: LeaseBook,
): Lease {
  const onStandBy = (holder: string): void =>
    log.info(
      { event: 'standing_by', pipeline: name, owner: holder },
      'another ingester has the turn of this exclusive pipeline',
    );
  return new Lease({ book, clock, owner, onStandBy, onWait }, name);
}

/** Where the pipeline's rows go. */
function sinkOf(
  { clock, config, tracing }: Deployment,
  pipeline: PipelineConfig,
  { failpoints, keyring, pool }: Pick<AssembledPipeline, 'failpoints'> & Pick<Assembly, 'keyring' | 'pool'>,
): Sink {
  const [own, ...further] = tablesOf(pipeline);
  const postgres = createPostgresSink({
    pool,
    ...sinkTargetOf(own),
    sealer: { seal: (id, plain, form) => sealMasked(keyring, id, plain, form) },
    further: further.map(sinkTargetOf),
    fifo: pipeline.fifo,
    clock,
    memory: config.retention,
    ...(failpoints || tracing
      ? {
          onStep: (step, batchId) => {
            tracing?.step(step, batchId);
            return failpoints?.commitStep(step, batchId);
          },
        }
      : {}),
  });
  return failpoints?.sink(postgres) ?? postgres;
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
