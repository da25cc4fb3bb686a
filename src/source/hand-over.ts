import type { Delivery, Receipt } from '../batch.js';
import { Bell } from '../bell.js';

/** What one receive returned, or a part of a message, until the consumer takes it. */
interface Offer {
  readonly deliveries: readonly Delivery[];
  readonly taken: () => void;
}

/** Hands what receivers bring to one consumer, as fast as it takes it: what it can't take stays in SQS. */
export class HandOver {
  readonly #offers: Offer[] = [];
  /** Handles of which the consumer has taken a part: it is to settle them, whatever becomes of the rest. */
  readonly #begun = new Set<string>();
  readonly #changed = new Bell();

  /** Offers, and waits until it is taken or `signal` aborts; it stays on offer then. */
  offer(deliveries: readonly Delivery[], signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const taken = (): void => {
        signal.removeEventListener('abort', taken);
        resolve();
      };
      signal.addEventListener('abort', taken);
      if (signal.aborted) taken();
      this.#offers.push({ deliveries, taken });
      this.#changed.ring();
    });
  }

  /** Lets the consumer look again whether anything is to come. */
  ring(): void {
    this.#changed.ring();
  }

  /** What is offered, in order, until nothing is and nothing `isToCome`. */
  async *take(isToCome: () => boolean): AsyncGenerator<readonly Delivery[], void, undefined> {
    while (this.#offers.length > 0 || isToCome()) {
      const offer = this.#offers.shift();
      if (offer === undefined) {
        await this.#changed.wait();
        continue;
      }
      for (const { receipt } of offer.deliveries) if (receipt.more) this.#begun.add(receipt.handle);
      offer.taken();
      yield offer.deliveries;
    }
  }

  /** Receipts of messages of which nothing was taken. */
  get left(): readonly Receipt[] {
    return this.#offers
      .flatMap(({ deliveries }) => deliveries.map(({ receipt }) => receipt))
      .filter(({ handle }) => !this.#begun.has(handle));
  }
}
