import type { Masked } from './masking/masked.js';

/** One SQS message as received. Times are epoch milliseconds; `sentAt` is SentTimestamp, stable across redeliveries. */
export interface Envelope {
  readonly messageId: string;
  readonly body: string;
  readonly sentAt: number;
  readonly receivedAt: number;
  readonly groupId?: string;
  readonly sequenceNumber?: string;
  readonly attributes: Readonly<{ [name: string]: string }>;
}

/**
 * What SQS needs to settle one message. It never leaves the ingester that received it. The parts of a message share one
 * handle, and each has a receipt of its own by which it is known whether more of them come.
 */
export interface Receipt {
  readonly messageId: string;
  readonly handle: string;
  /** How often SQS has handed this message out, this time included. */
  readonly receiveCount: number;
  readonly receivedAt: number;
  /** The group of a FIFO queue's message: what was received of it is released together. */
  readonly groupId?: string;
  /** Which of several queues that are read as one it is of; absent where there is one only. */
  readonly queue?: number;
  /** Size of the body, or of what it unpacks to where that is more: for the limit on bytes in flight. */
  readonly bytes: number;
  /** True when more records of the message follow, in another delivery: until the last has come it can't be acked. */
  readonly more?: boolean;
}

/** One row's worth of input. Most messages hold one; its id is then the message id, else `messageId#index`. */
export interface InputRecord {
  readonly id: string;
  /** Index of its message in the batch. */
  readonly message: number;
  /** JSON text as it came. */
  readonly body: string;
  /** Set when the body must not be read: it could not be opened, is no pipeline's, or workers died of it. */
  readonly rejected?: 'bad_envelope' | 'too_large' | 'object_gone' | 'no_route' | 'crashed_worker';
}

/** One receive's message, or a part of it, its records, of which there may be none, and the receipt that settles it. */
export interface Delivery {
  readonly envelope: Envelope;
  readonly records: readonly Omit<InputRecord, 'message'>[];
  readonly receipt: Receipt;
}

/** What a message is, without its body. */
export type MessageHead = Omit<Envelope, 'body'>;

/** Formed once, by `drain`: one id, one job per stage, one COPY, one fate. */
export interface Batch {
  readonly batchId: string;
  readonly runId: string;
  readonly pipeline: string;
  readonly messages: readonly MessageHead[];
  readonly records: readonly InputRecord[];
  /** Which span made it (`traceparent`, W3C Trace Context); absent where nothing is traced. */
  readonly trace?: string;
}

/** Why a record cannot go on, as maskline sees it: stable codes, listed in docs/reference.md. */
export const rejectionCodes = [
  'not_json',
  'not_object',
  'bad_envelope',
  'too_deep',
  'too_large',
  'object_gone',
  'no_route',
  'missing_field',
  'unknown_field',
  'wrong_type',
  'out_of_range',
  'bad_version',
  'bad_ip',
  'bad_text',
  'too_long',
  'mask_failed',
  'crashed_worker',
] as const;
/** One of those; `refused_<sqlstate>` comes from the table. */
export type RejectionCode = (typeof rejectionCodes)[number] | `refused_${string}`;

/** The ledger's key of a record, and the message it belongs to. */
export interface RecordKey {
  readonly id: string;
  readonly sentAt: number;
  readonly messageId: string;
  readonly message: number;
}

/** A rejected record: code and configured path, no value; `sealed` is its raw body under the quarantine key. */
export interface Rejection extends RecordKey {
  readonly quarantineId: string;
  readonly code: RejectionCode;
  /** The column's `from` as written in the configuration, `*` for any other key, null for whole-body codes. */
  readonly path: string | null;
  readonly kind: 'raw' | 'masked';
  readonly sealed: Buffer;
  readonly kid: number;
  /** `on_reject: dlq`: the message is left to SQS's redrive instead of the quarantine. */
  readonly held: boolean;
}

/** The rows of a batch for one more table, which has as many of a record as there are: none, one or many. */
export interface FurtherRows {
  /** `schema.table`: by it the loader knows which of its tables is meant. */
  readonly table: string;
  /** The COPY column list. */
  readonly columns: readonly string[];
  /** The record of each line of `rows`, as an index of the batch's keys; they ascend. */
  readonly records: readonly number[];
  /** As `MaskedBatch.rows`. */
  readonly rows: Masked<Buffer>;
}

/** What `transform` made of a batch: COPY-ready rows, and the records that cannot go on. */
export interface MaskedBatch {
  readonly batchId: string;
  readonly runId: string;
  readonly pipeline: string;
  /** How many messages the batch holds. */
  readonly messages: number;
  /** The FIFO group of each message, as a number within the batch; null for one of none. Absent: all are of none. */
  readonly groups?: readonly (number | null)[];
  /** When its first message was received. */
  readonly receivedAt: number;
  /** SHA-256 of the column policy that made the rows, in hex. */
  readonly policySha256: string;
  /** Key ids that tokens in this batch carry. */
  readonly kids: readonly number[];
  /** The COPY column list. */
  readonly columns: readonly string[];
  /** Keys of the rows, in the order of the lines of `rows`. */
  readonly keys: readonly RecordKey[];
  /** COPY text format, one line a row, each ended by a newline byte. */
  readonly rows: Masked<Buffer>;
  readonly rejections: readonly Rejection[];
  /** Of a pipeline of several tables: which one `rows` are for, and the rows of the others. Absent: there is but one. */
  readonly several?: { readonly table: string; readonly further: readonly FurtherRows[] };
  /** Which span made it (`traceparent`, W3C Trace Context); absent where nothing is traced. */
  readonly trace?: string;
}

/** Records by outcome; `received` is the sum of the other four. */
export interface Counts {
  readonly received: number;
  readonly loaded: number;
  readonly duplicates: number;
  readonly quarantined: number;
  readonly released: number;
}

/** No records yet. */
export const noCounts: Counts = { received: 0, loaded: 0, duplicates: 0, quarantined: 0, released: 0 };

/** The sum of two counts, outcome by outcome. */
export function addCounts(a: Counts, b: Counts): Counts {
  return {
    received: a.received + b.received,
    loaded: a.loaded + b.loaded,
    duplicates: a.duplicates + b.duplicates,
    quarantined: a.quarantined + b.quarantined,
    released: a.released + b.released,
  };
}

/** The one fate of a batch, as the row in `maskline.loads` has it. */
export interface Fate extends Counts {
  readonly batchId: string;
  readonly state: 'committed' | 'released';
  /** Indexes of messages to be released, not deleted, though the batch is committed. */
  readonly held: readonly number[];
}

/** Under `fifo: block`, the record that keeps its group's messages from being loaded. */
export interface Blocking {
  readonly messageId: string;
  readonly code: RejectionCode;
}

/** What became of a batch that this loader committed. Null from a loader means its fate was decided before. */
export interface BatchReport extends Counts {
  readonly batchId: string;
  readonly runId: string;
  readonly pipeline: string;
  readonly bytes: number;
  /** How often its rows were sent, by a COPY for each table: once, and more often only when a table refused some. */
  readonly copies: number;
  readonly ms: { readonly ledger: number; readonly copy: number; readonly total: number };
  /** Quarantined records by code. */
  readonly codes: Readonly<{ [code: string]: number }>;
  /** One for each FIFO group that is held; absent when none is. */
  readonly blocked?: readonly Blocking[];
  /** Rows that went to further tables, by `schema.table`; absent where the pipeline has but one. */
  readonly furtherRows?: { readonly [table: string]: number };
}

/** What starts a run. */
export type Trigger = 'schedule' | 'drain' | 'backfill' | 'replay' | 'retry' | 'manual';

/** What a run ends as. */
export type RunState = 'running' | 'succeeded' | 'failed' | 'canceled' | 'breaker_open' | 'abandoned';

/** What users think in: received = loaded + duplicates + quarantined + released, in records. Times are epoch ms. */
export interface RunReport extends Counts {
  readonly runId: string;
  readonly pipeline: string;
  readonly trigger: Trigger;
  readonly state: RunState;
  readonly startedAt: number;
  readonly finishedAt: number | null;
}
