import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { checkSchema } from '../load/migrate.js';
import { type ScheduleLog, type Steering, createScheduleLog } from '../load/schedules.js';
import { selectPipelines } from '../roles/deployment.js';
import { pausedUntil, runsAfter } from '../roles/slots.js';
import { nextRunAt, scheduleText } from '../roles/status.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment, readConfig } from './deployment.js';
import { exitCode } from './exit.js';
import type { Row } from './output.js';
import { isoTime } from './report.js';

const LIST_COLUMNS = [
  'pipeline',
  'schedule',
  'timezone',
  'next_at',
  'paused_at',
  'paused_until',
  'reason',
  'last_started_at',
  'last_succeeded_at',
  'turn_of',
  'breaker',
  'breaker_since',
  'breaker_reason',
];
const NEXT_COLUMNS = ['pipeline', 'at', 'local', 'timezone'];
const DEFAULT_SLOTS = 5;

/** `schedule list`: each pipeline's schedule, pause and breaker. */
export const scheduleList: Command<object> = async (context) => {
  const deployment = openDeployment(context, 'cli');
  const pipelines = selectPipelines(deployment.config, context.pipelines);
  const steerings = await withPool(deployment, 'cli', async (pool) => {
    await checkSchema(pool);
    return createScheduleLog(pool).readAll(pipelines.map(({ name }) => name));
  });
  const now = deployment.clock.now();
  const rows = pipelines.flatMap((pipeline, index) => {
    const steering = steerings[index];
    return steering ? [listRow(pipeline, steering, now)] : [];
  });
  // On a terminal there is room for what says something only.
  const said = LIST_COLUMNS.filter((column) => rows.some((row) => row[column] !== null));
  context.out.list(rows, said);
  return exitCode.ok;
};

function listRow({ name, schedule }: PipelineConfig, steering: Steering, now: number): Row {
  const { schedule: state, breaker } = steering;
  const isOpen = breaker.state === 'open';
  return {
    pipeline: name,
    schedule: scheduleText(schedule),
    timezone: schedule?.kind === 'cron' ? schedule.timezone : null,
    next_at: isoTime(nextRunAt(schedule, steering, now)),
    paused_at: isoTime(state.pausedAt),
    paused_until: isoTime(schedule && pausedUntil(schedule, now)),
    reason: state.reason,
    last_started_at: isoTime(state.lastStartedAt),
    last_succeeded_at: isoTime(state.lastSucceededAt),
    turn_of: state.turnOf,
    breaker: breaker.state,
    breaker_since: isOpen ? isoTime(breaker.since) : null,
    breaker_reason: isOpen ? breaker.reason : null,
  };
}

/** `schedule next`: when the next runs begin, in UTC and in the schedule's own zone. Asks nobody. */
export const scheduleNext: Command<{ readonly args: readonly string[]; readonly number?: number }> = async (
  context,
  { args, number = DEFAULT_SLOTS },
) => {
  const pipelines = selectPipelines(readConfig(context), [...args, ...context.pipelines]);
  const now = Date.now();
  const rows: Row[] = [];
  for (const { name, schedule } of pipelines) {
    if (schedule?.kind !== 'cron') {
      context.out.note(
        schedule === null
          ? `${name} has no schedule: only \`maskline drain\` runs it`
          : `${name} is continuous: it runs all the time`,
      );
      continue;
    }
    for (const slot of runsAfter(schedule, now, number)) {
      const { timezone } = schedule;
      rows.push({ pipeline: name, at: isoTime(slot), local: localTime(slot, timezone), timezone });
    }
  }
  context.out.list(rows, NEXT_COLUMNS);
  return exitCode.ok;
};

/** `2026-01-31 12:00:00 UTC+1` in that time zone. */
function localTime(epochMs: number, timeZone: string): string {
  // The Swedish form is the ISO one.
  const format = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' });
  const zone = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'shortOffset' })
    .formatToParts(epochMs)
    .find(({ type }) => type === 'timeZoneName');
  const offset = (zone?.value ?? '').replace('GMT', 'UTC').replace(/\+0$/, '');
  return `${format.format(epochMs)} ${offset}`.trim();
}

interface SteerOptions {
  readonly args: readonly string[];
  readonly all?: boolean;
}

/** `schedule pause`: no tick starts until `resume`; a run under way finishes, and `drain` still works. */
export const schedulePause: Command<SteerOptions & { readonly reason?: string }> = async (context, options) =>
  steer(context, options, 'paused', (log, pipeline) => log.pause(pipeline, options.reason ?? null));

/** `schedule resume`: ends a pause and closes the breaker. */
export const scheduleResume: Command<SteerOptions> = async (context, options) =>
  steer(context, options, 'resumed', (log, pipeline) => log.resume(pipeline));

async function steer(
  context: CliContext,
  { args, all = false }: SteerOptions,
  state: string,
  act: (log: ScheduleLog, pipeline: string) => Promise<void>,
): Promise<number> {
  const deployment = openDeployment(context, 'cli');
  const pipelines = selectPipelines(deployment.config, namesOrAll(context, args, all));
  await withPool(deployment, 'cli', async (pool) => {
    await checkSchema(pool);
    const log = createScheduleLog(pool);
    for (const { name } of pipelines) await act(log, name);
  });
  for (const { name } of pipelines) context.out.result({ pipeline: name, state }, `${name}: ${state}`);
  return exitCode.ok;
}

/** What was named, or nothing for all of them; never all by mistake. */
function namesOrAll(context: CliContext, args: readonly string[], all: boolean): readonly string[] {
  const names = [...args, ...context.pipelines];
  if (all && names.length > 0) throw new PipelineError('usage', 'give either pipelines or --all, not both');
  if (!all && names.length === 0)
    throw new PipelineError('usage', 'name the pipelines that are meant, or say --all');
  return names;
}
