import type { HttpServer } from '../ops/http.js';
import { startHealthServer } from '../ops/health.js';
import { type BacklogSample, type QueueSample, createMetrics } from '../ops/metrics.js';
import { PipelineError, asPipelineError } from '../errors.js';
import { checkSchema } from '../load/migrate.js';
import { packageVersion } from '../version.js';
import type { Assembly } from './assembly.js';
import type { Deployment } from './deployment.js';
import type { Role } from './role.js';

/**
 * Serves `/livez`, `/readyz` and `/metrics` where this process has a port: PORT, or `admin.port` for `all`. A busy
 * port is a warning for the other roles. Null where there is no port.
 */
export async function startHealth(
  deployment: Deployment,
  role: Role,
  assembly: Assembly,
): Promise<HttpServer | null> {
  const { config, environment, events, log } = deployment;
  const port = portOf(environment.port, role, config.admin.port);
  if (port === null) return null;
  const metrics = createMetrics({
    events,
    version: packageVersion(),
    pipelines: assembly.pipelines.map(({ pipeline }) => pipeline.name),
    sources: {
      queues: () => queueSamples(assembly),
      backlog: () => backlogSamples(assembly),
      bullmq: () => expositions(assembly),
    },
  });
  try {
    const server = await startHealthServer({
      host: environment.host ?? config.admin.host,
      port,
      checks: readiness(assembly),
      metrics,
      auth: environment.credentials,
      metricsPublic: config.admin.metricsPublic,
    });
    log.info({ event: 'listening', host: server.host, port: server.port });
    return server;
  } catch (error) {
    if (role === 'all') throw error;
    log.warn({ event: 'http_off', error: asPipelineError(error) });
    return null;
  }
}

function portOf(given: string | null, role: Role, adminPort: number): number | null {
  if (given === null) return role === 'all' ? adminPort : null;
  if (/^\d{1,5}$/.test(given) && Number(given) < 65_536) return Number(given);
  throw new PipelineError('usage', 'PORT must be a number from 0 (any free port) to 65535');
}

function readiness({ pool, pipelines }: Assembly): { [name: string]: () => Promise<unknown> } {
  const checks: { [name: string]: () => Promise<unknown> } = { postgres: () => checkSchema(pool) };
  for (const { pipeline, queues, ingester } of pipelines) {
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

async function backlogSamples({ pipelines }: Assembly): Promise<readonly BacklogSample[]> {
  const samples = pipelines.flatMap(({ pipeline, queues }) =>
    (['transform', 'load'] as const).map(async (stage) => {
      const { waiting, active } = await queues[`${stage}Queue`].backlog();
      return { pipeline: pipeline.name, stage, batches: waiting + active };
    }),
  );
  return Promise.all(samples);
}

async function expositions({ pipelines }: Assembly): Promise<readonly string[]> {
  return (await Promise.all(pipelines.map(({ queues }) => queues.expositions()))).flat();
}
