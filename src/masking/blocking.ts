/**
 * How long this thread has been asleep for others since its event loop last turned. While it sleeps, no lock is renewed
 * and no signal is heard, so that there is a limit to it.
 */
export class Blocking {
  #ms = 0;
  #isReset = true;

  get ms(): number {
    return this.#ms;
  }

  /** Does what may sleep, and counts the time. */
  during<T>(work: () => T): T {
    const from = performance.now();
    try {
      return work();
    } finally {
      this.#ms += performance.now() - from;
      this.#resetInTime();
    }
  }

  #resetInTime(): void {
    if (!this.#isReset) return;
    this.#isReset = false;
    onTurn(() => {
      this.#ms = 0;
      this.#isReset = true;
    });
  }
}

/** Resolves when the event loop has turned: what was due has been done, and what is open may be slept through again. */
export function loopTurn(): Promise<void> {
  return new Promise((resolve) => {
    onTurn(resolve).ref();
  });
}

/** Timers that are due come first, in the order in which they are: a lock that is to be renewed is, before this is called. */
function onTurn(then: () => void): NodeJS.Timeout {
  return setTimeout(() => setImmediate(then), 0).unref();
}
