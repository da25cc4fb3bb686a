import { PipelineError, asPipelineError } from '../errors.js';
import type { ProcessStops } from '../load/processes.js';
import type { PipelineService } from './pipeline-service.js';

/** Which pipelines of this process are stopped. */
export class Stops {
  readonly #services = new Map<string, Pick<PipelineService, 'stoppage'>>();
  #last: unknown = null;
  #fail: (error: unknown) => void = () => undefined;
  /** Rejects when all are, with why: nothing is left to run, and the supervisor must know. */
  readonly complete = new Promise<never>((_, reject) => (this.#fail = reject));

  constructor() {
    // Who is not waited for yet may fail all the same.
    this.complete.catch(() => undefined);
  }

  add(pipeline: string, service: Pick<PipelineService, 'stoppage'>): void {
    this.#services.set(pipeline, service);
  }

  /** One has stopped for that reason. */
  stopped(error: unknown): void {
    this.#last = error;
    if (this.isComplete) this.#fail(this.error);
  }

  /** True when there are pipelines and none is at work. */
  get isComplete(): boolean {
    return this.#services.size > 0 && Object.keys(this.byName).length === this.#services.size;
  }

  /** Those that are, and why. */
  get byName(): ProcessStops {
    return Object.fromEntries(
      [...this.#services].flatMap(([name, { stoppage }]) => (stoppage === null ? [] : [[name, stoppage]])),
    );
  }

  /** Why all are stopped, with what is wrong with each. */
  get error(): PipelineError {
    const last = asPipelineError(this.#last);
    const messages = new Set(Object.values(this.byName).map(({ message }) => message));
    return messages.size < 2 ? last : new PipelineError(last.code, [...messages].join('\n'), { cause: last });
  }
}
