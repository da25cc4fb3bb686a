import type { Batch, MaskedBatch } from '../batch.js';
import type { Service } from '../lifecycle.js';
import type { Takeover } from './takeover.js';

/** What a queue knows of a batch: waiting or being worked on; failed for good; or nothing. */
export type JobState = 'live' | 'failed' | 'absent';

/** How many batches a queue holds, by state. */
export interface Backlog {
  readonly waiting: number;
  readonly active: number;
  readonly failed: number;
}

/** Memory of a queue's server, all its users together. */
export interface QueueMemory {
  readonly usedBytes: number;
  readonly limitBytes: number;
}

/** Works on one batch. `takeover` is there when another worker has died or hung while it had the batch. */
export type BatchHandler<T> = (batch: T, signal: AbortSignal, takeover?: Takeover) => Promise<void>;

/** How batches are worked on. */
export interface ProcessOptions {
  /** At once, at most. */
  readonly concurrency: number;
  /** Hears why a batch could not be read, and so never comes to the handler. */
  readonly onUnreadable?: (error: unknown) => void;
}

/** Carries batches from one stage to the next. The job id is the batch id. */
export interface BatchQueue<T extends Batch | MaskedBatch> {
  /**
   * Adds the batch. A repeated add is ignored while the job exists, but a kept failed job of that id is retried.
   * Throws `redis_unavailable` or `postgres_unavailable` within seconds; the caller decides whether to wait.
   */
  add(batch: T): Promise<void>;
  /**
   * Calls `handler` for each batch, several at once, until stopped. A handler that throws is retried with
   * back-off up to the attempts of the queue, at once given up on errors whose policy is not to retry.
   */
  process(handler: BatchHandler<T>, options: ProcessOptions): Service;
  /** The state of each id, in order. Throws as `add`. */
  states(batchIds: readonly string[]): Promise<readonly JobState[]>;
  /** Throws as `add`. */
  backlog(): Promise<Backlog>;
  /** Closes its connections. Safe twice. */
  close(): Promise<void>;
}

/** Sees whether calls and consumers of a queue get on. */
export interface QueueWatch {
  /** Does the work of a call, and looks whether it is answered. */
  readonly call: <T>(work: () => Promise<T>) => Promise<T>;
  /** A consumer has nothing to do but to wait for its server's answer; the result is called when it came. */
  readonly fetch: () => () => void;
}

/** Seals what enters a queue; a port, so that queues know no keys. `id` binds the bytes to their place. */
export interface Sealer {
  /** Names the keyring: two processes that differ in it can't open what the other sealed. */
  readonly keyring: string;
  /** Key id and sealed bytes. Throws `key_unavailable`. */
  seal(id: string, plain: Buffer): { readonly kid: number; readonly sealed: Buffer };
  /** Throws `key_unavailable` for an unknown kid, `payload_corrupt` when the bytes are not authentic. */
  open(id: string, kid: number, sealed: Buffer): Buffer;
}
