import type { HttpServer } from '../ops/http.js';
import { startHealthServer } from '../ops/health.js';
import type { BacklogSample, QueueSample, ScheduleSample } from '../ops/metric-sources.js';
import { createMetrics } from '../ops/metrics.js';
import type { Check } from '../ops/probes.js';
import { PipelineError, asPipelineError } from '../errors.js';
import { checkDatabase } from '../load/database-check.js';
import { packageVersion } from '../version.js';
import { type AdminParts, expositions, serveAdmin } from './admin-server.js';
import type { Assembly } from './assembly.js';
import type { Deployment } from './deployment.js';
import { type Endpoint, endpointOf } from './endpoint.js';
import { Outages } from './outages.js';
import type { Role } from './role.js';
import type { Stops } from './stops.js';

/**
 * Serves what the role serves where this process has a port: the admin pages for `all`, else `/livez`, `/readyz` and
 * `/metrics`. A busy port is a warning for the other roles. Null where there is no port.
 */
export async function startHealth(
  deployment: Deployment,
  role: Role,
  assembly: Assembly,
  stops: Pick<Stops, 'byName'>,
): Promise<HttpServer | null> {
  const endpoint = endpointOf(deployment, role);
  if (endpoint === null) return null;
  const checks = readiness(deployment, assembly, stops);
  if (role === 'all') return serveAdmin(deployment, endpoint, adminParts(assembly, checks));
  const { log } = deployment;
  try {
    const server = await startProbes(deployment, endpoint, assembly, checks);
    log.info({ event: 'listening', host: server.host, port: server.port });
    return server;
  } catch (error) {
    log.warn({ event: 'http_off', error: asPipelineError(error) });
    return null;
  }
}

function startProbes(
  { config, environment, events, loops }: Deployment,
  endpoint: Endpoint,
  assembly: Assembly,
  checks: Checks,
): Promise<HttpServer> {
  const queues = assembly.pipelines.map((each) => each.queues);
  const metrics = createMetrics({
    events,
    version: packageVersion(),
    pipelines: assembly.pipelines.map(({ pipeline }) => pipeline.name),
    sources: {
      queues: () => queueSamples(assembly),
      backlog: () => backlogSamples(assembly),
      schedules: () => scheduleSamples(assembly),
      bullmq: () => expositions(queues),
    },
  });
  return startHealthServer({
    ...endpoint,
    checks: { postgres: () => checkDatabase(assembly.pool), ...checks },
    hung: () => loops.hung,
    metrics,
    onAnswer: metrics.answered,
    auth: environment.credentials,
    metricsPublic: config.admin.metricsPublic,
  });
}

function adminParts({ pool, pipelines }: Assembly, checks: Checks): AdminParts {
  return {
    pool,
    status: {
      pool,
      pipelines,
    },
    queues: pipelines.map(({ queues }) => queues),
    checks,
    counted: pipelines.map(({ pipeline }) => pipeline.name),
  };
}

type Checks = Readonly<{ [name: string]: Check }>;

function readiness(
  { events, clock }: Deployment,
  { pipelines }: Assembly,
  stops: Pick<Stops, 'byName'>,
): Checks {
  const outages = new Outages(events, clock);
  const checks: { [name: string]: Check } = { waits: async () => outages.check() };
  for (const { pipeline, queues, ingester } of pipelines) {
    checks[`pipeline ${pipeline.name}`] = async () => {
      const stop = stops.byName[pipeline.name];
      if (stop) throw new PipelineError(stop.code, stop.message);
    };
    checks[`queue ${pipeline.name}`] = () => queues.transformQueue.backlog();
    if (ingester) checks[`source ${pipeline.name}`] = () => ingester.source.depth();
  }
  return checks;
}

async function queueSamples({ pipelines }: Assembly): Promise<readonly QueueSample[]> {
  const receiving = pipelines.flatMap(({ ingester }) => (ingester ? [ingester] : []));
  return Promise.all(
    receiving.map(async ({ pipeline, source }) => ({ pipeline: pipeline.name, ...(await source.depth()) })),
  );
}

/** Of what it receives for; the others have no right to look, nor a reason. */
async function scheduleSamples({ pipelines, schedules }: Assembly): Promise<readonly ScheduleSample[]> {
  const names = pipelines.flatMap(({ pipeline, ingester }) => (ingester ? [pipeline.name] : []));
  if (names.length === 0) return [];
  const steerings = await schedules.readAll(names);
  return steerings.map(({ breaker, schedule }, index) => ({
    pipeline: names[index] ?? '',
    isBreakerOpen: breaker.state === 'open',
    lastSuccessAt: schedule.lastSucceededAt,
  }));
}

async function backlogSamples({ pipelines }: Assembly): Promise<readonly BacklogSample[]> {
  const samples = pipelines.flatMap(({ pipeline, queues }) =>
    (['transform', 'load'] as const).map(async (stage) => {
      const { waiting, active } = await queues[`${stage}Queue`].backlog();
      return { pipeline: pipeline.name, stage, batches: waiting + active };
    }),
  );
  return Promise.all(samples);
}
