import type { PipelineConfig } from '../config/config.js';
import type { Releases } from '../lifecycle.js';
import { type PostgresPool, createPool } from '../load/connection.js';
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
  /** Null in processes that don't receive. */
  readonly ingester: (IngesterParts & { readonly source: SqsSource }) | null;
}

/** A process's pipelines, connected and found fit. */
export interface Assembly {
  readonly keyring: Keyring;
  readonly pool: PostgresPool;
  readonly schedules: ScheduleLog;
  readonly pipelines: readonly AssembledPipeline[];
}

/** Connects pipelines to everything they need, and throws what `preflight` finds; nothing is received yet. */
export async function assemble(
  deployment: Deployment,
  options: {
    readonly pipelines: readonly PipelineConfig[];
    /** The role, as pg_stat_activity shows it. */
    readonly role: string;
    readonly receives: boolean;
    readonly releases: Releases;
    readonly signal: AbortSignal;
  },
): Promise<Assembly> {
  const { config, clock, events, owner } = deployment;
  const { releases } = options;
  const keyring = openKeyring(deployment);
  const pool = await releases.acquire(
    createPool({ url: config.database.url.reveal(), applicationName: `maskline-${options.role}` }),
    (open) => open.close(),
  );
  const runs = createRunLog(pool);
  const schedules = createScheduleLog(pool);
  const clients = new Map<string, QueueClient>();
  const sealer = new PayloadSealer(keyring);
  const quarantineSealer = { seal: (id: string, plain: Buffer) => seal(keyring, 'quarantine', id, plain) };
  const assembled: AssembledPipeline[] = [];
  for (const pipeline of options.pipelines) {
    const queues = openQueues(deployment, sealer, pipeline.name);
    await releases.acquire(queues, async ({ transformQueue, loadQueue }) => {
      await Promise.all([transformQueue.close(), loadQueue.close()]);
    });
    const paths = new Map(pipeline.policy.columns.map(({ name, path }) => [name, path]));
    const sink = createPostgresSink({
      pool,
      target: pipeline.target,
      sealer: quarantineSealer,
      paths,
      clock,
    });
    let ingester: AssembledPipeline['ingester'] = null;
    if (options.receives) {
      const client = await releases.acquire(createSqsClient(pipeline.source.sqs), (open) => open.close());
      clients.set(pipeline.name, client);
      const source = await releases.acquire(
        createSource({
          ...pipeline.source.sqs,
          envelope: pipeline.source.envelope,
          inFlight: pipeline.limits.inFlight,
          inFlightBytes: pipeline.limits.inFlightBytes,
          client,
          clock,
          onEvent: sourceEvents(deployment, pipeline.name),
        }),
        (open) => open.stop(),
      );
      ingester = { pipeline, source, ...queues, sink, runs, schedules, clock, events, owner };
    }
    assembled.push({ pipeline, queues, sink, ingester });
  }
  await preflight(deployment, { pool, pipelines: assembled, clients }, options.signal);
  return { keyring, pool, schedules, pipelines: assembled };
}
