import type { StopMode } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { checkDatabase } from '../load/database-check.js';
import { revealTotals } from '../load/reveals.js';
import { listRuns } from '../load/runs.js';
import { startAdminServer } from '../ops/admin/server.js';
import { StatusWatch } from '../ops/admin/status-watch.js';
import type { HttpServer } from '../ops/http.js';
import type { MetricSources } from '../ops/metric-sources.js';
import { createMetrics } from '../ops/metrics.js';
import type { Check } from '../ops/probes.js';
import type { Status } from '../ops/status.js';
import { packageVersion } from '../version.js';
import type { Deployment } from './deployment.js';
import { startEmf } from './emf.js';
import type { Endpoint } from './endpoint.js';
import { startNotifier } from './notifier.js';
import type { PipelineQueues } from './queues.js';
import { type StatusParts, collectStatus } from './status.js';

/** What the admin pages are about. */
export interface AdminParts {
  readonly pool: Pick<PostgresPool, 'query'>;
  readonly status: StatusParts;
  /** Of each pipeline. */
  readonly queues: readonly PipelineQueues[];
  /** What this process can't do without, besides the database. */
  readonly checks: { readonly [name: string]: Check };
  /** Pipelines that this process works on, whose counters start at zero. */
  readonly counted: readonly string[];
}

const RUNS_SHOWN = 20;

/** Serves the admin pages at that place. Throws `config_invalid` when it can't listen there. */
export async function serveAdmin(
  deployment: Deployment,
  { host, port }: Endpoint,
  parts: AdminParts,
): Promise<HttpServer> {
  const { config, environment, events, log, clock, loops } = deployment;
  const { pool, queues, checks } = parts;
  const pipelines = parts.status.pipelines.map(({ pipeline }) => pipeline.name);
  const watch = new StatusWatch(
    () => collectStatus(deployment, parts.status),
    () => clock.now(),
  );
  const metrics = createMetrics({
    events,
    version: packageVersion(),
    pipelines: parts.counted,
    sources: { ...statusSources(watch), reveals: revealTotals(pool), bullmq: () => expositions(queues) },
  });
  const server = await startAdminServer({
    host,
    port,
    checks: { postgres: () => checkDatabase(pool), ...checks },
    hung: () => loops.hung,
    metrics,
    onAnswer: metrics.answered,
    auth: environment.credentials,
    metricsPublic: config.admin.metricsPublic,
    watch,
    runs: () => listRuns(pool, { pipelines, limit: RUNS_SHOWN }),
    queues: queues.flatMap((each) => each.boards()),
    version: packageVersion(),
  });
  watch.start();
  const read = async (): Promise<Status> => (await watch.read()).status;
  const notifier = startNotifier({ config, clock, log, pool, read });
  const emf = startEmf(deployment, { pipelines: [], status: read });
  log.info({ event: 'listening', host: server.host, port: server.port });
  const stop = async (mode?: StopMode): Promise<void> => {
    await Promise.all([server.stop(mode), notifier?.stop(), emf?.stop()]);
    await watch.stop();
  };
  return { host: server.host, port: server.port, stop };
}

/** Pages and metrics tell the same, and ask once for it. */
function statusSources(watch: StatusWatch): Omit<MetricSources, 'reveals' | 'bullmq'> {
  const status = async (): Promise<Status> => (await watch.read()).status;
  const pipelines = async (): Promise<Status['pipelines']> => (await status()).pipelines;
  return {
    status,
    queues: async () =>
      (await pipelines()).flatMap(({ pipeline, queue }) =>
        queue ? [{ pipeline, ...queue, inFlight: queue.in_flight }] : [],
      ),
    backlog: async () =>
      (await pipelines()).flatMap(({ pipeline, backlog }) =>
        (['transform', 'load'] as const).flatMap((stage) =>
          backlog ? [{ pipeline, stage, batches: backlog[stage].waiting + backlog[stage].active }] : [],
        ),
      ),
    schedules: async () =>
      (await pipelines()).map(({ pipeline, breaker, last_succeeded_at: last }) => ({
        pipeline,
        isBreakerOpen: breaker === null ? null : breaker === 'open',
        lastSuccessAt: last === null ? null : Date.parse(last),
      })),
  };
}

/** BullMQ's own metrics of all queues. */
export async function expositions(queues: readonly PipelineQueues[]): Promise<readonly string[]> {
  return (await Promise.all(queues.map((each) => each.expositions()))).flat();
}
