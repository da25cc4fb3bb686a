import type { Receipt } from './batch.js';
import { Bell } from './bell.js';

/** Bounds what is under way of messages that come in parts: one of them may be larger than any memory. */
export interface PartLimits {
  readonly records: number;
  readonly bytes: number;
}

/** A message of which parts were held. */
interface Parted {
  readonly receipt: Receipt;
  /** Parts without a fate. */
  open: number;
  /** Whether its last part was held; or none is to come any more. */
  isWhole: boolean;
  isReleased: boolean;
}

/** What a batch with parts in it takes of the limits. */
interface Share {
  readonly records: number;
  readonly bytes: number;
}

/**
 * Messages whose records came in parts, which may be in several batches: such a message is due when each part has a
 * fate and no more is to come. One part that was released releases the message; the ledger knows the others then.
 */
export class PartedMessages {
  readonly #messages = new Map<string, Parted>();
  readonly #shares = new Map<string, Share>();
  /** Rings when something has been freed. */
  readonly #freed = new Bell();
  #records = 0;
  #bytes = 0;

  /** Takes note of the parts in a batch; messages that are whole by themselves are not looked at again. */
  hold(batchId: string, records: number, receipts: readonly Receipt[]): void {
    let parts = 0;
    for (const receipt of receipts) {
      const known = this.#messages.get(receipt.handle);
      const isWhole = receipt.more !== true;
      if (isWhole && known === undefined) continue;
      parts += 1;
      const message = known ?? { receipt, open: 0, isWhole, isReleased: false };
      message.open += 1;
      message.isWhole = isWhole;
      this.#messages.set(receipt.handle, message);
    }
    if (parts === 0) return;
    const share = { records, bytes: receipts.reduce((sum, { bytes }) => sum + bytes, 0) };
    this.#shares.set(batchId, share);
    this.#records += share.records;
    this.#bytes += share.bytes;
  }

  /** Frees what a batch with a fate took of the limits. */
  free(batchId: string): void {
    const share = this.#shares.get(batchId);
    if (share === undefined) return;
    this.#shares.delete(batchId);
    this.#records -= share.records;
    this.#bytes -= share.bytes;
    this.#freed.ring();
  }

  /** Whether the receipt of a message, or part, that has a fate now is due, and what for; a part may leave it `open`. */
  settle(receipt: Receipt, isReleased: boolean): 'acked' | 'released' | 'open' {
    const message = this.#messages.get(receipt.handle);
    if (message !== undefined) {
      message.open -= 1;
      message.isReleased ||= isReleased;
      if (message.open > 0 || !message.isWhole) return 'open';
      this.#messages.delete(receipt.handle);
    }
    return (message?.isReleased ?? isReleased) ? 'released' : 'acked';
  }

  /** Says that no part is to come any more: returns the receipts of messages that are due by that, to be released. */
  breakOff(): readonly Receipt[] {
    const due: Receipt[] = [];
    for (const [handle, message] of this.#messages) {
      if (message.isWhole) continue;
      message.isWhole = true;
      message.isReleased = true;
      if (message.open > 0) continue;
      this.#messages.delete(handle);
      due.push(message.receipt);
    }
    return due;
  }

  /** Resolves when what is held is below the limits, or when `signal` aborts. One batch is always possible. */
  async room(limits: PartLimits, signal: AbortSignal): Promise<void> {
    const isFull = (): boolean =>
      this.#shares.size > 0 && (this.#records >= limits.records || this.#bytes >= limits.bytes);
    while (isFull() && !signal.aborted) await this.#freed.wait(signal);
  }
}
