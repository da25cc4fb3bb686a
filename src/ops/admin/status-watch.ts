import { setTimeout as delay } from 'node:timers/promises';
import type { Service } from '../../lifecycle.js';
import type { Status } from '../status.js';

/** An answer is good for so long, so that open pages and impatient scripts cost one look a second at most. */
const FRESH_MS = 1_000;
/** Looks are taken this often though nobody asks, so that it is known since when something has been away. */
const LOOK_EVERY_MS = 10_000;

/** A look at the deployment. */
export interface Seen {
  readonly status: Status;
  /** Since when (epoch ms) each dependency that is away has been seen to be. */
  readonly awaySince: ReadonlyMap<string, number>;
}

/** Looks at the deployment for everybody who asks: those who ask together get one look, and one a second. */
export class StatusWatch implements Service {
  readonly #collect: () => Promise<Status>;
  readonly #now: () => number;
  readonly #stopping = new AbortController();
  readonly #awaySince = new Map<string, number>();
  #latest: { readonly seen: Promise<Seen>; endedAt: number | null } | null = null;
  #looking: Promise<void> | null = null;

  constructor(collect: () => Promise<Status>, now: () => number = Date.now) {
    this.#collect = collect;
    this.#now = now;
  }

  /** The latest look, or a new one. Rejects as `collect`. */
  read(): Promise<Seen> {
    const latest = this.#latest;
    if (latest && this.#isFresh(latest.endedAt)) return latest.seen;
    const mine: { seen: Promise<Seen>; endedAt: number | null } = { seen: this.#look(), endedAt: null };
    this.#latest = mine;
    const ended = (): void => {
      mine.endedAt = this.#now();
    };
    mine.seen.then(ended, ended);
    return mine.seen;
  }

  /** Looks now and then by itself, until stopped. */
  start(): void {
    this.#looking ??= this.#keepLooking();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#looking;
  }

  /** While it is under way, however long that takes, and shortly after; a clock that was set back makes it old too. */
  #isFresh(endedAt: number | null): boolean {
    return endedAt === null || Math.abs(this.#now() - endedAt) < FRESH_MS;
  }

  async #keepLooking(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      // Who asks hears of a failure; there is nobody to tell it here.
      await Promise.race([this.read().catch(() => undefined), aborted(signal)]);
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #look(): Promise<Seen> {
    const status = await this.#collect();
    const now = this.#now();
    for (const { name, ok } of status.dependencies) {
      if (ok) this.#awaySince.delete(name);
      else if (!this.#awaySince.has(name)) this.#awaySince.set(name, now);
    }
    return { status, awaySince: new Map(this.#awaySince) };
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
