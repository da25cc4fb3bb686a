import type { Delivery, Receipt } from '../batch.js';

/** Whether to stop at the end of the queue, or to go on for ever. */
export type ReceiveMode = 'until_empty' | 'continuous';

/** What a queue reports of itself; SQS calls these numbers approximate. */
export interface QueueDepth {
  readonly visible: number;
  readonly inFlight: number;
  readonly delayed: number;
}

/** Where messages come from. It holds their receipts and keeps them invisible to others until they are spent. */
export interface Source {
  /**
   * Yields what each receive returned, never empty. Waits while the limit in flight is reached. Ends when
   * `signal` aborts, or, under `until_empty`, when every receiver has seen an empty poll that began after the
   * last message arrived and the queue reports none visible. An outage is waited out, not thrown.
   * A message that comes in parts is gone on with after `signal` aborts, to its last part, or until `halt` aborts.
   */
  receive(mode: ReceiveMode, signal: AbortSignal, halt?: AbortSignal): AsyncIterable<readonly Delivery[]>;
  /**
   * Deletes messages for good. Resolves when each is deleted or its receipt has expired; failed entries are
   * retried while they are held. May be called in parallel. Never rejects.
   */
  ack(receipts: readonly Receipt[]): Promise<void>;
  /** Makes messages visible again after a delay in ms of the caller's choosing. May be called in parallel. Never rejects. */
  release(receipts: readonly Receipt[], delayMs: (receipt: Receipt) => number): Promise<void>;
  /** What the queue reports. Throws `sqs_unavailable`. */
  depth(): Promise<QueueDepth>;
}
