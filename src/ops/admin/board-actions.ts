import { setImmediate as nextTurn } from 'node:timers/promises';
import { PipelineError } from '../../errors.js';
import type { ActionRequest, Actions } from './actions.js';

/**
 * What Bull Board may do to the failed jobs of one queue, done as from our own pages. It asks job by job: what it asks for
 * at once is retried as one run.
 */
export class BoardActions {
  readonly #actions: Actions;
  readonly #queue: string;
  readonly #who: () => string;
  #gathered: { readonly ids: string[]; readonly done: Promise<void> } | null = null;

  /** `queue` is `STAGE.PIPELINE`; `who` tells on whose behalf the request at hand is. */
  constructor(actions: Actions, queue: string, who: () => string) {
    this.#actions = actions;
    this.#queue = queue;
    this.#who = who;
  }

  /** Whether retries can be offered. */
  get hasKeys(): boolean {
    return this.#actions.hasKeys();
  }

  /** Retries a failed job; resolves when that is done, or goes on by itself. Throws what is in the way. */
  retry(id: string): Promise<void> {
    this.#gathered ??= this.#gather();
    this.#gathered.ids.push(id);
    return this.#gathered.done;
  }

  /** Removes a failed job. */
  async discard(id: string): Promise<void> {
    await this.#perform('discard', [id]);
  }

  /** Removes all failed jobs of the queue. */
  async discardAll(): Promise<void> {
    await this.#perform('discard', null);
  }

  #gather(): { readonly ids: string[]; readonly done: Promise<void> } {
    const ids: string[] = [];
    const perform = async (): Promise<void> => {
      await nextTurn();
      this.#gathered = null;
      await this.#perform('retry', ids);
    };
    return { ids, done: perform() };
  }

  async #perform(action: 'retry' | 'discard', ids: readonly string[] | null): Promise<void> {
    const request = this.#request(action, ids);
    const { refusal } = await this.#actions.plan(request);
    if (refusal !== null) throw new PipelineError('usage', refusal);
    await this.#actions.perform(request, this.#who(), null);
  }

  #request(action: 'retry' | 'discard', ids: readonly string[] | null): ActionRequest {
    const at = this.#queue.indexOf('.');
    const pipeline = this.#queue.slice(at + 1);
    const stage = this.#queue.slice(0, at) === 'load' ? 'load' : 'transform';
    return { action, pipeline, stage, code: null, ids, until: new Date().toISOString() };
  }
}
