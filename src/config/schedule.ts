import { validate } from 'node-cron';
import type { PauseWindow, Schedule } from './config.js';
import type { PipelineInput } from './pipeline-schema.js';
import type { Findings, Path } from './problem.js';

type MapInput = Exclude<PipelineInput['schedule'], string | undefined>;

const DAY_MINUTES = 1_440;
const WEEK_MINUTES = 7 * DAY_MINUTES;
/** As cron counts them. */
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

/** The schedule, null when there is none; reports patterns, time zones and times that do not exist. */
export function buildSchedule(
  input: PipelineInput['schedule'],
  at: Path,
  findings: Findings,
): Schedule | null {
  if (input === undefined) return null;
  if (typeof input === 'string') return scheduleOf(input, at, PLAIN, findings);
  if (!isTimezone(input.timezone))
    findings.error([...at, 'timezone'], 'no such time zone; write one such as Europe/Berlin');
  const { timezone, exclusive, catch_up: catchUp } = input;
  const pause = buildPauses(input.pause, [...at, 'pause'], findings);
  return scheduleOf(input.cron, [...at, 'cron'], { timezone, exclusive, catchUp, pause }, findings);
}

/** What a schedule without options has. */
const PLAIN = { timezone: 'UTC', exclusive: false, catchUp: true, pause: [] };

function scheduleOf(
  pattern: string,
  at: Path,
  { catchUp, ...terms }: Pick<Schedule, 'timezone' | 'exclusive' | 'pause'> & { readonly catchUp: boolean },
  findings: Findings,
): Schedule {
  if (pattern === 'continuous') return { kind: 'continuous', ...terms };
  if (!validate(pattern)) {
    findings.error(
      at,
      'must be `continuous` or a cron pattern of 5 fields, or of 6 with seconds first, such as "*/30 * * * * *"',
    );
  }
  return { kind: 'cron', cron: pattern, ...terms, catchUp };
}

function buildPauses(input: MapInput['pause'], at: Path, findings: Findings): readonly PauseWindow[] {
  const pauses = input.map(({ from, to, days }, index): PauseWindow => {
    const named = daysOf(days);
    if (named === null)
      findings.error([...at, String(index), 'days'], 'must name days, such as mon-fri, or sat,sun');
    if (from === to)
      findings.error(
        [...at, String(index), 'to'],
        'is the same as `from`; a whole day is from "00:00" to "24:00"',
      );
    return { from: minutesOf(from), to: minutesOf(to), days: named ?? [] };
  });
  if (coversAll(pauses))
    findings.error(at, 'leaves no time to run; `maskline schedule pause` stops a pipeline');
  return pauses;
}

function minutesOf(time: string): number {
  const [hours, minutes] = time.split(':').map(Number);
  return (hours ?? 0) * 60 + (minutes ?? 0);
}

/** Null for what names no days. */
function daysOf(text: string): readonly number[] | null {
  const days = new Set<number>();
  for (const part of text.toLowerCase().split(',')) {
    const ends = part.split('-').map((name) => DAYS.indexOf(name.trim()));
    const [first, last = first] = ends;
    if (first === undefined || last === undefined || ends.length > 2 || ends.includes(-1)) return null;
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return [...days].toSorted((a, b) => a - b);
}

function coversAll(pauses: readonly PauseWindow[]): boolean {
  const covered = new Set<number>();
  for (const { from, to, days } of pauses) {
    const minutes = to >= from ? to - from : to - from + DAY_MINUTES;
    for (const day of days) {
      for (let n = 0; n < minutes; n += 1) covered.add((day * DAY_MINUTES + from + n) % WEEK_MINUTES);
    }
  }
  return covered.size === WEEK_MINUTES;
}

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}
