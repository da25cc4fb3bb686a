import { randomBytes } from 'node:crypto';
import type { ActionOutcome, ActionRequest } from './actions.js';

/** Whoever has read a question for longer is asked anew: what it counts has changed. */
const LIFE_MS = 10 * 60_000;
/** A page that asks without end must not fill the memory. */
const MAX_TICKETS = 1_000;
const ID_BYTES = 18;

interface Ticket {
  readonly request: ActionRequest;
  readonly by: string;
  readonly madeAt: number;
  outcome: ActionOutcome | null;
  isSpent: boolean;
}

/**
 * Questions that were put, each to be answered once by who got it. The answer brings nothing but the ticket, so it can
 * neither be forged by another site, nor altered, nor given twice.
 */
export class Tickets {
  readonly #tickets = new Map<string, Ticket>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** A new ticket for the request of that user. */
  issue(request: ActionRequest, by: string): string {
    this.#forget();
    const id = randomBytes(ID_BYTES).toString('base64url');
    this.#tickets.set(id, { request, by, madeAt: this.#now(), outcome: null, isSpent: false });
    return id;
  }

  /** The request, once; null for a ticket that is unknown, too old, another user's, or spent. */
  spend(id: string, by: string): ActionRequest | null {
    this.#forget();
    const ticket = this.#tickets.get(id);
    if (!ticket || ticket.isSpent || ticket.by !== by) return null;
    ticket.isSpent = true;
    return ticket.request;
  }

  /** Keeps what came of it, for the page that tells. */
  conclude(id: string, outcome: ActionOutcome): void {
    const ticket = this.#tickets.get(id);
    if (ticket) ticket.outcome = outcome;
  }

  /** What came of a ticket of that user; null where nothing is known. */
  outcome(
    id: string,
    by: string,
  ): { readonly request: ActionRequest; readonly outcome: ActionOutcome } | null {
    const ticket = this.#tickets.get(id);
    if (!ticket || ticket.by !== by || ticket.outcome === null) return null;
    return { request: ticket.request, outcome: ticket.outcome };
  }

  /** The map keeps its order: the oldest come first. */
  #forget(): void {
    for (const [id, { madeAt }] of this.#tickets) {
      if (this.#tickets.size < MAX_TICKETS && this.#now() - madeAt < LIFE_MS) return;
      this.#tickets.delete(id);
    }
  }
}
