import { CronExpressionParser } from 'cron-parser';
import cron from 'node-cron';
import type { Clock } from '../clock.js';
import type { Schedule } from '../config/config.js';
import type { Service } from '../lifecycle.js';
import type { EventBus } from '../ops/events.js';
import { actionFor, outlast } from '../policy.js';

/**
 * How often it is looked whether a slot went by unseen. node-cron drops one that it comes to more than a second late, as
 * it does when the machine was asleep, the clock was set forward, or the event loop was busy.
 */
const LOOK_EVERY_MS = 30_000;
/** A slot that is no older is still node-cron's. */
const LATE_MS = 5_000;

/** Where the last start of each schedule is kept; both throw `postgres_unavailable`. */
export interface ScheduleBook {
  /** Epoch ms, or null when it has never started. */
  lastStartedAt(pipeline: string): Promise<number | null>;
  started(pipeline: string, at: number): Promise<void>;
}

/** What a schedule starts, and what it tells. */
export interface ScheduleOptions {
  readonly pipeline: string;
  readonly schedule: Extract<Schedule, { kind: 'cron' }>;
  readonly book: ScheduleBook;
  /** One tick's work. What it throws is its own to report. */
  readonly tick: () => Promise<void>;
  readonly clock: Clock;
  readonly events: EventBus;
  /** Hears of every wait for the book. */
  readonly onWait?: (error: unknown) => void;
}

/**
 * Starts a tick at every slot, never two at once, and one now if a slot has passed since the last on record: a
 * tick drains until the queue is empty, so a missed one costs latency only, and is made up for within half a minute. While the book is away the slots go on, and
 * the one to catch up comes when it is back. Stopping waits for the tick under way.
 */
export async function startSchedule(options: ScheduleOptions): Promise<Service> {
  const { pipeline, schedule, book, clock, events, onWait } = options;
  const stopped = new AbortController();
  const lastStartedAt = await unlessAway(book.lastStartedAt(pipeline));
  let underWay: Promise<void> | null = null;
  let seenAt = clock.now();
  const overlap = (): void => {
    seenAt = clock.now();
    events.emit('schedule_overlap', { pipeline, at: seenAt });
  };
  // node-cron's guard does not see the tick that catches up, so this one is asked first.
  const tick = async (): Promise<void> => {
    if (underWay !== null) return overlap();
    seenAt = clock.now();
    // Failing to note the start costs a needless run after a restart, no more.
    const noted = book.started(pipeline, seenAt);
    underWay = Promise.allSettled([noted, options.tick()]).then(() => undefined);
    await underWay;
    underWay = null;
  };
  const task = cron.createTask(schedule.cron, tick, {
    name: pipeline,
    timezone: schedule.timezone,
    noOverlap: true,
    logger: silent,
  });
  task.on('execution:overlap', overlap);
  void task.start();
  const catchUp = (last: number | null, until = clock.now()): void => {
    if (schedule.catchUp && !stopped.signal.aborted && isDue(schedule, last, until)) void tick();
  };
  if (lastStartedAt !== AWAY) catchUp(lastStartedAt);
  // What else may be wrong with the book then, the runs find too.
  else
    outlast(clock, () => book.lastStartedAt(pipeline), stopped.signal, onWait).then(
      (last) => catchUp(last),
      ignore,
    );
  const looking = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await clock.sleep(LOOK_EVERY_MS, stopped.signal);
      // A clock that was set back would otherwise see to it only when it has caught up with itself.
      seenAt = Math.min(seenAt, clock.now());
      if (underWay === null) catchUp(seenAt, clock.now() - LATE_MS);
    }
  };
  const looked = looking();
  return {
    stop: async () => {
      stopped.abort();
      await task.destroy();
      await underWay;
      await looked;
    },
  };
}

const AWAY = Symbol('away');

/** What the promise resolves to, or that an outage keeps it from that. */
async function unlessAway<T>(answer: Promise<T>): Promise<T | typeof AWAY> {
  try {
    return await answer;
  } catch (error) {
    if (actionFor(error) === 'wait') return AWAY;
    throw error;
  }
}

/** True when a slot of the schedule lies between the last start on record and now. */
export function isDue(
  schedule: { readonly cron: string; readonly timezone: string },
  lastStartedAt: number | null,
  now: number,
): boolean {
  if (lastStartedAt === null) return true;
  const slots = CronExpressionParser.parse(schedule.cron, {
    currentDate: new Date(now),
    tz: schedule.timezone,
  });
  return slots.prev().getTime() > lastStartedAt;
}

/** The slots after a time (epoch ms), earliest first; none for a pattern that names no real date. */
export function slotsAfter(
  schedule: { readonly cron: string; readonly timezone: string },
  after: number,
  count: number,
): readonly number[] {
  try {
    return CronExpressionParser.parse(schedule.cron, { currentDate: new Date(after), tz: schedule.timezone })
      .take(count)
      .map((slot) => slot.getTime());
  } catch {
    return [];
  }
}

/** node-cron's own remarks would bypass the logger; what matters arrives as events. */
const silent = { info: ignore, warn: ignore, error: ignore, debug: ignore };

function ignore(): void {
  // Nothing to tell.
}
