import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { type Releases, type Service, type Started, type StopMode, untilStopped } from '../lifecycle.js';
import { startAdmin } from './admin.js';
import { type AssembledPipeline, type Assembly, assemble, loads } from './assembly.js';
import type { Deployment } from './deployment.js';
import { startEmf } from './emf.js';
import { startHealth } from './health.js';
import { startMaintenance } from './maintenance.js';
import { startIngest } from './ingest-role.js';
import type { IngesterParts } from './ingester.js';
import { PipelineService, type Working } from './pipeline-service.js';
import { checkPipeline, preflightPipeline } from './preflight.js';
import { startPresence } from './presence.js';
import { Stops } from './stops.js';
import { watchProcess } from './watch-process.js';
import { type WorkerOptions, preparedWorkers, startWorkers } from './workers.js';

/** What a process can be. `all` is every stage in one process. */
export const roles = ['ingest', 'transform', 'load', 'admin', 'all'] as const;

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
  if (role === 'admin') return startAdmin(deployment, pipelines, up);
  const receives = role === 'ingest' || role === 'all';
  const jobs = options.jobs;
  const assembly = await assemble(deployment, { ...up, pipelines, role, receives, jobs, isTolerant: true });
  const { pool } = assembly;
  const stops = new Stops();
  const running = assembly.pipelines.map((one) => {
    const service = pipelineService(deployment, assembly, one, { role, jobs, signal: up.signal, stops });
    stops.add(one.pipeline.name, service);
    return service;
  });
  const health = await startHealth(deployment, role, assembly, stops);
  await Promise.all(running.map((service) => service.begun));
  if (stops.isComplete && !up.signal.aborted) {
    await inOrder([running, health === null ? [] : [health]]).stop('hard');
    throw stops.error;
  }
  const names = pipelines.map((pipeline) => pipeline.name);
  deployment.log.info({ event: 'started', role, pipeline: names });
  const emf = startEmf(deployment, { pipelines: names });
  const others = [
    ...(emf === null ? [] : [emf]),
    startPresence(deployment, pool, { role, pipelines: names, stops: () => stops.byName }),
    ...(role === 'all' ? [startMaintenance(deployment, pool)] : []),
    ...(health === null ? [] : [health]),
  ];
  const watch = watchProcess(deployment, { role, pipelines });
  const { service, stopped } = untilStopped(inOrder([running, [...others, watch]]));
  return {
    service,
    held: () => assembly.pipelines.flatMap(({ pipeline, ingester }) => describeHeld(pipeline, ingester)),
    // One that is stopped does not end the others; when all are, there is nothing left to run.
    done: Promise.race([stopped, stops.complete]),
    stuck: watch.hung,
  };
}

/** One pipeline at work in this process, from its check on. */
function pipelineService(
  deployment: Deployment,
  assembly: Assembly,
  assembled: AssembledPipeline,
  { role, jobs, signal, stops }: Pick<WorkerOptions, 'role' | 'jobs'> & { signal: AbortSignal; stops: Stops },
): PipelineService {
  const { clock, log, events } = deployment;
  const { pipeline, clients, ingester } = assembled;
  const { pool, schedules } = assembly;
  const workers = preparedWorkers(deployment, assembled, assembly.keyring, { role, jobs });
  let parts: IngesterParts | null = ingester;
  const begin = async (onError: (error: unknown) => void): Promise<Working> => {
    parts ??= await assembled.reopened();
    const ingesters = parts === null ? [] : [await startIngest(deployment, parts, schedules, onError)];
    const working = workers(onError);
    const breakDown = async (): Promise<void> => {
      // What it holds is of no use here: others may fare better with it. The workers' jobs are left to fail first: one
      // that is cut short counts as being worked on for as long as nobody takes it over.
      await Promise.all(ingesters.map((ingest) => ingest.breakDown()));
      await Promise.all(working.map((worker) => worker.stop('soft')));
      await parts?.source.stop('hard');
      parts = null;
    };
    return { stop: (mode) => inOrder([ingesters, working]).stop(mode), breakDown };
  };
  const fitness = { pool, loads: loads(role) };
  return new PipelineService({
    pipeline: pipeline.name,
    check: (isFirst) =>
      isFirst
        ? preflightPipeline(deployment, fitness, assembled, signal)
        : checkPipeline(deployment, fitness, { pipeline, clients }),
    begin,
    clock,
    log,
    events,
    onStopped: (error) => stops.stopped(error),
  });
}

/** Every stage of every pipeline, for commands that do all of it themselves; the run says what failed. */
export function startAllWorkers(
  deployment: Deployment,
  { pipelines, keyring }: Assembly,
): readonly Service[] {
  const options = { role: 'all', jobs: null, onError: () => undefined } as const;
  return pipelines.flatMap((pipeline) => startWorkers(deployment, pipeline, keyring, options));
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
