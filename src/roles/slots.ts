// When a schedule runs, by its pattern, its time zone and its pauses. Who shows times, who judges them and who keeps to
// them ask here, so that they agree. Where clocks go forward, a time that a day lacks counts an hour later; where they go
// back, one that comes twice counts once, when it comes first.

import { CronExpressionParser } from 'cron-parser';
import type { Schedule } from '../config/config.js';

/** A pattern in its time zone. */
export interface Pattern {
  readonly cron: string;
  readonly timezone: string;
}

type Pauses = Pick<Schedule, 'pause' | 'timezone'>;

/** Longer than the longest pause, on the day that has 25 hours. */
const LONGEST_PAUSE_MS = 26 * 3_600_000;
const WEEK_MS = 7 * 24 * 3_600_000;

/** The slots after a time (epoch ms), earliest first; none for a pattern that names no real date. */
export function slotsAfter(schedule: Pattern, after: number, count: number): readonly number[] {
  try {
    return CronExpressionParser.parse(schedule.cron, { currentDate: new Date(after), tz: schedule.timezone })
      .take(count)
      .map((slot) => slot.getTime());
  } catch {
    return [];
  }
}

/** True when a slot of the schedule lies between the last start on record and now. */
export function isDue(schedule: Pattern, lastStartedAt: number | null, now: number): boolean {
  if (lastStartedAt === null) return true;
  return (slotsAfter(schedule, lastStartedAt, 1)[0] ?? Infinity) <= now;
}

/** When the pause that holds at that time ends; null when there is none. Pauses that touch are one. */
export function pausedUntil(schedule: Pauses, now: number): number | null {
  let until: number | null = null;
  for (;;) {
    const at: number = until ?? now;
    const end = Math.max(...schedule.pause.map((each) => endAt(each, schedule.timezone, at)), at);
    if (end === at) return until;
    until = end;
  }
}

/** When the next pause begins, after that time; null when there is none. */
export function nextPauseAt({ pause, timezone }: Pauses, after: number): number | null {
  const starts = pause.flatMap((each) => slotsAfter(startsOf(each, timezone), after, 1));
  return starts.length === 0 ? null : Math.min(...starts);
}

/** When the latest pause ended, within a week before that time; null when there was none, or one holds. */
export function lastPauseEnd(schedule: Pauses, now: number): number | null {
  if (schedule.pause.length === 0 || pausedUntil(schedule, now) !== null) return null;
  let last: number | null = null;
  for (let at: number | null = now - WEEK_MS; at !== null && at <= now; at = nextPauseAt(schedule, at)) {
    const end = pausedUntil(schedule, at);
    if (end !== null && end <= now) last = end;
  }
  return last;
}

/** When runs begin after that time, earliest first: at slots, and at the end of a pause that held one up. */
export function runsAfter(
  schedule: Extract<Schedule, { kind: 'cron' }>,
  after: number,
  count: number,
): readonly number[] {
  const runs: number[] = [];
  const until = pausedUntil(schedule, after);
  let at = after;
  if (until !== null) {
    const isMadeUp = schedule.catchUp && isDue(schedule, startOfPause(schedule, after), until);
    if (isMadeUp) runs.push(until);
    // A slot at its very end is no longer within it.
    at = isMadeUp ? until : until - 1;
  }
  while (runs.length < count) {
    const [slot] = slotsAfter(schedule, at, 1);
    if (slot === undefined) break;
    const end = pausedUntil(schedule, slot);
    if (end === null || schedule.catchUp) runs.push(end ?? slot);
    at = end === null ? slot : end - (schedule.catchUp ? 0 : 1);
  }
  return runs;
}

/** Just before the pause that holds at that time began. */
function startOfPause(schedule: Pauses, now: number): number {
  let start = now;
  for (;;) {
    const starts = schedule.pause.flatMap((each) =>
      slotsAfter(startsOf(each, schedule.timezone), start - LONGEST_PAUSE_MS, 2).filter(
        (begin) => begin < start && endAt(each, schedule.timezone, begin) >= start,
      ),
    );
    if (starts.length === 0) return start - 1;
    start = Math.min(...starts);
  }
}

/** When the window that holds at that time ends; the time itself when none does. */
function endAt(window: Schedule['pause'][number], timezone: string, now: number): number {
  const begun = slotsAfter(startsOf(window, timezone), now - LONGEST_PAUSE_MS, 2).filter((at) => at <= now);
  const ends = begun.map((at) => slotsAfter(dailyAt(window.to, '*', timezone), at, 1)[0] ?? now);
  return Math.max(now, ...ends);
}

function startsOf({ from, days }: Schedule['pause'][number], timezone: string): Pattern {
  return dailyAt(from, days.join(','), timezone);
}

function dailyAt(minutes: number, days: string, timezone: string): Pattern {
  return { cron: `${minutes % 60} ${Math.floor(minutes / 60) % 24} * * ${days}`, timezone };
}
