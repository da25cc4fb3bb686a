import type { Clock } from '../clock.js';
import { type ErrorCode, asPipelineError } from '../errors.js';
import type { Service, StopMode } from '../lifecycle.js';
import type { EventBus } from '../ops/events.js';
import type { Logger } from '../ops/logger.js';
import { actionFor, policies } from '../policy.js';

/** While something is visibly unfit it is looked at so often: a few short queries. */
const LOOK_BASE_MS = 5_000;
const LOOK_MAX_MS = 60_000;
/**
 * What no look shows is tried again so seldom: a trial that fails costs the messages in it one of the receives that their
 * queue allows.
 */
const TRIAL_BASE_MS = 60_000;
const TRIAL_MAX_MS = 3_600_000;
/** After so long without a stop, the next one counts as the first. */
const STEADY_MS = 600_000;

/** Why a pipeline is stopped in this process, and since when (epoch ms). */
export interface Stoppage {
  readonly code: ErrorCode;
  /** Ids, counts and configured names only. */
  readonly message: string;
  readonly since: number;
}

/** A pipeline's services at work. */
export interface Working extends Service {
  /** Ends them because the pipeline can't go on: batches in hand fail, and their messages go back. */
  breakDown(): Promise<void>;
}

/** What a pipeline in this process consists of. */
export interface PipelineServiceOptions {
  readonly pipeline: string;
  /** Throws what is unfit; `isFirst`: waits for what is away, up to `startup_timeout`. */
  readonly check: (isFirst: boolean) => Promise<void>;
  /** Starts its services; `onError` hears of everything that a batch or run ended with. */
  readonly begin: (onError: (error: unknown) => void) => Promise<Working>;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'error' | 'info'>;
  readonly events: Pick<EventBus, 'emit'>;
  /** Hears of each stop, after it is complete. */
  readonly onStopped: (error: unknown) => void;
}

/**
 * One pipeline in a process of several. What only a person can mend stops it alone: it says so, looks at a slow pace
 * whether that is mended, and goes on then by itself.
 */
export class PipelineService implements Service {
  readonly #options: PipelineServiceOptions;
  readonly #stopping = new AbortController();
  readonly #begun: Promise<void>;
  readonly #living: Promise<void>;
  #working: Working | null = null;
  #stoppage: Stoppage | null = null;
  #trials = 0;

  constructor(options: PipelineServiceOptions) {
    this.#options = options;
    let begun: () => void = () => undefined;
    this.#begun = new Promise((resolve) => (begun = resolve));
    this.#living = this.#live(begun).finally(begun);
  }

  /** Resolves when it is at work, or stopped, for the first time. */
  get begun(): Promise<void> {
    return this.#begun;
  }

  /** Null while it is at work. */
  get stoppage(): Stoppage | null {
    return this.#stoppage;
  }

  async stop(mode: StopMode = 'soft'): Promise<void> {
    this.#stopping.abort();
    await this.#working?.stop(mode);
    await this.#living;
  }

  async #live(begun: () => void): Promise<void> {
    const { check } = this.#options;
    let error = await attempt(() => check(true));
    let seenUnfit = error !== null;
    while (!this.#stopping.signal.aborted) {
      if (error === null) error = await this.#work(begun);
      if (error === null || this.#stopping.signal.aborted || asPipelineError(error).code === 'canceled')
        return;
      this.#stopped(error);
      begun();
      await this.#mended(seenUnfit);
      seenUnfit = false;
      error = null;
    }
  }

  /** Resolves to what stopped it; null when it was told to stop. */
  async #work(begun: () => void): Promise<unknown> {
    const { begin, clock } = this.#options;
    let breakDown: (error: unknown) => void = () => undefined;
    const broken = new Promise<unknown>((resolve) => (breakDown = resolve));
    const onError = (error: unknown): void => {
      if (actionFor(error) === 'stop') breakDown(error);
    };
    const startedAt = clock.elapsed();
    try {
      this.#working = await begin(onError);
    } catch (error) {
      return error;
    }
    this.#resumed();
    begun();
    const error = await Promise.race([broken, aborted(this.#stopping.signal)]);
    if (error === null) return null;
    if (clock.elapsed() - startedAt > STEADY_MS) this.#trials = 0;
    await this.#working.breakDown();
    this.#working = null;
    return error;
  }

  /** Waits until there is reason to try again. */
  async #mended(seenUnfit: boolean): Promise<void> {
    const { clock, check } = this.#options;
    const stopping = this.#stopping.signal;
    const trialAt = clock.elapsed() + growing(TRIAL_BASE_MS, TRIAL_MAX_MS, this.#trials);
    // At once too: whether it can be seen decides how soon it may be tried again.
    let wasUnfit = seenUnfit || (await attempt(() => check(false))) !== null;
    for (let looks = 0; !stopping.aborted; looks += 1) {
      await clock.sleep(growing(LOOK_BASE_MS, LOOK_MAX_MS, looks), stopping);
      if (stopping.aborted) return;
      const error = await attempt(() => check(false));
      wasUnfit ||= error !== null;
      // What was seen to be unfit, and is fit now, was mended.
      if (error === null && (wasUnfit || clock.elapsed() >= trialAt)) {
        this.#trials = wasUnfit ? 0 : this.#trials + 1;
        return;
      }
    }
  }

  #stopped(thrown: unknown): void {
    const { pipeline, clock, log, events, onStopped } = this.#options;
    const error = asPipelineError(thrown);
    this.#stoppage = { code: error.code, message: error.message, since: clock.now() };
    log.error({ event: 'pipeline_stopped', pipeline, error, remedy: policies[error.code].remedy });
    events.emit('pipeline_stopped', { pipeline, isStopped: true });
    onStopped(thrown);
  }

  #resumed(): void {
    if (this.#stoppage === null) return;
    const { pipeline, log, events } = this.#options;
    this.#stoppage = null;
    log.info({ event: 'pipeline_resumed', pipeline }, 'what had stopped it is mended, or is tried again');
    events.emit('pipeline_stopped', { pipeline, isStopped: false });
  }
}

function growing(baseMs: number, maxMs: number, times: number): number {
  return Math.min(maxMs, baseMs * 2 ** times);
}

async function attempt(work: () => Promise<void>): Promise<unknown> {
  try {
    await work();
    return null;
  } catch (error) {
    return error;
  }
}

async function aborted(signal: AbortSignal): Promise<null> {
  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  return null;
}
