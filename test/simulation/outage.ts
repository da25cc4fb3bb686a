import type { PipelineError } from '../../src/errors.js';
import type { Scheduler } from './scheduler.js';

/** A service that may be away for a while. */
export class Outage {
  readonly #scheduler: Scheduler;
  readonly #error: () => PipelineError;
  #until = 0;

  constructor(scheduler: Scheduler, error: () => PipelineError) {
    this.#scheduler = scheduler;
    this.#error = error;
  }

  get isOver(): boolean {
    return this.#scheduler.now() >= this.#until;
  }

  begin(ms: number): void {
    this.#until = Math.max(this.#until, this.#scheduler.now() + ms);
  }

  end(): void {
    this.#until = 0;
  }

  /** Does the work unless the service is away. */
  async through<T>(work: () => Promise<T> | T): Promise<T> {
    if (!this.isOver) throw this.#error();
    return work();
  }
}
