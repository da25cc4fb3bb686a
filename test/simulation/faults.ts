import type { Dice, Scheduler } from './scheduler.js';

/** What may go wrong with any one call to SQS, Redis or Postgres. */
export const callFaults = [
  /** Fails before it had any effect. */
  'lost_request',
  /** Has its effect, and reports failure. */
  'lost_answer',
  /** Reports failure, and has its effect many seconds later. */
  'late',
  /** Fails, with or without its effect, in a way that nobody has foreseen. */
  'odd_error',
  /** Takes seconds. */
  'slow',
  /** Its process dies when the request may or may not be on its way. */
  'crash_before',
  /** Its process dies when the effect is there, and before it knows. */
  'crash_after',
  /** Its process hangs, with the request not yet sent. */
  'freeze_before',
  /** Its process hangs, with the answer on its way. */
  'freeze_after',
] as const;

/** What may go wrong besides, each at its own place. */
export const placedFaults = [
  'sqs_duplicate',
  'sqs_overlooked',
  'sqs_entry_failed',
  'sqs_delete_undone',
  'sqs_outage',
  'redis_outage',
  'redis_wipe',
  'redis_rewind',
  'takeover_of_a_live_worker',
  'job_stuck',
  'add_refused',
  'payload_unreadable',
  'payload_newer',
  'masker_throws',
  'masker_without_key',
  'postgres_outage',
  'postgres_restart',
  'contention',
  'table_unfit',
  'kill_ingester',
  'kill_worker',
  'freeze_ingester',
  'freeze_worker',
  'stop_ingester',
  'stop_worker',
  'clock_jump',
] as const;

/** Every kind of fault. */
export type Fault = (typeof callFaults)[number] | (typeof placedFaults)[number];

/** Chance of a call fault at one call, at most; each schedule draws its own. */
const MAX_CALL_RATE = 0.03;
/** Chance of a placed fault where one may happen, at most. */
const MAX_PLACED_RATE = 0.15;
/** About as long as a batch takes from end to end. */
const SOON_MS = 200;
/** Polls are most of all calls: without this they would draw most of the faults. */
const POLL_WEIGHT = 0.05;
/** A schedule leaves out so much of all kinds, so that each comes with and without the others ("swarm testing", Groce et al., 2012). */
const LEFT_OUT = 0.3;

/** Decides what goes wrong, and counts it. */
export class Faults {
  /** How often each kind bit. */
  readonly coverage: { [fault: string]: number } = {};
  readonly #scheduler: Scheduler;
  readonly #dice: Dice;
  readonly #kinds: ReadonlySet<Fault>;
  readonly #callRate: number;
  readonly #placedRate: number;
  #on = true;
  #disaster: () => void = () => undefined;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
    this.#dice = scheduler.dice;
    const all: readonly Fault[] = [...callFaults, ...placedFaults];
    this.#kinds = new Set(all.filter(() => !this.#dice.chance(LEFT_OUT)));
    this.#callRate = this.#dice.between(0, MAX_CALL_RATE);
    this.#placedRate = this.#dice.between(0, MAX_PLACED_RATE);
  }

  get on(): boolean {
    return this.#on;
  }

  /** What may befall somebody soon after a call, when much is under way. */
  onCall(disaster: () => void): void {
    this.#disaster = disaster;
  }

  /** The world is kind from here on. */
  end(): void {
    this.#on = false;
  }

  /** Whether this kind is among those of the schedule, at this time. */
  has(fault: Fault): boolean {
    return this.#on && this.#kinds.has(fault);
  }

  /** Counts a fault that happened. */
  bit(fault: Fault, where: string): void {
    this.coverage[fault] = (this.coverage[fault] ?? 0) + 1;
    this.#scheduler.note(`${fault} ${where}`);
  }

  /** Whether a placed fault happens here; counted. */
  strikes(fault: (typeof placedFaults)[number], where: string): boolean {
    if (!this.has(fault) || !this.#dice.chance(this.#placedRate)) return false;
    this.bit(fault, where);
    return true;
  }

  /** What goes wrong with one call, if anything; counted. */
  ofCall(call: string, isPoll: boolean): (typeof callFaults)[number] | null {
    if (!this.#on) return null;
    if (!isPoll && this.#dice.chance(this.#callRate)) {
      void this.#scheduler.sleep(this.#dice.between(0, SOON_MS)).then(() => this.#on && this.#disaster());
    }
    if (!this.#dice.chance(this.#callRate * callFaults.length * (isPoll ? POLL_WEIGHT : 1))) return null;
    const fault = this.#dice.pick(callFaults);
    if (!this.#kinds.has(fault)) return null;
    this.bit(fault, call);
    return fault;
  }
}
