// What makes a deployment unhealthy. One cause is one problem: what only follows from another is left out.

import type { Config, PipelineConfig } from '../config/config.js';
import { formatDuration } from '../config/units.js';
import type { ProcessRecord } from '../load/processes.js';
import type { Steering } from '../load/schedules.js';
import type { Dependency, Problem } from '../ops/status.js';
import { policies } from '../policy.js';
import { GONE_MS } from './presence.js';
import { lastPauseEnd, pausedUntil, runsAfter } from './slots.js';
import type { Observed } from './status.js';

/** What the rules look at. */
export interface Evidence {
  readonly config: Pick<Config, 'healthMaxLagMs' | 'queue'>;
  readonly now: number;
  readonly dependencies: readonly Dependency[];
  /** Null while the database is away. */
  readonly processes: readonly ProcessRecord[] | null;
  readonly observed: readonly Observed[];
}

/** `continuous` ends a run about every minute. */
const CONTINUOUS_LIMIT_MS = 3 * 60_000;
/** A schedule by the second is not overdue because a look at an empty queue takes that long. */
const SLOT_GRACE_MS = 10_000;

/** All that is wrong, what others follow from first. */
export function findProblems(evidence: Evidence): readonly Problem[] {
  const { config, now, dependencies, processes, observed } = evidence;
  const live = processes?.filter(({ silentMs }) => silentMs <= GONE_MS) ?? null;
  return [
    ...dependencies.flatMap(dependencyProblems),
    ...(live === null ? [] : roleProblems(config, observed, live)),
    ...observed.flatMap((one) => {
      const stops = stopProblems(one, live ?? []);
      // Where it is stopped, runs fail and messages wait: that follows.
      const follows = stops.length > 0;
      return [
        ...stops,
        ...breakerProblems(one),
        ...(follows ? [] : overdueProblems(one, live, now)),
        ...failedProblems(one),
        ...(follows ? [] : lagProblems(one, config.healthMaxLagMs, now)),
      ];
    }),
  ];
}

function dependencyProblems({ name, ok, code }: Dependency): readonly Problem[] {
  if (ok || code === null) return [];
  const what = code === 'timeout' ? 'does not answer' : `cannot be asked: ${code}`;
  const remedy = code === 'timeout' ? 'see that it is up, and reachable from here' : policies[code].remedy;
  const kind = name === 'postgres' || name === 'queue' ? name : 'source';
  return [{ kind, subject: name, what, remedy }];
}

const STAGES = ['ingest', 'transform', 'load'] as const;

type StageRole = (typeof STAGES)[number];

function roleProblems(
  config: Evidence['config'],
  observed: readonly Observed[],
  live: readonly ProcessRecord[],
): readonly Problem[] {
  const missing = STAGES.map((role) => ({
    role,
    pipelines: observed.filter((one) => needs(one, role) && !serves(live, role, one.pipeline)),
  })).filter(({ pipelines }) => pipelines.length > 0);
  const names = (of: readonly Observed[]): string => of.map(({ pipeline }) => pipeline.name).join(', ');
  const gone = `has been seen for ${GONE_MS / 1_000} s`;
  const all = observed.filter((one) => missing.some(({ pipelines }) => pipelines.includes(one)));
  if (all.length > 0 && (config.queue.backend === 'memory' || missing.length === STAGES.length)) {
    const roles =
      config.queue.backend === 'memory' ? '' : ', or `run ingest`, `run transform` and `run load`';
    return [
      {
        kind: 'role_missing',
        subject: 'role all',
        what: `no process for ${names(all)} ${gone}`,
        remedy: `start \`maskline run\`${roles}`,
      },
    ];
  }
  return missing.map(({ role, pipelines }) => ({
    kind: 'role_missing',
    subject: `role ${role}`,
    what: `no process for ${names(pipelines)} ${gone}`,
    remedy: `start \`maskline run ${role}\``,
  }));
}

/** A pipeline without a schedule is drained by commands, which bring their own workers; what they leave needs others. */
function needs({ pipeline, backlog }: Observed, role: StageRole): boolean {
  if (pipeline.schedule !== null) return true;
  return role !== 'ingest' && (backlog?.[role].waiting ?? 0) > 0;
}

function serves(live: readonly ProcessRecord[], role: StageRole, { name }: PipelineConfig): boolean {
  return live.some((one) => (one.role === role || one.role === 'all') && one.pipelines.includes(name));
}

function stopProblems({ pipeline: { name } }: Observed, live: readonly ProcessRecord[]): readonly Problem[] {
  return live.flatMap(({ role, owner, stopped }) => {
    const stop = stopped[name];
    if (stop === undefined) return [];
    const { code, message, since } = stop;
    return [
      {
        kind: 'pipeline_stopped',
        subject: `pipeline ${name}`,
        what: `role ${role} at ${owner} has stopped it since ${iso(since)}: ${code}: ${message}`,
        remedy: `${policies[code].remedy}; it goes on by itself once that is mended`,
      },
    ];
  });
}

function breakerProblems({ pipeline: { name }, steering }: Observed): readonly Problem[] {
  if (steering?.breaker.state !== 'open') return [];
  const { since, reason } = steering.breaker;
  return [
    {
      kind: 'breaker_open',
      subject: `pipeline ${name}`,
      what: `its breaker has been open since ${iso(since)}: ${reason ?? 'no reason given'}`,
      remedy:
        `see \`maskline quarantine list -p ${name}\`, mend the cause, ` +
        `then close it by \`maskline schedule resume ${name}\``,
    },
  ];
}

function overdueProblems(
  one: Observed,
  live: readonly ProcessRecord[] | null,
  now: number,
): readonly Problem[] {
  const { name } = one.pipeline;
  // Without an ingester that is the problem, and this follows from it.
  if (live === null || !live.some((process) => serves([process], 'ingest', one.pipeline))) return [];
  const since = overdueSince(one, live, now);
  if (since === null) return [];
  return [
    {
      kind: 'schedule_overdue',
      subject: `pipeline ${name}`,
      what: `no run of its schedule has ended well since ${iso(since)}`,
      remedy: `see \`maskline runs list -p ${name}\`, and run_error in the log of the ingest role`,
    },
  ];
}

/**
 * Since when (epoch ms) no run of the pipeline's schedule has ended well, though two were due; null when it is not
 * overdue, or has never run, or nobody knows.
 */
export function overdueSince(
  { pipeline, steering, state }: Observed,
  processes: readonly ProcessRecord[] | null,
  now: number,
): number | null {
  const { schedule } = pipeline;
  if (schedule === null || steering === null || processes === null || !mayRun(steering)) return null;
  if (pausedUntil(schedule, now) !== null) return null;
  const ingesters = processes.filter((one) => one.silentMs <= GONE_MS && serves([one], 'ingest', pipeline));
  const startedAt = ingesters.length === 0 ? null : Math.min(...ingesters.map((one) => one.startedAt));
  const { lastSucceededAt, resumedAt } = steering.schedule;
  const first = lastSucceededAt ?? startedAt;
  if (first === null) return null;
  const catchesUp = schedule.kind === 'continuous' || schedule.catchUp;
  const since = Math.max(
    first,
    resumedAt ?? 0,
    // Who doesn't catch up may rightly wait for the next slot.
    catchesUp ? 0 : (startedAt ?? 0),
    schedule.kind === 'continuous' ? (lastPauseEnd(schedule, now) ?? 0) : 0,
  );
  const limit =
    schedule.kind === 'continuous'
      ? since + CONTINUOUS_LIMIT_MS
      : (runsAfter(schedule, since, 3)[2] ?? Infinity);
  // A long run is late with nothing but its end, and `lag` tells of that.
  const isAtWork = schedule.kind === 'cron' && state?.isRunning === true;
  return now <= limit + SLOT_GRACE_MS || isAtWork ? null : since;
}

/** Neither paused nor broken. */
export function mayRun({ schedule, breaker }: Steering): boolean {
  return schedule.pausedAt === null && breaker.state === 'closed';
}

function failedProblems({ pipeline: { name }, failed }: Observed): readonly Problem[] {
  if (failed === null) return [];
  return (['transform', 'load'] as const).flatMap((stage) => {
    if (failed[stage].length === 0) return [];
    const codes = [...new Set(failed[stage].map((job) => job.code))];
    return [
      {
        kind: 'jobs_failed',
        subject: `pipeline ${name}`,
        what: `${failed[stage].length} ${stage} ${failed[stage].length === 1 ? 'job' : 'jobs'} failed within the hour: ${codes.join(', ')}`,
        remedy: `see \`maskline failed list -p ${name}\`, mend the cause, then \`maskline failed retry\``,
      },
    ];
  });
}

/** For how long the oldest message that is not settled may have waited; null when nobody can tell. */
export function lagMs({ pipeline, steering, state, depth, backlog }: Observed, now: number): number | null {
  if (depth === null || backlog === null || steering === null) return null;
  const batches = [backlog.transform, backlog.load].reduce(
    (sum, { waiting, active }) => sum + waiting + active,
    0,
  );
  if (depth.visible + depth.inFlight + batches === 0) return 0;
  const { lastSucceededAt } = steering.schedule;
  if (lastSucceededAt === null) return null;
  // A run until the queue is empty has left nothing that was there when it began. One that is cut may have.
  const isCut = pipeline.schedule?.kind === 'continuous' && depth.visible > 0;
  const reached = isCut ? Math.min(lastSucceededAt, state?.latestSentAt ?? Infinity) : lastSucceededAt;
  return Math.max(0, now - reached);
}

function lagProblems(observed: Observed, maxLagMs: number, now: number): readonly Problem[] {
  const { pipeline, steering, backlog } = observed;
  const lag = lagMs(observed, now);
  if (lag === null || steering === null || backlog === null || !mayRun(steering)) return [];
  // What waits through a pause has as long after it as any other message.
  const { schedule } = pipeline;
  if (schedule !== null && pausedUntil(schedule, now) !== null) return [];
  const openSince = (schedule && lastPauseEnd(schedule, now)) ?? 0;
  const limit = maxLagMs + waitForSlotMs(observed);
  if (now - openSince <= limit) return [];
  if (lag <= limit) return [];
  const { transform, load } = backlog;
  const stage = load.waiting >= transform.waiting ? 'load' : 'transform';
  const isWaiting = load.waiting + transform.waiting > 0;
  return [
    {
      kind: 'lag',
      subject: `pipeline ${pipeline.name}`,
      what: `messages may have waited for ${seconds(lag)} (limit ${seconds(limit)})`,
      remedy: isWaiting
        ? `${stage} is behind: start another \`maskline run ${stage}\`, or see what slows it down`
        : 'messages are received too slowly or too seldom: see the log of the ingest role, run it more often, or start another',
    },
  ];
}

/** So long may a message rightly wait for the next run to begin. */
function waitForSlotMs({ pipeline: { schedule }, steering }: Observed): number {
  const last = steering?.schedule.lastSucceededAt ?? null;
  if (schedule?.kind !== 'cron' || last === null) return 0;
  return (runsAfter(schedule, last, 1)[0] ?? last) - last;
}

function seconds(ms: number): string {
  return formatDuration(Math.ceil(ms / 1_000) * 1_000);
}

function iso(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
