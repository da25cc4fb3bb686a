import type { Receipt } from '../batch.js';
import type { Clock } from '../clock.js';
import { asPipelineError } from '../errors.js';
import type { Service } from '../lifecycle.js';
import { Bell } from '../bell.js';
import { Permits } from './permits.js';
import { MAX_ENTRIES, type QueueClient } from './queue-client.js';
import type { OnSourceEvent } from './source-events.js';

/** SQS lets no message stay invisible for longer than this after its receive. */
const VISIBILITY_LIMIT_MS = 12 * 3_600_000;
/** Visibility is kept up to here: an hour below the limit, so that no extension can run into it. */
const KEEP_MS = 11 * 3_600_000;
/** Visibility is extended once this part of it is used up... */
const EXTEND_AFTER = 0.4;
/** ...and looked at this often, which leaves five more tries when one fails. */
const LOOK_EVERY = 0.1;
/** Extensions under way at once; fewer than the connections of a client, so that deletes always find one. */
const PARALLEL_EXTENSIONS = 8;
/** Weight of the newest receive in the moving average of message sizes. */
const SIZE_WEIGHT = 0.2;

/** Limits of what is held, and how long SQS keeps it invisible at a time. */
export interface InFlightOptions {
  readonly client: Pick<QueueClient, 'changeVisibilityBatch'>;
  readonly clock: Clock;
  readonly visibilityTimeoutS: number;
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly onEvent: OnSourceEvent;
}

interface Held {
  readonly receipt: Receipt;
  /** When its visibility was last set, as far as we know, by `Clock.elapsed`. */
  extendedAt: number;
  /** False once SQS has said, or time has, that the receipt can't be extended. */
  kept: boolean;
  /** The extension under way. */
  extending: Promise<void> | null;
}

/**
 * The receipts that this ingester holds: how many, how large, and a heartbeat that keeps their messages invisible
 * to others. Receipts are told apart by handle: a message that was delivered again is held twice.
 */
export class InFlight implements Service {
  readonly #options: InFlightOptions;
  readonly #held = new Map<string, Held>();
  readonly #bell = new Bell();
  readonly #permits = new Permits(PARALLEL_EXTENSIONS);
  readonly #stopped = new AbortController();
  #bytes = 0;
  #reserved = 0;
  #meanBytes = 0;
  #heartbeat: Promise<void> | null = null;

  constructor(options: InFlightOptions) {
    this.#options = options;
  }

  /** Receipts held. */
  get messages(): number {
    return this.#held.size;
  }

  /** Bytes of the bodies of what is held. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Waits for room for one receive and sets it aside; resolves to the number of messages it may ask for, 0 when
   * `signal` aborts. The limit on messages is kept exactly; the one on bytes by the usual size of a message, since
   * SQS can't be asked for so many bytes.
   */
  async reserve(signal: AbortSignal): Promise<number> {
    const want = Math.min(MAX_ENTRIES, this.#options.maxMessages);
    while (!signal.aborted) {
      if (this.#hasRoom(want)) {
        this.#reserved += want;
        return want;
      }
      await this.#bell.wait(signal);
    }
    return 0;
  }

  /** Turns what was set aside into what came, which may be nothing. From here on the heartbeat keeps it. */
  admit(reserved: number, receipts: readonly Receipt[]): void {
    this.#reserved -= reserved;
    const extendedAt = this.#options.clock.elapsed();
    for (const receipt of receipts) {
      this.#held.set(receipt.handle, { receipt, extendedAt, kept: true, extending: null });
      this.#bytes += receipt.bytes;
    }
    if (receipts.length > 0) {
      const mean = receipts.reduce((sum, receipt) => sum + receipt.bytes, 0) / receipts.length;
      this.#meanBytes += (mean - this.#meanBytes) * (this.#meanBytes === 0 ? 1 : SIZE_WEIGHT);
    }
    if (this.#held.size > 0 && !this.#stopped.signal.aborted) this.#heartbeat ??= this.#beat();
    this.#bell.ring();
  }

  /** Whether a receipt is still worth an attempt to settle it. */
  keepable(receipt: Receipt): boolean {
    return this.#options.clock.now() < receipt.receivedAt + KEEP_MS;
  }

  /** Lets go of receipts; resolves when no extension of theirs is under way any more. Unknown ones are ignored. */
  async spend(receipts: readonly Receipt[]): Promise<void> {
    const extending = new Set<Promise<void>>();
    for (const { handle } of receipts) {
      const held = this.#held.get(handle);
      if (held === undefined) continue;
      this.#held.delete(handle);
      this.#bytes -= held.receipt.bytes;
      if (held.extending !== null) extending.add(held.extending);
    }
    this.#bell.ring();
    await Promise.all(extending);
  }

  /** Ends the heartbeat; what is still held becomes visible by itself. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#heartbeat;
  }

  #hasRoom(want: number): boolean {
    const { maxMessages, maxBytes } = this.#options;
    // One receive is always possible, or a message larger than the limit would never come.
    if (this.#held.size + this.#reserved === 0) return true;
    if (this.#held.size + this.#reserved + want > maxMessages) return false;
    return this.#bytes + (this.#reserved + want) * this.#meanBytes <= maxBytes;
  }

  /** Runs while anything is held: no timer without a need. */
  async #beat(): Promise<void> {
    const everyMs = this.#options.visibilityTimeoutS * 1_000 * LOOK_EVERY;
    while (this.#held.size > 0) {
      await this.#options.clock.sleep(everyMs, this.#stopped.signal);
      if (this.#stopped.signal.aborted) break;
      await this.#extendDue();
    }
    this.#heartbeat = null;
  }

  async #extendDue(): Promise<void> {
    const { clock, visibilityTimeoutS, onEvent } = this.#options;
    const now = clock.elapsed();
    const due: Held[] = [];
    let expired = 0;
    for (const held of this.#held.values()) {
      if (!held.kept) continue;
      if (!this.keepable(held.receipt)) {
        held.kept = false;
        expired += 1;
      } else if (now - held.extendedAt >= visibilityTimeoutS * 1_000 * EXTEND_AFTER) due.push(held);
    }
    const errors: unknown[] = [];
    const calls: Promise<void>[] = [];
    let lost = expired;
    for (let from = 0; from < due.length; from += MAX_ENTRIES) {
      const ten = due.slice(from, from + MAX_ENTRIES);
      const call = this.#permits.use(async () => {
        lost += await this.#extend(ten);
      });
      calls.push(call.catch((error: unknown) => void errors.push(error)));
    }
    await Promise.all(calls);
    if (errors.length > 0) onEvent({ kind: 'heartbeat_failed', error: asPipelineError(errors[0]) });
    if (lost > 0) onEvent({ kind: 'receipts_lost', receipts: lost });
  }

  /** One call; returns how many receipts turned out to be lost. Those that failed stay due for the next look. */
  async #extend(ten: readonly Held[]): Promise<number> {
    const current = ten.filter(({ receipt }) => this.#held.has(receipt.handle));
    if (current.length === 0) return 0;
    const { clock } = this.#options;
    const now = clock.now();
    const askedAt = clock.elapsed();
    const call = this.#options.client.changeVisibilityBatch(
      current.map(({ receipt }) => ({ handle: receipt.handle, seconds: this.#secondsFor(receipt, now) })),
    );
    const settled = call.then(
      () => undefined,
      () => undefined,
    );
    for (const held of current) held.extending = settled;
    let lost = 0;
    try {
      const results = await call;
      for (const [index, held] of current.entries()) {
        if (results[index] === 'done') held.extendedAt = askedAt;
        if (results[index] !== 'gone') continue;
        held.kept = false;
        // One that was spent meanwhile is nobody's loss.
        if (this.#held.has(held.receipt.handle)) lost += 1;
      }
    } finally {
      for (const held of current) held.extending = null;
    }
    return lost;
  }

  #secondsFor(receipt: Receipt, now: number): number {
    return Math.min(this.#options.visibilityTimeoutS, maxVisibilityS(receipt, now));
  }
}

/** The longest that SQS still lets a message stay invisible, in whole seconds, with one to spare for the call. */
export function maxVisibilityS(receipt: Receipt, now: number): number {
  return Math.max(0, Math.floor((receipt.receivedAt + VISIBILITY_LIMIT_MS - now) / 1_000) - 1);
}
