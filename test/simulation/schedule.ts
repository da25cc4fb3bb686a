import { Dice, Scheduler } from './scheduler.js';
import { Faults } from './faults.js';
import type { Benign, Planted } from './planted.js';
import type { FifoSize } from './setup.js';
import { World } from './world.js';

/** What one schedule came to. */
export interface ScheduleResult {
  readonly seed: number;
  /** What must never be, and was; empty when all is well. */
  readonly violations: readonly string[];
  /** How often each kind of fault bit. */
  readonly faults: Readonly<{ [fault: string]: number }>;
  /** What came about in it: batches committed and released, duplicates, runs... */
  readonly coverage: Readonly<{ [what: string]: number }>;
  /** Timers that fired. */
  readonly steps: number;
  readonly virtualMs: number;
  /** A hash of all that happened: the same whenever the seed is run. */
  readonly trace: string;
}

/** Midnight UTC, which most schedules see: nothing may depend on the day. */
const MIDNIGHT = Date.UTC(2026, 0, 2);
const AROUND_MS = 60_000;
/** All faults are on for so long. */
const FAULTY_MS = { from: 20_000, to: 150_000 };
/** On a large queue they are until most of it is done, unless that takes too long. */
const LARGE_FAULTY_SHARE = 0.7;
const LARGE_FAULTY_MS = 600_000;
/** So long may it take from there until SQS is empty: a few of the longest waits, and a clock that was set back an hour. */
const LIVENESS_MS = 3 * 3_600_000;
/** A stop takes less, also of a process that hangs for a while; then whatever is left wakes up and does its worst. */
const STOP_MS = 100_000;
const AFTERMATH_MS = 180_000;

/** Runs one schedule to its end. The same seed goes the same way every time. */
export async function runSchedule(
  seed: number,
  options: { readonly planted?: Planted | Benign; readonly fifo?: FifoSize } = {},
): Promise<ScheduleResult> {
  // Every abort makes an error, and its stack, of which nobody will read any, costs more than all the rest.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return await live(seed, options.planted ?? null, options.fifo ?? null);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

async function live(
  seed: number,
  planted: Planted | Benign | null,
  fifo: FifoSize | null,
): Promise<ScheduleResult> {
  const dice = new Dice(seed);
  const startAt = Math.round(MIDNIGHT - dice.between(0, AROUND_MS));
  const scheduler = new Scheduler(dice, startAt);
  const faults = new Faults(scheduler);
  const world = new World(scheduler, faults, planted, fifo);
  world.start();
  const faultyMs = fifo === null ? dice.between(FAULTY_MS.from, FAULTY_MS.to) : LARGE_FAULTY_MS;
  await scheduler.run(() => fifo !== null && world.share >= LARGE_FAULTY_SHARE, startAt + faultyMs);
  world.becomeKind();
  const isDrained = await scheduler.run(() => world.isDrained, scheduler.now() + LIVENESS_MS);
  if (!isDrained) world.oracle.violated('the queue was not drained in time');
  const stopped = world.stop();
  await scheduler.run(() => stopped.isOver, scheduler.now() + STOP_MS);
  if (!stopped.isOver) world.oracle.violated('the ingesters did not stop in time');
  await scheduler.run(() => false, scheduler.now() + AFTERMATH_MS);
  world.end();
  return {
    seed,
    violations: world.oracle.violations,
    faults: faults.coverage,
    coverage: world.coverage,
    steps: scheduler.steps,
    virtualMs: scheduler.now() - startAt,
    trace: scheduler.trace,
  };
}
