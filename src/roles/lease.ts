import type { Clock } from '../clock.js';
import type { LeaseAnswer, LeaseBook, LeaseClaim } from '../load/leases.js';
import { outlast } from '../policy.js';

/** A sixth of what a holder may be silent for. */
const RENEW_EVERY_MS = 5_000;
/** Who stands by looks as often. */
const LOOK_EVERY_MS = 5_000;

/** The right to drain, while it lasts. */
export interface Turn {
  /** Aborts when another has taken over, as after this process was frozen. */
  readonly lost: AbortSignal;
  /** Gives it back. Never rejects: one that can't be given back runs out. */
  end(): Promise<void>;
}

/** What leases need. */
export interface LeaseParts {
  readonly book: LeaseBook;
  readonly clock: Clock;
  /** Names this process. */
  readonly owner: string;
  /** Hears for whom it waits, once each time. */
  readonly onStandBy: (holder: string) => void;
  readonly onWait: (error: unknown) => void;
}

/** Whose turn it is to drain a pipeline. */
export interface Turns {
  /**
   * The turn, after a wait if another has it. `once`: only if that one dies; null when it has given the turn back, its
   * work done. `for_good`: whenever it becomes free. Null too when `signal` aborts.
   */
  turn(signal: AbortSignal, kind: 'once' | 'for_good'): Promise<Turn | null>;
  /** True while another has it. */
  readonly isStandingBy: boolean;
}

/** One that nobody can take away: of a pipeline that is not exclusive. */
export function everybodysTurn(): Turn {
  return { lost: new AbortController().signal, end: async () => undefined };
}

/** The turns of a pipeline that is not exclusive. */
export const everybodys: Turns = { turn: async () => everybodysTurn(), isStandingBy: false };

/**
 * The lease of an exclusive pipeline: whoever has it drains, the others stand by, and one takes over when the holder has
 * been silent for 30 s. Two that drain for a moment, since one was frozen and does not know yet, do no harm: they are
 * competing consumers, and the ledger decides.
 */
export class Lease implements Turns {
  readonly #parts: LeaseParts;
  readonly #pipeline: string;
  isStandingBy = false;

  constructor(parts: LeaseParts, pipeline: string) {
    this.#parts = parts;
    this.#pipeline = pipeline;
  }

  /** The turn, or who has it. Outages are waited out until `signal` aborts, and thrown then. */
  async take(signal: AbortSignal): Promise<Turn | { readonly holder: string }> {
    const claim = this.#claim();
    const answer = await this.#ask(claim, false, signal);
    if (answer.state === 'taken') return this.#held(claim);
    return { holder: answer.state === 'held' ? answer.owner : 'another process' };
  }

  async turn(signal: AbortSignal, kind: 'once' | 'for_good'): Promise<Turn | null> {
    const claim = this.#claim();
    let ifExpired = false;
    try {
      while (!signal.aborted) {
        const answer = await this.#ask(claim, ifExpired, signal);
        if (answer.state === 'taken') return this.#held(claim);
        if (answer.state === 'free' && ifExpired) return null;
        ifExpired = kind === 'once';
        if (answer.state === 'held' && !this.isStandingBy) this.#parts.onStandBy(answer.owner);
        this.isStandingBy = true;
        await this.#parts.clock.sleep(LOOK_EVERY_MS, signal);
      }
      return null;
    } finally {
      this.isStandingBy = false;
    }
  }

  #claim(): LeaseClaim {
    const { clock, owner } = this.#parts;
    return { pipeline: this.#pipeline, id: clock.id(), owner };
  }

  #ask(claim: LeaseClaim, ifExpired: boolean, signal: AbortSignal): Promise<LeaseAnswer> {
    const { book, clock, onWait } = this.#parts;
    return outlast(clock, () => book.take(claim, { ifExpired }), signal, onWait);
  }

  #held(claim: LeaseClaim): Turn {
    const { book, clock, onWait } = this.#parts;
    const lost = new AbortController();
    const ended = new AbortController();
    const keeping = async (): Promise<void> => {
      while (!ended.signal.aborted && !lost.signal.aborted) {
        await clock.sleep(RENEW_EVERY_MS, ended.signal);
        if (ended.signal.aborted) return;
        // While Postgres is away nobody else can take it.
        const isMine = await book.renew(claim).catch((error: unknown) => {
          onWait(error);
          return true;
        });
        if (!isMine) lost.abort();
      }
    };
    const kept = keeping();
    return {
      lost: lost.signal,
      end: async () => {
        ended.abort();
        await kept;
        await book.release(claim).catch(onWait);
      },
    };
  }
}
