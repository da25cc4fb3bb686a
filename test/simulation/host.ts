import type { Clock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import type { Faults } from './faults.js';
import type { Scheduler } from './scheduler.js';

/** Most answers come at once, as far as the order of things goes; others within so many ms; slow ones in seconds. */
const AT_ONCE = 0.5;
const USUAL_MS = 30;
const SLOW_MS = 3_000;
/** A client that has given up may have sent its command all the same. */
const LATE_MS = 20_000;
/** Long enough for a lock in Redis to run out, an idle transaction to be ended, a visibility timeout to pass. */
const FREEZE_MS = 60_000;

/** How one call of a process is made. */
export interface Call<T> {
  /** For the trace, and for who looks at what bit. */
  readonly name: string;
  /** Made many times a second while nothing happens. */
  readonly poll?: boolean;
  /** What the caller gets when request or answer is lost. */
  readonly lost: () => PipelineError;
  /** What the other end does. */
  readonly effect: () => Promise<T> | T;
}

/**
 * One process. It can die, and then nothing in it goes on; and it can hang, and then it goes on later as if nothing
 * had been. Both hold because all that its code waits for passes through here: its clock and its calls.
 */
export class Host {
  readonly name: string;
  readonly clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #faults: Faults;
  readonly #death = new AbortController();
  #diedAt: number | null = null;
  #frozenAt = 0;
  #frozenUntil = 0;
  #skewMs: number;
  #troubledAt: number;

  constructor(name: string, scheduler: Scheduler, faults: Faults, skewMs = 0) {
    this.name = name;
    this.#scheduler = scheduler;
    this.#faults = faults;
    this.#skewMs = skewMs;
    this.#troubledAt = scheduler.now();
    this.clock = {
      now: () => scheduler.now() + this.#skewMs,
      elapsed: () => scheduler.now(),
      sleep: async (ms, signal) => {
        await scheduler.sleep(ms, signal);
        if (!this.running) await this.#gate();
      },
      random: () => scheduler.random(),
      id: () => scheduler.id(),
    };
  }

  get alive(): boolean {
    return this.#diedAt === null;
  }

  /** Alive, and not hanging. */
  get running(): boolean {
    return this.alive && this.#frozenUntil <= this.#scheduler.now();
  }

  /** When it last ran, in real time: now, unless it is dead or hangs. */
  get lastRanAt(): number {
    if (this.#diedAt !== null) return this.#diedAt;
    return this.running ? this.#scheduler.now() : this.#frozenAt;
  }

  /** When something last kept it from doing what it wanted, in real time. */
  get troubledAt(): number {
    return this.running ? this.#troubledAt : this.#scheduler.now();
  }

  /** Says that something kept it, until now, from doing what it wanted. */
  trouble(): void {
    this.#troubledAt = Math.max(this.#troubledAt, this.#scheduler.now());
  }

  /** Ends it: no effect, no answer and no time reaches it any more. */
  kill(): void {
    if (!this.alive) return;
    this.#diedAt = this.running ? this.#scheduler.now() : this.#frozenAt;
    this.#scheduler.note(`dead ${this.name}`);
    this.#death.abort();
  }

  /** Aborts when it dies. */
  get death(): AbortSignal {
    return this.#death.signal;
  }

  /** Hangs it for so long. */
  freeze(ms = this.#scheduler.dice.between(1_000, FREEZE_MS)): void {
    const now = this.#scheduler.now();
    if (this.running) this.#frozenAt = now;
    this.#frozenUntil = Math.max(this.#frozenUntil, now + ms);
    this.#troubledAt = Math.max(this.#troubledAt, this.#frozenUntil);
  }

  /** Its wall clock is set to another time. */
  jump(ms: number): void {
    this.#skewMs += ms;
    // Whoever reckons by the wall clock may wait for that long.
    this.#troubledAt = Math.max(this.#troubledAt, this.#scheduler.now() + Math.abs(ms));
  }

  /** One call to another process, with all that may become of it. */
  async call<T>({ name, poll = false, lost, effect }: Call<T>): Promise<T> {
    // Always: nobody may die within the very step in which he makes a call.
    await this.#gate();
    const fault = this.#faults.ofCall(`${this.name} ${name}`, poll);
    if (fault === 'freeze_before') await this.#hang();
    if (fault === 'crash_before') this.kill();
    await this.#travel(fault === 'slow');
    // What a process has sent before it died may still arrive.
    if (!this.alive && this.#scheduler.dice.chance(0.5)) return never();
    if (fault === 'late') void this.#late(effect);
    if (fault === 'odd_error' && this.#scheduler.dice.chance(0.5)) {
      if (!this.running) await this.#gate();
      throw oddError(name);
    }
    if (fault === 'lost_request' || fault === 'late') {
      if (!this.running) await this.#gate();
      throw lost();
    }
    const answer = await this.#outcome(effect);
    if (fault === 'crash_after') this.kill();
    if (fault === 'freeze_after') this.freeze();
    await this.#travel(fault === 'slow');
    if (!this.running) await this.#gate();
    if (fault === 'lost_answer') throw lost();
    if (fault === 'odd_error') throw oddError(name);
    if (!poll) this.#scheduler.note(`${this.name} ${name} ${answer.ok}`);
    if (!answer.ok) throw answer.error;
    return answer.value;
  }

  async #outcome<T>(effect: () => Promise<T> | T): Promise<Outcome<T>> {
    try {
      return { ok: true, value: await effect() };
    } catch (error) {
      return { ok: false, error };
    }
  }

  async #late<T>(effect: () => Promise<T> | T): Promise<void> {
    await this.#scheduler.sleep(this.#scheduler.dice.between(0, LATE_MS));
    await this.#outcome(effect);
  }

  async #hang(): Promise<void> {
    this.freeze();
    await this.#gate();
  }

  async #travel(isSlow: boolean): Promise<void> {
    const { dice } = this.#scheduler;
    if (isSlow) await this.#scheduler.sleep(dice.between(USUAL_MS, SLOW_MS));
    else if (!dice.chance(AT_ONCE)) await this.#scheduler.sleep(dice.between(0, USUAL_MS));
  }

  /** Lets nothing pass while the process hangs, and nothing ever once it is dead. */
  async #gate(): Promise<void> {
    while (this.alive && !this.running) {
      await this.#scheduler.sleep(this.#frozenUntil - this.#scheduler.now());
    }
    if (!this.alive) await never();
  }
}

type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

function oddError(call: string): PipelineError {
  return new PipelineError('unexpected', `${call} failed, and nobody knows why`);
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
