import type { Delivery } from '../batch.js';
import { Bell } from '../bell.js';

/** What one pipeline may hold of a queue that it shares. */
export interface BranchLimits {
  readonly inFlight: number;
  readonly inFlightBytes: number;
}

/** What a pipeline has of one message and has not settled. */
interface Share {
  /** Of what waits to be taken, and of what was taken and came whole. */
  bytes: number;
  /** Who has taken it, or a part; null while it waits. */
  taker: object | null;
  isInParts: boolean;
}

/** One pipeline's part in a queue that it shares: what waits for it, and what it has taken and not settled. */
export class Branch {
  readonly pipeline: string;
  /** Rings when something has come, or been settled, or who receives has changed. */
  readonly changed = new Bell();
  readonly #limits: BranchLimits;
  readonly #shares = new Map<string, Share>();
  /** Each is what one receive returned: of a FIFO group it must stay together. */
  #waiting: (readonly Delivery[])[] = [];
  /** Messages in parts of which it takes no more. */
  readonly #refused = new Set<string>();
  #bytes = 0;
  /** True since it has found no room for long, until it settles something. */
  isClogged = false;

  constructor(pipeline: string, limits: BranchLimits) {
    this.pipeline = pipeline;
    this.#limits = limits;
  }

  /** Messages that wait, or are not settled. */
  get messages(): number {
    return this.#shares.size;
  }

  /** Bytes of their bodies. */
  get bytes(): number {
    return this.#bytes;
  }

  /** One message is always possible, however large. */
  get hasRoom(): boolean {
    const { inFlight, inFlightBytes } = this.#limits;
    return this.#shares.size === 0 || (this.#shares.size < inFlight && this.#bytes < inFlightBytes);
  }

  /** Whether it has a share in the message that is not settled. */
  has(handle: string): boolean {
    return this.#shares.has(handle);
  }

  /** Whether somebody has taken its share, or a part. */
  isTaken(handle: string): boolean {
    return (this.#shares.get(handle)?.taker ?? null) !== null;
  }

  /** Whether parts of the message are kept from it. */
  refuses(handle: string): boolean {
    return this.#refused.has(handle);
  }

  /** Keeps the parts of a message that are still to come from it, until the last. */
  refuse(handle: string): void {
    this.#refused.add(handle);
  }

  /** The last part of the message has come. */
  forget(handle: string): void {
    this.#refused.delete(handle);
  }

  /** Begins its share of a message; false: it has one. */
  begin({ receipt }: Delivery): boolean {
    const isNew = !this.#shares.has(receipt.handle);
    if (isNew) this.#shares.set(receipt.handle, { bytes: 0, taker: null, isInParts: receipt.more === true });
    return isNew;
  }

  /** Lets what came wait for who takes it. */
  offer(deliveries: readonly Delivery[]): void {
    for (const { receipt } of deliveries) this.#count(receipt.handle, receipt.bytes);
    this.#waiting.push(deliveries);
    this.changed.ring();
  }

  /** What has waited longest, of those messages only where they are given; null when there is none. */
  take(taker: object, only: ReadonlySet<string> | null): readonly Delivery[] | null {
    const at =
      only === null
        ? 0
        : this.#waiting.findIndex((some) => some.some(({ receipt }) => only.has(receipt.handle)));
    const [taken] = at < 0 ? [] : this.#waiting.splice(at, 1);
    for (const { receipt } of taken ?? []) {
      const share = this.#shares.get(receipt.handle);
      if (share === undefined) continue;
      share.taker = taker;
      // How much of it may be under way is for the run to say.
      if (share.isInParts) this.#count(receipt.handle, -receipt.bytes);
    }
    return taken ?? null;
  }

  /** Settles its share; false: it has none. */
  end(handle: string): boolean {
    const share = this.#shares.get(handle);
    if (share === undefined) return false;
    this.#shares.delete(handle);
    this.#bytes -= share.bytes;
    if (share.isInParts) this.#drop(handle);
    this.changed.ring();
    return true;
  }

  /** Messages that were taken by that one, or by nobody yet, and are not settled. */
  heldBy(taker: object | null): readonly string[] {
    return [...this.#shares].flatMap(([handle, share]) => (share.taker === taker ? [handle] : []));
  }

  #count(handle: string, bytes: number): void {
    const share = this.#shares.get(handle);
    if (share === undefined) return;
    share.bytes += bytes;
    this.#bytes += bytes;
  }

  #drop(handle: string): void {
    this.#waiting = this.#waiting
      .map((some) => some.filter(({ receipt }) => receipt.handle !== handle))
      .filter((some) => some.length > 0);
  }
}
