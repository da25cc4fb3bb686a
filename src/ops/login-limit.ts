/** A person mistypes a few times; a program that guesses does not stop. */
const MAX_FAILURES = 10;
const WINDOW_MS = 60_000;
/** Who comes from more addresses than these gets the oldest ones forgotten, and no more. */
const MAX_ADDRESSES = 10_000;

/** Failed logins by address: after ten within a minute an address waits until the minute is over. */
export class LoginLimit {
  readonly #failures = new Map<string, { count: number; readonly since: number }>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** How many seconds the address has to wait; 0: it may try. */
  waitS(address: string): number {
    const failed = this.#failures.get(address);
    if (!failed || failed.count < MAX_FAILURES) return 0;
    return Math.max(0, Math.ceil((failed.since + WINDOW_MS - this.#now()) / 1_000));
  }

  /** Notes a login that failed. */
  failed(address: string): void {
    const known = this.#failures.get(address);
    if (known && this.#now() - known.since < WINDOW_MS) {
      known.count += 1;
      return;
    }
    this.#failures.delete(address);
    const [oldest] = this.#failures.keys();
    if (oldest !== undefined && this.#failures.size >= MAX_ADDRESSES) this.#failures.delete(oldest);
    this.#failures.set(address, { count: 1, since: this.#now() });
  }
}
