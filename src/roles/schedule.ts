import cron from 'node-cron';
import type { Trigger } from '../batch.js';
import type { Clock } from '../clock.js';
import type { Schedule } from '../config/config.js';
import type { Service } from '../lifecycle.js';
import { actionFor, outlast } from '../policy.js';
import { isDue, pausedUntil } from './slots.js';

/**
 * How often it is looked whether a slot went by unseen. node-cron drops one that it comes to more than a second late, as
 * it does when the machine was asleep, the clock was set forward, or the event loop was busy; and it leaves out one that
 * the day lacks since clocks went forward.
 */
const LOOK_EVERY_MS = 30_000;
/** A slot that is no older is still node-cron's. */
const LATE_MS = 5_000;
/** How often it is asked whether somebody wants a run now: one statement by primary key, which mostly finds nothing. */
const ASK_EVERY_MS = 3_000;
/** A timer may come to a slot so much too soon, by the clock on the wall. */
const EARLY_MS = 500;

/** Why a tick begins: its slot, or somebody who wants it now. */
export type TickTrigger = Extract<Trigger, 'schedule' | 'manual'>;

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
  readonly tick: (trigger: TickTrigger) => Promise<void>;
  /** Whether somebody wants a run now, who is told only once; without it nobody is asked. Throws `postgres_unavailable`. */
  readonly isWanted?: () => Promise<boolean>;
  readonly clock: Clock;
  /** Hears of every slot that is left out since the tick before it is still going. */
  readonly onOverlap?: (at: number) => void;
  /** Hears of every wait for the book. */
  readonly onWait?: (error: unknown) => void;
}

/**
 * Starts a tick at every slot, never two at once, and one now if a slot has passed since the last on record: a tick
 * drains until the queue is empty, so a missed one costs latency only, and is made up for within half a minute. In a
 * pause nothing starts; what was due in it starts once, at its end. While the book is away the slots go on, and the one
 * to catch up comes when it is back. Stopping waits for the tick under way.
 */
export async function startSchedule(options: ScheduleOptions): Promise<Service> {
  const { pipeline, schedule, book, onWait, clock } = options;
  const stopped = new AbortController();
  const lastStartedAt = await unlessAway(book.lastStartedAt(pipeline));
  const ticks = new Ticks(options, stopped.signal);
  const task = cron.createTask(schedule.cron, () => ticks.atSlot(), {
    name: pipeline,
    timezone: schedule.timezone,
    noOverlap: true,
    logger: silent,
  });
  task.on('execution:overlap', () => ticks.overlap());
  void task.start();
  if (lastStartedAt !== AWAY) ticks.catchUp(lastStartedAt);
  // What else may be wrong with the book then, the runs find too.
  else
    outlast(clock, () => book.lastStartedAt(pipeline), stopped.signal, onWait).then(
      (last) => ticks.catchUp(last),
      ignore,
    );
  const looked = Promise.all([ticks.look(), ticks.heed()]);
  return {
    stop: async () => {
      stopped.abort();
      await task.destroy();
      await ticks.underWay;
      await looked;
    },
  };
}

/** Decides at each slot, and in between, whether a tick begins. */
class Ticks {
  readonly #options: ScheduleOptions;
  readonly #stopped: AbortSignal;
  /** Slots up to here have been seen to. */
  #seenAt: number;
  /** A slot went by in a pause, and is to be made up for. */
  #isOwed = false;
  underWay: Promise<void> | null = null;

  constructor(options: ScheduleOptions, stopped: AbortSignal) {
    this.#options = options;
    this.#stopped = stopped;
    this.#seenAt = options.clock.now();
  }

  /** What node-cron calls. It comes twice to a time that comes twice. */
  async atSlot(): Promise<void> {
    const { schedule, clock } = this.#options;
    if (this.underWay !== null) return this.overlap();
    if (isDue(schedule, this.#seenAt, clock.now() + EARLY_MS)) await this.#begin();
  }

  overlap(): void {
    this.#seenAt = this.#options.clock.now();
    this.#options.onOverlap?.(this.#seenAt);
  }

  /** Begins a tick when a slot lies between those times. */
  catchUp(last: number | null, until = this.#options.clock.now()): void {
    const { schedule } = this.#options;
    if (!schedule.catchUp || this.#stopped.aborted || !isDue(schedule, last, until)) return;
    if (this.underWay === null) void this.#begin();
  }

  /** Looks now and then for slots that went by unseen, and at the end of a pause for what it held up. */
  async look(): Promise<void> {
    const { schedule, clock } = this.#options;
    while (!this.#stopped.aborted) {
      const pausedMs = (pausedUntil(schedule, clock.now()) ?? Infinity) - clock.now();
      await clock.sleep(Math.min(LOOK_EVERY_MS, pausedMs), this.#stopped);
      // A clock that was set back would otherwise see to it only when it has caught up with itself.
      this.#seenAt = Math.min(this.#seenAt, clock.now());
      if (this.underWay !== null || this.#stopped.aborted) continue;
      if (this.#isOwed) void this.#begin();
      else this.catchUp(this.#seenAt, clock.now() - LATE_MS);
    }
  }

  /** Begins a tick when somebody wants one now. While one is under way the request waits for its end. */
  async heed(): Promise<void> {
    const { isWanted, clock, onWait } = this.#options;
    while (isWanted && !this.#stopped.aborted) {
      await clock.sleep(ASK_EVERY_MS, this.#stopped);
      if (this.underWay !== null || this.#stopped.aborted) continue;
      const begins = await isWanted().catch((error: unknown) => {
        onWait?.(error);
        return false;
      });
      // A slot may have begun one meanwhile.
      await this.#idle();
      if (begins) void this.#begin('manual');
    }
  }

  /** Resolves when no tick is under way. */
  #idle(): Promise<void> {
    return this.underWay ?? Promise.resolve();
  }

  async #begin(trigger: TickTrigger = 'schedule'): Promise<void> {
    const { pipeline, schedule, book, tick, clock } = this.#options;
    this.#seenAt = clock.now();
    this.#isOwed = schedule.catchUp && pausedUntil(schedule, this.#seenAt) !== null;
    if (pausedUntil(schedule, this.#seenAt) !== null) return;
    // Failing to note the start costs a needless run after a restart, no more.
    const noted = book.started(pipeline, this.#seenAt);
    this.underWay = Promise.allSettled([noted, tick(trigger)]).then(() => undefined);
    await this.underWay;
    this.underWay = null;
  }
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

/** node-cron's own remarks would bypass the logger; what matters arrives as events. */
const silent = { info: ignore, warn: ignore, error: ignore, debug: ignore };

function ignore(): void {
  // Nothing to tell.
}
