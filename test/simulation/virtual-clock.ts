import type { Clock } from '../../src/clock.js';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly wake: () => void;
}

/** Turns of the event loop after which everything that needs no timer has come to rest. */
const SETTLING_TURNS = 4;

/**
 * A clock that stands still until it is told to go on. Code under it must wait by nothing but this clock and
 * promises: then a test takes no time and goes the same way every time.
 */
export class VirtualClock implements Clock {
  #now: number;
  #order = 0;
  #ids = 0;
  #seed: number;
  readonly #timers = new Set<Timer>();

  constructor(options: { readonly now?: number; readonly seed?: number } = {}) {
    this.#now = options.now ?? Date.UTC(2026, 0, 1);
    this.#seed = options.seed ?? 1;
  }

  now(): number {
    return this.#now;
  }

  elapsed(): number {
    return this.#now;
  }

  /** Timers that are armed. */
  get timers(): number {
    return this.#timers.size;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#timers.delete(timer);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const timer: Timer = { at: this.#now + Math.max(0, ms), order: this.#order++, wake };
      this.#timers.add(timer);
      signal?.addEventListener('abort', wake);
    });
  }

  /** Mulberry32: enough for jitter. */
  random(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Not UUIDv7, but as unique and as sorted. */
  id(): string {
    this.#ids += 1;
    return `00000000-0000-7000-8000-${this.#ids.toString(16).padStart(12, '0')}`;
  }

  /** Lets everything run that waits for no timer. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < SETTLING_TURNS; turn += 1)
      await new Promise((resolve) => setImmediate(resolve));
  }

  /** Goes on by `ms`, timer by timer. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await this.settle();
    for (let timer = this.#next(end); timer !== null; timer = this.#next(end)) {
      this.#now = Math.max(this.#now, timer.at);
      timer.wake();
      await this.settle();
    }
    this.#now = end;
  }

  /** Goes on as far as `work` needs, and returns what it returns. Fails when it waits for what no timer brings. */
  async finish<T>(work: Promise<T>, limitMs = 24 * 3_600_000): Promise<T> {
    let pending = true;
    const done = (): void => {
      pending = false;
    };
    work.then(done, done);
    const end = this.#now + limitMs;
    await this.settle();
    while (pending) {
      const timer = this.#next(end);
      if (timer === null)
        throw new Error('the work waits for something that no timer within the limit brings');
      this.#now = Math.max(this.#now, timer.at);
      timer.wake();
      await this.settle();
    }
    return work;
  }

  #next(end: number): Timer | null {
    let next: Timer | null = null;
    for (const timer of this.#timers) {
      if (timer.at > end) continue;
      if (next === null || timer.at < next.at || (timer.at === next.at && timer.order < next.order))
        next = timer;
    }
    return next;
  }
}
