import { type Clock, systemClock } from './clock.js';
import { type PipelineError, asPipelineError } from './errors.js';

/** Something that runs until stopped. */
export interface Service {
  /** Resolves when fully stopped; safe twice, and before it has started. A soft stop finishes what it holds. */
  stop(mode?: StopMode): Promise<void>;
}

/** Soft finishes what is in hand; hard leaves it to redelivery. */
export type StopMode = 'soft' | 'hard';

/** What was acquired, released last-in first-out, so that nothing is closed under something that still needs it. */
export class Releases {
  readonly #stack: (() => unknown)[] = [];
  #releasing: Promise<void> | null = null;
  #closed = false;

  /** Waits for `thing` and remembers how to release it; what arrives after the release is released at once. */
  async acquire<T>(thing: T | PromiseLike<T>, release: (thing: T) => unknown): Promise<T> {
    const acquired = await thing;
    if (this.#closed) await release(acquired);
    else this.#stack.push(() => release(acquired));
    return acquired;
  }

  /** Releases everything, even when a release throws; rejects with the first error. Safe twice. */
  release(): Promise<void> {
    this.#releasing ??= this.#releaseAll();
    return this.#releasing;
  }

  async #releaseAll(): Promise<void> {
    let first: { readonly error: unknown } | null = null;
    for (let release = this.#stack.pop(); release; release = this.#stack.pop()) {
      try {
        await release();
      } catch (error) {
        first ??= { error };
      }
    }
    this.#closed = true;
    if (first) throw first.error;
  }
}

/** The signals that ask a process to stop. */
export type Signal = 'SIGINT' | 'SIGTERM';

/** Shells report a process that a signal ended as 128 + the signal's number (POSIX: 2 and 15). */
const FORCED_EXIT_CODE: { readonly [signal in Signal]: number } = { SIGINT: 130, SIGTERM: 143 };

/** As Node's own for an uncaught exception. */
const CRASH_EXIT_CODE = 1;

/** What hangs has not done its work. */
const STUCK_EXIT_CODE = 1;

/** The process ends with something still running: that it did not stop cleanly must show. */
const OVERRUN_EXIT_CODE = 1;

/** The rest of the deadline belongs to the hard stop and to closing connections. */
const SOFT_SHARE = 0.75;

/** Where signals come from: `process`, or an emitter in a test. */
export interface ProcessEvents {
  on(event: Signal, listener: () => void): unknown;
  on(event: 'uncaughtException', listener: (error: Error) => void): unknown;
  off(event: Signal, listener: () => void): unknown;
  off(event: 'uncaughtException', listener: (error: Error) => void): unknown;
}

/** The same service, and a promise of 0 for when it has been stopped: the `done` of what never ends by itself. */
export function untilStopped(service: Service): {
  readonly service: Service;
  readonly stopped: Promise<number>;
} {
  let settle: (code: number) => void = () => undefined;
  const stopped = new Promise<number>((resolve) => {
    settle = resolve;
  });
  const stop = async (mode?: StopMode): Promise<void> => {
    await service.stop(mode);
    settle(0);
  };
  return { service: { stop }, stopped };
}

/** What `start` brought up. */
export interface Started {
  readonly service: Service;
  /** Settles when the work ends by itself, with its exit code. Absent: it runs until it is stopped. */
  readonly done?: Promise<number>;
  /** Resolves when it hangs, and can't be expected to stop softly: it is stopped hard, and the process ends with 1. */
  readonly stuck?: Promise<void>;
  /** What it holds right now, by name and count; printed when it is abandoned. */
  readonly held?: () => readonly string[];
}

/** What a process has to say about its own end; ids, names and counts only. */
export type LifecycleEvent =
  | { readonly kind: 'stopping'; readonly signal: Signal; readonly deadlineMs: number }
  | { readonly kind: 'hard_stop' | 'overrun'; readonly held: readonly string[] }
  | { readonly kind: 'failed'; readonly error: PipelineError };

/** How a process lives and ends. */
export interface ServiceOptions {
  /**
   * Brings the service up. `signal` aborts when the process is told to stop meanwhile; what is acquired through
   * `releases` is released after the service has stopped, or after `start` has failed.
   */
  readonly start: (up: { readonly signal: AbortSignal; readonly releases: Releases }) => Promise<Started>;
  /** From the first signal to the end; a soft stop gets three quarters of it. */
  readonly deadlineMs: number;
  readonly exitCodeOf: (error: PipelineError) => number;
  /** The exit code after a clean stop by a signal: 0 for roles, 1 for work that was cut short. */
  readonly exitCodeOnSignal: number;
  readonly report: (event: LifecycleEvent) => void;
  readonly clock?: Clock;
  readonly signals?: ProcessEvents;
  /** Ends the process at once; does not return, except in a test. */
  readonly exit?: (code: number) => void;
}

/**
 * Runs a service until its work is done or a signal stops it, and resolves to the exit code. The first SIGINT or
 * SIGTERM stops it softly, then hard; the second ends the process at once with 130 or 143, and an uncaught
 * exception with 1, without its text. Never rejects.
 */
export async function runService(options: ServiceOptions): Promise<number> {
  const watch = watchProcess(options);
  try {
    return await Promise.race([watch.forced, live(options, watch)]);
  } finally {
    watch.close();
  }
}

interface Watch {
  /** Aborts at the first signal. */
  readonly stopping: AbortSignal;
  /** Resolves at the first signal. */
  readonly stopped: Promise<void>;
  /** Resolves when the process must end at once; in production it ends before that. */
  readonly forced: Promise<number>;
  close(): void;
}

function watchProcess(options: ServiceOptions): Watch {
  const source: ProcessEvents = options.signals ?? process;
  const exit = options.exit ?? ((code: number) => process.exit(code));
  const stopping = new AbortController();
  let force: (code: number) => void = () => undefined;
  const forced = new Promise<number>((resolve) => {
    force = (code) => {
      resolve(code);
      exit(code);
    };
  });
  const onSignal = (signal: Signal) => (): void => {
    if (stopping.signal.aborted) return force(FORCED_EXIT_CODE[signal]);
    options.report({ kind: 'stopping', signal, deadlineMs: options.deadlineMs });
    stopping.abort();
  };
  const onInterrupt = onSignal('SIGINT');
  const onTerminate = onSignal('SIGTERM');
  // Node's own report of an uncaught error prints its text and properties, which may quote data.
  const onCrash = (error: Error): void => {
    options.report({ kind: 'failed', error: asPipelineError(error) });
    force(CRASH_EXIT_CODE);
  };
  const stopped = new Promise<void>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  source.on('SIGINT', onInterrupt);
  source.on('SIGTERM', onTerminate);
  source.on('uncaughtException', onCrash);
  const close = (): void => {
    source.off('SIGINT', onInterrupt);
    source.off('SIGTERM', onTerminate);
    source.off('uncaughtException', onCrash);
  };
  return { stopping: stopping.signal, stopped, forced, close };
}

async function live(options: ServiceOptions, watch: Watch): Promise<number> {
  let code = 0;
  const worsen = (next: number): void => {
    code = Math.max(code, next);
  };
  const reported = new Set<unknown>();
  const fail = (thrown: unknown): void => {
    const error = asPipelineError(thrown);
    // Being told to stop is no failure of what was canceled by it.
    if (reported.has(thrown) || (error.code === 'canceled' && watch.stopping.aborted)) return;
    reported.add(thrown);
    options.report({ kind: 'failed', error });
    worsen(options.exitCodeOf(error));
  };
  const releases = new Releases();
  const start = async (): Promise<Started> => options.start({ signal: watch.stopping, releases });
  const starting = start().catch(fail);
  const ended = starting.then((up) => (up ? (up.done ?? watch.stopped.then(() => 0)) : 0)).then(worsen, fail);
  let isStuck = false;
  const stuck = starting.then(async (up) => {
    await (up?.stuck ?? new Promise<never>(() => undefined));
    isStuck = true;
  });
  await Promise.race([watch.stopped, ended, stuck]);
  if (watch.stopping.aborted) worsen(options.exitCodeOnSignal);
  else if (isStuck) worsen(STUCK_EXIT_CODE);
  const isDown = await windDown(
    options,
    { starting, ended, releases, fail, worsen },
    isStuck ? 'hard' : 'soft',
  );
  // What still runs, or hangs, would keep the process from ending.
  if (!isDown || isStuck) (options.exit ?? ((last: number) => process.exit(last)))(code);
  return code;
}

interface Life {
  readonly starting: Promise<Started | void>;
  readonly ended: Promise<void>;
  readonly releases: Releases;
  readonly fail: (error: unknown) => void;
  readonly worsen: (code: number) => void;
}

/** Stops softly, then hard, then gives up, and says what was abandoned by each; true when all has stopped. */
async function windDown(options: ServiceOptions, life: Life, first: StopMode): Promise<boolean> {
  const clock = options.clock ?? systemClock;
  let held = (): readonly string[] => [];
  const stop = async (mode: StopMode): Promise<void> => {
    try {
      const started = await life.starting;
      if (started?.held) held = started.held;
      await started?.service.stop(mode);
      await life.ended;
    } catch (error) {
      life.fail(error);
    }
    await life.releases.release().catch(life.fail);
  };
  const softMs = options.deadlineMs * SOFT_SHARE;
  if (first === 'soft' && (await within(clock, softMs, stop('soft')))) return true;
  options.report({ kind: 'hard_stop', held: held() });
  if (await within(clock, options.deadlineMs - softMs, stop('hard'))) return true;
  options.report({ kind: 'overrun', held: held() });
  life.worsen(OVERRUN_EXIT_CODE);
  return false;
}

async function within(clock: Clock, ms: number, work: Promise<void>): Promise<boolean> {
  const timer = new AbortController();
  const isInTime = await Promise.race([
    work.then(() => true),
    clock.sleep(ms, timer.signal).then(() => false),
  ]);
  timer.abort();
  return isInTime;
}
