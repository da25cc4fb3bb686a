import type { PipelineConfig } from '../config/config.js';
import { PipelineError, asPipelineError } from '../errors.js';
import { type Releases, type Service, type Started, type StopMode, untilStopped } from '../lifecycle.js';
import { actionFor } from '../policy.js';
import { startAdmin } from './admin.js';
import { type AssembledPipeline, type Assembly, assemble } from './assembly.js';
import type { Deployment } from './deployment.js';
import { startHealth } from './health.js';
import { startMaintenance } from './maintenance.js';
import { startIngest } from './ingest-role.js';
import { startPresence } from './presence.js';
import { watchProcess } from './watch-process.js';
import { type WorkerOptions, startWorkers } from './workers.js';

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
  const assembly = await assemble(deployment, { ...up, pipelines, role, receives });
  const health = await startHealth(deployment, role, assembly);
  const running = await Promise.all(
    assembly.pipelines.map((one) => startPipeline(deployment, assembly, one, { role, jobs: options.jobs })),
  );
  deployment.log.info({ event: 'started', role, pipeline: pipelines.map((pipeline) => pipeline.name) });
  const stoppedForGood = new Set<PipelineConfig>();
  assembly.pipelines.forEach(({ pipeline }, index) => {
    void running[index]?.broken.then(() => stoppedForGood.add(pipeline));
  });
  const presence = startPresence(deployment, assembly.pool, {
    role,
    pipelines: () => pipelines.filter((one) => !stoppedForGood.has(one)).map((one) => one.name),
  });
  const watch = watchProcess(deployment, { role, pipelines });
  const others = [
    presence,
    watch,
    ...(role === 'all' ? [startMaintenance(deployment, assembly.pool)] : []),
    ...(health === null ? [] : [health]),
  ];
  const { service, stopped } = untilStopped(inOrder([running, others]));
  // One broken pipeline does not end the others; when all are, there is nothing left to run.
  const broken = Promise.all(running.map((pipeline) => pipeline.broken)).then(([first]) => {
    throw first;
  });
  return {
    service,
    held: () => assembly.pipelines.flatMap(({ pipeline, ingester }) => describeHeld(pipeline, ingester)),
    done: Promise.race([stopped, broken]),
    stuck: watch.hung,
  };
}

/** One pipeline at work in this process. */
interface RunningPipeline extends Service {
  /** Resolves to what only a person can mend, once that has stopped the pipeline. */
  readonly broken: Promise<unknown>;
}

async function startPipeline(
  deployment: Deployment,
  assembly: Assembly,
  assembled: AssembledPipeline,
  { role, jobs }: Pick<WorkerOptions, 'role' | 'jobs'>,
): Promise<RunningPipeline> {
  let breakDown: (error: unknown) => void = () => undefined;
  const brokenDown = new Promise<unknown>((resolve) => {
    breakDown = resolve;
  });
  const onError = (error: unknown): void => {
    if (actionFor(error) === 'stop') breakDown(error);
  };
  const workers = startWorkers(deployment, assembled, assembly.keyring, {
    role,
    jobs,
    onError,
  });
  const { pipeline, ingester } = assembled;
  const ingesters = ingester ? [await startIngest(deployment, ingester, assembly.schedules, onError)] : [];
  const service = inOrder([ingesters, workers]);
  const broken = brokenDown.then(async (error) => {
    deployment.log.error({
      event: 'pipeline_stopped',
      pipeline: pipeline.name,
      error: asPipelineError(error),
    });
    // What it holds is of no use here: others may fare better with it. The workers' jobs are left to fail first: one
    // that is cut short counts as being worked on for as long as nobody takes it over.
    await Promise.all(ingesters.map((ingest) => ingest.breakDown()));
    await Promise.all(workers.map((worker) => worker.stop('soft')));
    return error;
  });
  return { broken, stop: (mode) => service.stop(mode) };
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
