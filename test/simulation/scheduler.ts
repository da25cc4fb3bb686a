import type { Clock } from '../../src/clock.js';

/** One seeded stream of random numbers (mulberry32). Everything that a schedule leaves to chance comes from it. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** True with that probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  /** A whole number from `from` to `to`, both included. */
  whole(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[Math.floor(this.next() * choices.length)];
    if (choice === undefined) throw new RangeError('nothing to pick from');
    return choice;
  }
}

interface Timer {
  readonly at: number;
  /** Random, so that what is due at one instant comes in any order. */
  readonly tie: number;
  readonly order: number;
  wake: (() => void) | null;
}

/** FNV-1a, 32 bits. */
const HASH_OFFSET = 0x811c9dc5;
const HASH_PRIME = 0x01000193;

/**
 * Virtual time. It goes from timer to timer, and only when everything that needs no timer has come to rest; code under
 * it must wait by nothing but this clock and promises. Timers that are due at once fire in an order of the seed's.
 */
export class Scheduler implements Clock {
  readonly dice: Dice;
  #now: number;
  #order = 0;
  #ids = 0;
  #steps = 0;
  #trace = HASH_OFFSET;
  /** A binary heap; canceled timers stay in it without a `wake` until they come up. */
  readonly #heap: Timer[] = [];
  /** Who sleeps under a signal. One listener a signal: adding and removing one for each sleep would be most of the work. */
  readonly #sleepers = new WeakMap<AbortSignal, Set<() => void>>();

  constructor(dice: Dice, startAt: number) {
    this.dice = dice;
    this.#now = startAt;
  }

  /** Timers that have fired. */
  get steps(): number {
    return this.#steps;
  }

  /** A hash of all that `note` was told, and when: two runs of one seed must agree in it. */
  get trace(): string {
    return this.#trace.toString(16).padStart(8, '0');
  }

  now(): number {
    return this.#now;
  }

  elapsed(): number {
    return this.#now;
  }

  random(): number {
    return this.dice.next();
  }

  /** Not UUIDv7, but as unique and as sorted. */
  id(): string {
    this.#ids += 1;
    return `00000000-0000-7000-8000-${this.#ids.toString(16).padStart(12, '0')}`;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    const sleepers = signal && this.#sleepersOf(signal);
    return new Promise((resolve) => {
      const wake = (): void => {
        timer.wake = null;
        sleepers?.delete(wake);
        resolve();
      };
      const timer: Timer = {
        // Whole milliseconds, as timers and timestamps have them.
        at: this.#now + Math.ceil(Math.max(0, ms)),
        tie: this.dice.next(),
        order: (this.#order += 1),
        wake,
      };
      sleepers?.add(wake);
      this.#push(timer);
    });
  }

  /** Adds an event to the trace. */
  note(event: string): void {
    const text = `${this.#now} ${event}`;
    for (let i = 0; i < text.length; i += 1) {
      this.#trace = Math.imul(this.#trace ^ text.charCodeAt(i), HASH_PRIME) >>> 0;
    }
  }

  /** Lets time pass until `isDone`, or to `until`; false when that came first, or nothing more is armed. */
  run(isDone: () => boolean, until: number): Promise<boolean> {
    return new Promise((resolve) => {
      const step = (): void => {
        if (isDone()) resolve(true);
        else if (this.#fire(until)) atRest(step);
        else resolve(false);
      };
      atRest(step);
    });
  }

  /** Fires the next timer, unless there is none up to then. */
  #fire(until: number): boolean {
    const timer = this.#pop();
    if (timer === null || timer.at > until) {
      if (timer !== null) this.#push(timer);
      this.#now = Math.max(this.#now, until);
      return false;
    }
    this.#now = Math.max(this.#now, timer.at);
    this.#steps += 1;
    timer.wake?.();
    return true;
  }

  #sleepersOf(signal: AbortSignal): Set<() => void> {
    const known = this.#sleepers.get(signal);
    if (known) return known;
    const sleepers = new Set<() => void>();
    this.#sleepers.set(signal, sleepers);
    const wakeAll = (): void => {
      for (const wake of [...sleepers]) wake();
    };
    signal.addEventListener('abort', wakeAll, { once: true });
    return sleepers;
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(timer, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = timer;
  }

  /** The next timer that has not been canceled. */
  #pop(): Timer | null {
    for (let timer = this.#popAny(); timer !== undefined; timer = this.#popAny()) {
      if (timer.wake !== null) return timer;
    }
    return null;
  }

  #popAny(): Timer | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const right = heap[left + 1];
      let child = heap[left];
      if (child === undefined) break;
      let place = left;
      if (right !== undefined && isBefore(right, child)) {
        child = right;
        place = left + 1;
      }
      if (!isBefore(child, last)) break;
      heap[at] = child;
      at = place;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  if (a.at !== b.at) return a.at < b.at;
  return a.tie === b.tie ? a.order < b.order : a.tie < b.tie;
}

const resolved = Promise.resolve();

/**
 * Calls back once no promise has anything left to do: Node looks at the ticks that promise jobs asked for only when it
 * has emptied the queue of those jobs. A turn of the event loop would do as well, and costs a system call or two.
 */
function atRest(step: () => void): void {
  void resolved.then(() => process.nextTick(step));
}
