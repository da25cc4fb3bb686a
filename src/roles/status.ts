import type { PipelineConfig, Schedule } from '../config/config.js';
import type { ErrorCode } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import { checkDatabase } from '../load/database-check.js';
import { type LatestRun, type PipelineState, readPipelineStates } from '../load/pipeline-state.js';
import { type ProcessRecord, listProcesses } from '../load/processes.js';
import { type Steering, createScheduleLog } from '../load/schedules.js';
import { type Answer, attempt } from '../ops/attempt.js';
import type { Dependency, PipelineStatus, RunStatus, Status } from '../ops/status.js';
import type { FailedJob, FailedJobs } from '../queue/failed-jobs.js';
import type { Backlog, BatchQueue } from '../queue/queue.js';
import type { QueueClient } from '../source/queue-client.js';
import type { QueueDepth } from '../source/source.js';
import { depthOf } from '../source/sqs-source.js';
import type { Deployment } from './deployment.js';
import { labelledQueues } from './queue-labels.js';
import { findProblems, lagMs, mayRun, overdueSince } from './problems.js';
import { pausedUntil, runsAfter } from './slots.js';

/** What is asked for a status; nothing is opened by asking. */
export interface StatusParts {
  readonly pool: Pick<PostgresPool, 'query'>;
  readonly pipelines: readonly {
    readonly pipeline: PipelineConfig;
    /** Null where no other process can see them: under memory://. */
    readonly queues: {
      readonly transformQueue: AskedQueue;
      readonly loadQueue: AskedQueue;
    } | null;
    /** Of each queue that it receives from. */
    readonly clients: readonly Pick<QueueClient, 'queue' | 'attributes'>[];
  }[];
}

/** A queue of either stage, as far as it is asked. */
export type AskedQueue = Pick<BatchQueue<never>, 'backlog'> & Pick<FailedJobs<never>, 'failed'>;

/** What was found out about one pipeline; null is what was not. */
export interface Observed {
  readonly pipeline: PipelineConfig;
  readonly steering: Steering | null;
  readonly state: PipelineState | null;
  readonly depth: QueueDepth | null;
  /** Of each of its queues. */
  readonly depths: readonly { readonly queue: string; readonly depth: QueueDepth | null }[];
  readonly backlog: { readonly transform: Backlog; readonly load: Backlog } | null;
  /** Jobs that failed within the hour, by stage. */
  readonly failed: { readonly transform: readonly FailedJob[]; readonly load: readonly FailedJob[] } | null;
}

/** Longer than any of them takes, and short enough for who waits at a page. */
const ASK_LIMIT_MS = 3_000;
/** A process that has been silent for longer is not shown any more. */
const SHOWN_MS = 10 * 60_000;
const HOUR_MS = 3_600_000;
/** More failed jobs than these are not read only to be counted. */
const MAX_FAILED = 100;

/** How a deployment is. Whatever does not answer in time leaves nulls and a problem; never rejects. */
export async function collectStatus(
  { config, clock }: Pick<Deployment, 'config' | 'clock'>,
  parts: StatusParts,
): Promise<Status> {
  const now = clock.now();
  const [database, queues, depths] = await Promise.all([
    attempt(() => askDatabase(parts), ASK_LIMIT_MS),
    Promise.all(
      parts.pipelines.map(
        async ({ queues: each }) => each && attempt(() => askQueues(each, now), ASK_LIMIT_MS),
      ),
    ),
    Promise.all(parts.pipelines.map(askSqs)),
  ]);
  const observed = parts.pipelines.map(({ pipeline }, index): Observed => {
    const asked = valueOf(queues[index]);
    return {
      pipeline,
      steering: valueOf(database)?.steerings[index] ?? null,
      state: valueOf(database)?.states[index] ?? null,
      ...depthsOf(depths[index] ?? []),
      backlog: asked && { transform: asked.transform.backlog, load: asked.load.backlog },
      failed: asked && { transform: asked.transform.failed, load: asked.load.failed },
    };
  });
  const dependencies = [
    dependency('postgres', [database]),
    ...(config.queue.backend === 'memory' ? [] : [dependency('queue', queues)]),
    ...parts.pipelines.flatMap(({ pipeline }, index) =>
      labelledQueues(pipeline).map(({ label }, which) =>
        dependency(`source ${label}`, [depths[index]?.[which]?.depth]),
      ),
    ),
  ];
  const processes = valueOf(database)?.processes ?? null;
  const problems = findProblems({ config, now, dependencies, processes, observed });
  return {
    at: iso(now),
    healthy: problems.length === 0,
    problems,
    dependencies,
    processes: (processes ?? []).map(processStatus),
    pipelines: observed.map((one) => pipelineStatus(one, overdueSince(one, processes, now), now)),
  };
}

interface DatabaseAnswer {
  readonly steerings: readonly Steering[];
  readonly states: readonly PipelineState[];
  readonly processes: readonly ProcessRecord[];
}

async function askDatabase({ pool, pipelines }: StatusParts): Promise<DatabaseAnswer> {
  await checkDatabase(pool);
  const names = pipelines.map(({ pipeline }) => pipeline.name);
  const [steerings, states, processes] = await Promise.all([
    createScheduleLog(pool).readAll(names),
    readPipelineStates(pool, names),
    listProcesses(pool, SHOWN_MS),
  ]);
  return { steerings, states, processes };
}

type DepthAnswers = readonly { readonly queue: string; readonly depth: Answer<QueueDepth> }[];

function askSqs({ clients }: StatusParts['pipelines'][number]): Promise<DepthAnswers> {
  return Promise.all(
    clients.map(async (client) => ({
      queue: client.queue,
      depth: await attempt(() => depthOf(client), ASK_LIMIT_MS),
    })),
  );
}

/** What all hold together is known when all have answered. */
function depthsOf(answers: DepthAnswers): Pick<Observed, 'depth' | 'depths'> {
  const depths = answers.map(({ queue, depth }) => ({ queue, depth: valueOf(depth) }));
  const known = depths.flatMap(({ depth }) => depth ?? []);
  const sum = (key: keyof QueueDepth): number => known.reduce((total, depth) => total + depth[key], 0);
  const all = { visible: sum('visible'), inFlight: sum('inFlight'), delayed: sum('delayed') };
  return { depth: known.length === depths.length ? all : null, depths };
}

interface StageAnswer {
  readonly backlog: Backlog;
  readonly failed: readonly FailedJob[];
}

async function askQueues(
  { transformQueue, loadQueue }: NonNullable<StatusParts['pipelines'][number]['queues']>,
  now: number,
): Promise<{ readonly transform: StageAnswer; readonly load: StageAnswer }> {
  const ask = async (queue: AskedQueue): Promise<StageAnswer> => {
    const backlog = await queue.backlog();
    if (backlog.failed === 0) return { backlog, failed: [] };
    return { backlog, failed: await queue.failed({ codes: [], since: now - HOUR_MS, limit: MAX_FAILED }) };
  };
  const [transform, load] = await Promise.all([ask(transformQueue), ask(loadQueue)]);
  return { transform, load };
}

function valueOf<T>(answer: Answer<T> | null | undefined): T | null {
  return answer?.ok ? answer.value : null;
}

function dependency(name: string, answers: readonly (Answer<unknown> | null | undefined)[]): Dependency {
  const codes = answers.flatMap((answer): (ErrorCode | 'timeout')[] =>
    answer && !answer.ok ? [answer.code] : [],
  );
  // A code says more than that there was none.
  const code = codes.find((each) => each !== 'timeout') ?? codes[0] ?? null;
  return { name, ok: code === null, code };
}

function processStatus({
  role,
  owner,
  version,
  pipelines,
  startedAt,
  seenAt,
}: ProcessRecord): Status['processes'][number] {
  return { role, owner, version, pipelines, started_at: iso(startedAt), seen_at: iso(seenAt) };
}

function pipelineStatus(observed: Observed, overdue: number | null, now: number): PipelineStatus {
  const { pipeline, steering, state, depth, depths, backlog, failed } = observed;
  const { schedule, target, further } = pipeline;
  const lag = lagMs(observed, now);
  const breaker = steering?.breaker ?? null;
  return {
    pipeline: pipeline.name,
    table: `${target.schema}.${target.table}`,
    further_tables: further.map(({ schema, table }) => `${schema}.${table}`),
    schedule: scheduleText(schedule),
    timezone: schedule?.kind === 'cron' ? schedule.timezone : null,
    next_at: isoOrNull(nextRunAt(schedule, steering, now)),
    paused_at: isoOrNull(steering?.schedule.pausedAt),
    paused_until: isoOrNull(schedule && pausedUntil(schedule, now)),
    pause_reason: steering?.schedule.reason ?? null,
    last_started_at: isoOrNull(steering?.schedule.lastStartedAt),
    last_succeeded_at: isoOrNull(steering?.schedule.lastSucceededAt),
    overdue_since: isoOrNull(overdue),
    breaker: breaker?.state ?? null,
    breaker_since: breaker?.state === 'open' ? iso(breaker.since) : null,
    breaker_reason: breaker?.reason ?? null,
    queue: depth && queueStatus(depth),
    queues: depths.map(({ queue, depth: own }) => ({ queue, ...(own && queueStatus(own)) })),
    backlog,
    failed_last_hour: failed && Math.min(MAX_FAILED, failed.transform.length + failed.load.length),
    quarantine: state && state.quarantine,
    lag_seconds: lag === null ? null : Math.ceil(lag / 1_000),
    last_run: state?.latestRun ? runStatus(state.latestRun) : null,
  };
}

function queueStatus({ visible, inFlight, delayed }: QueueDepth): NonNullable<PipelineStatus['queue']> {
  return { visible, in_flight: inFlight, delayed };
}

/** When the next run begins; null when none will, as things are. */
export function nextRunAt(schedule: Schedule | null, steering: Steering | null, now: number): number | null {
  if (schedule?.kind !== 'cron' || (steering !== null && !mayRun(steering))) return null;
  return runsAfter(schedule, now, 1)[0] ?? null;
}

/** The schedule as the file has it; null when only `drain` runs the pipeline. */
export function scheduleText(schedule: Schedule | null): string | null {
  return schedule?.kind === 'cron' ? schedule.cron : (schedule?.kind ?? null);
}

function runStatus({ runId, startedAt, finishedAt, ...rest }: LatestRun): RunStatus {
  return { ...rest, run_id: runId, started_at: iso(startedAt), finished_at: isoOrNull(finishedAt) };
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

function isoOrNull(epochMs: number | null | undefined): string | null {
  return epochMs === null || epochMs === undefined ? null : iso(epochMs);
}
