import type { Clock } from '../clock.js';
import { type ErrorCode, PipelineError } from '../errors.js';
import type { EventBus } from '../ops/events.js';
import { policies } from '../policy.js';

/** Waits are seconds apart, and a call that is not answered takes some more: after so long without one it is over. */
const OVER_MS = 15_000;
/** What is over sooner is no reason to take a process out of service. */
const LASTING_MS = 5_000;

interface Wait {
  readonly since: number;
  readonly last: number;
}

/** What this process has been waiting for, as its own calls find it: a disk that is full answers every other look. */
export class Outages {
  readonly #clock: Pick<Clock, 'elapsed'>;
  readonly #waits = new Map<ErrorCode, Wait>();

  constructor(events: Pick<EventBus, 'on'>, clock: Pick<Clock, 'elapsed'>) {
    this.#clock = clock;
    events.on('outage_waiting', ({ code }) => {
      if (policies[code].action !== 'wait') return;
      const now = clock.elapsed();
      this.#waits.set(code, { since: this.#lasting(code, now)?.since ?? now, last: now });
    });
  }

  /** Throws the code of what it is waiting for, once that has lasted for five seconds. */
  check(): void {
    const now = this.#clock.elapsed();
    for (const code of this.#waits.keys()) {
      const wait = this.#lasting(code, now);
      if (wait === null || wait.last - wait.since < LASTING_MS) continue;
      throw new PipelineError(code, `this process waits for it: ${policies[code].remedy}`);
    }
  }

  #lasting(code: ErrorCode, now: number): Wait | null {
    const wait = this.#waits.get(code);
    return wait === undefined || now - wait.last > OVER_MS ? null : wait;
  }
}
