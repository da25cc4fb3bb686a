import type { Receipt } from '../batch.js';
import { type Clock, backoffMs } from '../clock.js';
import { asPipelineError } from '../errors.js';
import type { Service, StopMode } from '../lifecycle.js';
import { actionFor } from '../policy.js';
import { type InFlight, maxVisibilityS } from './in-flight.js';
import { Permits } from './permits.js';
import type { EntryResult, QueueClient } from './queue-client.js';
import type { OnSourceEvent } from './source-events.js';
import { groupDelay, inCalls } from './together.js';

/** Calls under way at once, of all acks and releases together; fewer than the connections of a client. */
const PARALLEL_CALLS = 16;
/** Tries for entries that SQS refuses. An outage spends none: it is outlasted while the receipts can be kept. */
const MAX_TRIES = 8;
const RETRY_BASE_MS = 200;
const RETRY_MAX_MS = 20_000;

/** What acks and releases need. */
export interface SettlingOptions {
  readonly client: Pick<QueueClient, 'deleteBatch' | 'changeVisibilityBatch'>;
  readonly clock: Clock;
  readonly inFlight: InFlight;
  readonly onEvent: OnSourceEvent;
}

/** What one pass over receipts left undone. */
interface Leftover {
  readonly receipts: readonly Receipt[];
  /** True when every failure was SQS being away, not an answer of its own. */
  readonly outage: boolean;
}

/** Spends receipts: deletes their messages, or makes them visible again. */
export class Settling implements Service {
  readonly #options: SettlingOptions;
  readonly #permits = new Permits(PARALLEL_CALLS);
  readonly #hardStop = new AbortController();
  readonly #underWay = new Set<Promise<void>>();

  constructor(options: SettlingOptions) {
    this.#options = options;
  }

  /** See `Source.ack`. */
  ack(receipts: readonly Receipt[]): Promise<void> {
    return this.#track(this.#ack(receipts));
  }

  /**
   * See `Source.release`. A delay is rounded up to a second and ends within SQS's twelve hours; a FIFO group's receipts
   * have one delay, the longest of theirs.
   */
  release(receipts: readonly Receipt[], delayMs: (receipt: Receipt) => number): Promise<void> {
    return this.#track(this.#release(receipts, delayMs));
  }

  /** Soft: waits for what is under way. Hard: no further tries; what is left reappears by itself. */
  async stop(mode: StopMode = 'soft'): Promise<void> {
    if (mode === 'hard') this.#hardStop.abort();
    await Promise.all(this.#underWay);
  }

  async #track(work: Promise<void>): Promise<void> {
    this.#underWay.add(work);
    try {
      await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  async #ack(receipts: readonly Receipt[]): Promise<void> {
    const { clock, inFlight, onEvent } = this.#options;
    let left = receipts;
    let tries = 0;
    for (let attempt = 1; left.length > 0; attempt += 1) {
      const { receipts: failed, outage } = await this.#pass(left, (ten) => this.#delete(ten));
      if (failed.length === 0) return;
      if (!outage) tries += 1;
      const mayTry = tries < MAX_TRIES && !this.#hardStop.signal.aborted;
      left = mayTry ? failed.filter((receipt) => inFlight.keepable(receipt)) : [];
      const kept = new Set(left);
      const abandoned = failed.filter((receipt) => !kept.has(receipt));
      if (abandoned.length > 0) {
        await inFlight.spend(abandoned);
        onEvent({ kind: 'ack_abandoned', messages: abandoned.length });
      }
      if (left.length > 0) await clock.sleep(this.#retryMs(attempt), this.#hardStop.signal);
    }
  }

  async #release(receipts: readonly Receipt[], delayMs: (receipt: Receipt) => number): Promise<void> {
    if (receipts.length === 0) return;
    const { clock, inFlight, onEvent } = this.#options;
    // First out of the heartbeat, or an extension would undo the release.
    await inFlight.spend(receipts);
    const delay = groupDelay(receipts, delayMs);
    const pass = (ten: readonly Receipt[]): Promise<readonly EntryResult[]> => this.#change(ten, delay);
    let left = await this.#pass(receipts, pass);
    if (left.receipts.length > 0) {
      await clock.sleep(this.#retryMs(1), this.#hardStop.signal);
      left = await this.#pass(left.receipts, pass);
    }
    const released = receipts.length - left.receipts.length;
    if (released > 0) onEvent({ kind: 'released', messages: released });
    if (left.receipts.length > 0) onEvent({ kind: 'release_failed', messages: left.receipts.length });
  }

  /** Calls `work` for ten receipts at a time, several calls at once; a call that throws has failed for its ten. */
  async #pass(
    receipts: readonly Receipt[],
    work: (ten: readonly Receipt[]) => Promise<readonly EntryResult[]>,
  ): Promise<Leftover> {
    const failed: Receipt[] = [];
    let outage = true;
    const one = async (ten: readonly Receipt[]): Promise<void> => {
      try {
        const results = await work(ten);
        const left = ten.filter((_, index) => results[index] !== 'done' && results[index] !== 'gone');
        if (left.length > 0) outage = false;
        failed.push(...left);
      } catch (error) {
        if (actionFor(asPipelineError(error)) !== 'wait') outage = false;
        failed.push(...ten);
      }
    };
    await Promise.all(inCalls(receipts).map((ten) => this.#permits.use(() => one(ten))));
    return { receipts: failed, outage };
  }

  async #delete(ten: readonly Receipt[]): Promise<readonly EntryResult[]> {
    const results = await this.#options.client.deleteBatch(ten.map((receipt) => receipt.handle));
    const spent = ten.filter((_, index) => results[index] === 'done' || results[index] === 'gone');
    const deleted = results.filter((result) => result === 'done').length;
    if (deleted > 0) this.#options.onEvent({ kind: 'deleted', messages: deleted });
    await this.#options.inFlight.spend(spent);
    return results;
  }

  #change(ten: readonly Receipt[], delayMs: (receipt: Receipt) => number): Promise<readonly EntryResult[]> {
    const now = this.#options.clock.now();
    return this.#options.client.changeVisibilityBatch(
      ten.map((receipt) => ({
        handle: receipt.handle,
        seconds: Math.min(Math.ceil(Math.max(0, delayMs(receipt)) / 1_000), maxVisibilityS(receipt, now)),
      })),
    );
  }

  #retryMs(attempt: number): number {
    return backoffMs(this.#options.clock, attempt, RETRY_BASE_MS, RETRY_MAX_MS);
  }
}
