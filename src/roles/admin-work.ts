import { asPipelineError } from '../errors.js';
import type { Service, StopMode } from '../lifecycle.js';
import type { Deployment } from './deployment.js';
import type { StopSignals } from './ingester.js';

/** Whoever has pressed a button hears the result of what is done within so long; of the rest, that it is under way. */
const PATIENCE_MS = 3_000;

/** Runs that were started from a page: one after the other for each pipeline, in the background. */
export class AdminWork implements Service {
  readonly #deployment: Pick<Deployment, 'clock' | 'log'>;
  readonly #soft = new AbortController();
  readonly #hard = new AbortController();
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(deployment: Pick<Deployment, 'clock' | 'log'>) {
    this.#deployment = deployment;
  }

  /**
   * Starts it after what was started before for that pipeline. Resolves to its result, or to null when it takes longer
   * than a few seconds: then it goes on, and what it throws is in the log.
   */
  async start<T>(pipeline: string, work: (stop: StopSignals) => Promise<T>): Promise<T | null> {
    const before = this.#last.get(pipeline) ?? Promise.resolve();
    const mine = before.then(() => work({ soft: this.#soft.signal, hard: this.#hard.signal }));
    let isHeard = true;
    const ended = mine.catch((error: unknown) => {
      if (!isHeard)
        this.#deployment.log.error({ event: 'admin_action_failed', pipeline, error: asPipelineError(error) });
    });
    this.#last.set(pipeline, ended);
    const patience = new AbortController();
    const late = this.#deployment.clock.sleep(PATIENCE_MS, patience.signal).then(() => {
      isHeard = false;
      return null;
    });
    try {
      return await Promise.race([mine, late]);
    } finally {
      patience.abort();
    }
  }

  async stop(mode: StopMode = 'soft'): Promise<void> {
    this.#soft.abort();
    if (mode === 'hard') this.#hard.abort();
    await Promise.all(this.#last.values());
  }
}
