import { setTimeout as delay } from 'node:timers/promises';
import { type PipelineError, asPipelineError } from '../../src/errors.js';
import type { Arena } from '../../src/proof/arena.js';

/** So often is sent what is due: seldom enough that a portion is several messages, often enough to be steady. */
const PORTION_EVERY_MS = 100;

/** Sends messages at a steady rate, past all proxies, whatever befalls the rest. */
export class Feed {
  /** SQS's ids of what was sent, in the order of the messages' indexes. */
  readonly ids: string[] = [];
  readonly #arena: Pick<Arena, 'send'>;
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #failure: PipelineError | null = null;

  constructor(arena: Pick<Arena, 'send'>) {
    this.#arena = arena;
  }

  /** What went wrong with sending; null when nothing did. */
  get failure(): PipelineError | null {
    return this.#failure;
  }

  /** Sends so many at once. */
  async send(count: number): Promise<void> {
    this.ids.push(...(await this.#arena.send(this.ids.length, count)));
  }

  /** Begins to send so many a second, until there are `messages` in all. */
  start(messages: number, perSecond: number): void {
    this.#running = this.#run(messages, perSecond).catch((error: unknown) => {
      this.#failure = asPipelineError(error);
    });
  }

  /** Resolves when all are sent, or sending has failed. Never rejects. */
  finished(): Promise<void> {
    return this.#running;
  }

  /** Sends no more; resolves when the last portion is out. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(messages: number, perSecond: number): Promise<void> {
    const { signal } = this.#stop;
    const sentBefore = this.ids.length;
    const startedAt = performance.now();
    while (this.ids.length < messages && !signal.aborted) {
      await delay(PORTION_EVERY_MS, undefined, { signal }).catch(() => undefined);
      const elapsedS = (performance.now() - startedAt) / 1_000;
      const due = Math.min(messages, sentBefore + Math.floor(elapsedS * perSecond));
      if (due > this.ids.length && !signal.aborted) await this.send(due - this.ids.length);
    }
  }
}
