/** One message as a receive returned it. Times are epoch milliseconds. */
export interface RawMessage {
  readonly id: string;
  readonly body: string;
  /** The receipt handle: good for this delivery of the message only. */
  readonly handle: string;
  /** SentTimestamp. */
  readonly sentAt: number;
  /** ApproximateReceiveCount, this time included. */
  readonly receiveCount: number;
  readonly groupId?: string;
  /** Only messages of a FIFO queue have one. */
  readonly sequenceNumber?: string;
  /** ARN of the queue whose redrive policy has put it here; only messages of a dead-letter queue have one. */
  readonly deadLetterSource?: string;
  /** Message attributes of the types String and Number, and AWSTraceHeader. */
  readonly attributes: Readonly<{ [name: string]: string }>;
}

/**
 * What became of one entry of a batch call: `done`; `gone`: its receipt can do nothing any more, trying again is
 * useless; `failed`: it may be tried again.
 */
export type EntryResult = 'done' | 'gone' | 'failed';

/** One long poll. */
export interface PollOptions {
  /** 1 to 10. */
  readonly maxMessages: number;
  /** 0 to 20. */
  readonly waitS: number;
  /** 0 to 43,200. */
  readonly visibilityS: number;
}

/** A new visibility timeout for one receipt, in whole seconds from now: 0 makes the message visible at once. */
export interface VisibilityChange {
  readonly handle: string;
  readonly seconds: number;
}

/** What a queue says of itself; the three numbers of messages are approximate. */
export interface QueueAttributes {
  readonly arn: string;
  readonly visible: number;
  readonly inFlight: number;
  readonly delayed: number;
  readonly fifo: boolean;
  readonly visibilityTimeoutS: number;
  readonly retentionS: number;
  readonly redrive: { readonly deadLetterArn: string; readonly maxReceiveCount: number } | null;
}

/**
 * One SQS queue, call by call. Every call may be made in parallel, and throws `sqs_unavailable` for an outage, a
 * throttle or a queue that is missing, and `source_unfit` when the queue or the rights on it are not as needed.
 */
export interface QueueClient {
  /** The queue as configured, for messages to people. */
  readonly queue: string;
  /** Waits up to `waitS`. Throws `canceled` when `signal` aborts: what SQS had handed out by then reappears later. */
  receive(options: PollOptions, signal: AbortSignal): Promise<readonly RawMessage[]>;
  /** Deletes up to ten; results in the order of the handles. A stale handle may be `done` without deleting anything. */
  deleteBatch(handles: readonly string[]): Promise<readonly EntryResult[]>;
  /** Changes up to ten; results in the order of the changes. */
  changeVisibilityBatch(changes: readonly VisibilityChange[]): Promise<readonly EntryResult[]>;
  /** Null when there is no such queue (yet). */
  attributes(): Promise<QueueAttributes | null>;
  /** Closes its connections. Safe twice. */
  close(): void;
}

/** Messages or entries that one call to SQS may hold. */
export const MAX_ENTRIES = 10;
