import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { type Releases, type Service, type Started, type StopMode } from '../lifecycle.js';
import { type Assembly, assemble } from './assembly.js';
import type { Deployment } from './deployment.js';
import { startHealth } from './health.js';
import { startIngest } from './ingest-role.js';
import { startLoad, startTransform } from './workers.js';

/** What a process can be. `all` is every stage in one process. */
export const roles = ['ingest', 'transform', 'load', 'all'] as const;

/** One of `roles`. */
export type Role = (typeof roles)[number];

/**
 * From the first signal to the end. Containers and pm2 must allow more than this; a soft stop has three quarters of
 * it, which is several times what a batch takes.
 */
export const STOP_DEADLINE_MS = 25_000;

/** What to run. */
export interface RoleOptions {
  readonly role: Role;
  readonly pipelines: readonly PipelineConfig[];
  /** Batches that each stage of each pipeline works on at once; null: the default of the stage. */
  readonly jobs: number | null;
}

/** Brings a role up: connected, found fit, and working. */
export async function startRole(
  deployment: Deployment,
  options: RoleOptions,
  up: { readonly signal: AbortSignal; readonly releases: Releases },
): Promise<Started> {
  const { role, pipelines } = options;
  if (deployment.config.queue.backend === 'memory' && role !== 'all') {
    throw new PipelineError(
      'usage',
      `role ${role} cannot run over memory://, which no other process can reach: run \`all\`, or set queue.url`,
    );
  }
  const receives = role === 'ingest' || role === 'all';
  const assembly = await assemble(deployment, { ...up, pipelines, role, receives });
  const health = await startHealth(deployment, role, assembly);
  const workers = startWorkers(deployment, assembly, role, options.jobs);
  const ingesters = await Promise.all(
    assembly.pipelines.flatMap(({ ingester }) =>
      ingester === null ? [] : [startIngest(deployment, ingester, assembly.schedules)],
    ),
  );
  deployment.log.info({ event: 'started', role, pipeline: pipelines.map((pipeline) => pipeline.name) });
  return {
    service: inOrder([ingesters, workers, health === null ? [] : [health]]),
    held: () => assembly.pipelines.flatMap(({ pipeline, ingester }) => describeHeld(pipeline, ingester)),
    ...(ingesters.length > 0 ? { done: Promise.race(ingesters.map((ingester) => ingester.failed)) } : {}),
  };
}

/** The stages that a role works on, for every pipeline. */
export function startWorkers(
  deployment: Deployment,
  { pipelines, keyring }: Assembly,
  role: Role,
  jobs: number | null,
): readonly Service[] {
  const concurrency = jobs ?? undefined;
  return pipelines.flatMap(({ pipeline, queues, sink }) => [
    ...(role === 'transform' || role === 'all'
      ? [startTransform(deployment, pipeline, queues, keyring, concurrency)]
      : []),
    ...(role === 'load' || role === 'all'
      ? [startLoad(deployment, pipeline, queues, sink, concurrency)]
      : []),
  ]);
}

/** Stops group after group, so that what feeds a stage stops before it. */
export function inOrder(groups: readonly (readonly Service[])[]): Service {
  return {
    stop: async (mode: StopMode = 'soft') => {
      for (const group of groups) await Promise.all(group.map((service) => service.stop(mode)));
    },
  };
}

function describeHeld(
  pipeline: PipelineConfig,
  ingester: Assembly['pipelines'][number]['ingester'],
): readonly string[] {
  const messages = ingester?.source.holding.messages ?? 0;
  return messages > 0 ? [`${pipeline.name}: ${messages} messages, which come back from SQS`] : [];
}
