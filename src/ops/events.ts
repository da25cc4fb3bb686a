import type { BatchReport, RunReport } from '../batch.js';
import type { ErrorCode } from '../errors.js';

/** The two stages that a batch goes through in the queues. */
export type Stage = 'transform' | 'load';

/**
 * Why a pipeline receives nothing for the moment: the queue's memory is nearly full, too many batches wait for
 * workers, its breaker is open, or something is away.
 */
export type IntakeBar = 'queue_memory' | 'backlog' | 'workers_stopped' | ErrorCode;

/** A batch has been masked and handed on. */
export interface BatchMasked {
  readonly pipeline: string;
  readonly batchId: string;
  readonly runId: string;
  readonly rows: number;
  readonly rejected: number;
  /** Rows masked, by method; a row with two columns of one method counts twice. */
  readonly masked: Readonly<{ [method: string]: number }>;
  /** Values that were made canonical before masking, by kind. */
  readonly normalized: Readonly<{ [kind: string]: number }>;
  /** Fields that were in a message and in no column. */
  readonly fieldsDropped: number;
  readonly ms: number;
}

/** A batch has been committed. */
export interface BatchLoaded extends BatchReport {
  /** The target of a row for each record, as `schema.table`. */
  readonly table: string;
  /** From the oldest SentTimestamp in the batch to its commit; null where that says nothing, as in a backfill. */
  readonly lagMs: number | null;
}

/** Everything the flow tells of itself, by name. Payloads hold ids, counts, codes and configured names only. */
export interface PipelineEvents {
  messages_received: { readonly pipeline: string; readonly messages: number; readonly bytes: number };
  messages_deleted: { readonly pipeline: string; readonly messages: number };
  /** Messages whose receive count was above one. */
  redelivery: { readonly pipeline: string; readonly messages: number };
  /** Receipts that ran out before they were spent: their messages come again. */
  receipt_lost: { readonly pipeline: string; readonly receipts: number };
  /** Messages that claim an origin which no redrive of ours gave them: they count as new. */
  origin_refused: { readonly pipeline: string; readonly messages: number };
  batch_masked: BatchMasked;
  batch_loaded: BatchLoaded;
  /** An ingester has stopped waiting for a batch: its messages come again. */
  batch_let_go: {
    readonly pipeline: string;
    readonly batchId: string;
    readonly runId: string;
    readonly records: number;
  };
  job_failed: {
    readonly pipeline: string;
    readonly stage: Stage;
    readonly batchId: string;
    readonly code: ErrorCode;
    readonly attempt: number;
    /** True when it will not be tried again. */
    readonly final: boolean;
  };
  /** Said at every wait for something that is away. */
  outage_waiting: { readonly code: ErrorCode };
  /** Receiving has been barred, or is free again (null). */
  intake: { readonly pipeline: string; readonly bar: IntakeBar | null };
  run_finished: RunReport;
  /** A tick has come to its end, also when it found nothing; `at` is when it began, in epoch ms. */
  schedule_tick: { readonly pipeline: string; readonly at: number; readonly ok: boolean };
  /** A pipeline has stopped in this process, for what only a person can mend, or goes on. */
  pipeline_stopped: { readonly pipeline: string; readonly isStopped: boolean };
  /** A tick was left out, because the one before it is still going. */
  schedule_overlap: { readonly pipeline: string; readonly at: number };
}

/** The name of an event. */
export type EventName = keyof PipelineEvents;

/** Hears of an event; what it throws, or rejects with, is counted and goes no further. */
export type Listener<Name extends EventName> = (event: PipelineEvents[Name]) => void | Promise<void>;

/**
 * Carries events from the flow to those who watch it. Listeners are called in the order in which they came, before
 * `emit` returns, and a failing one never breaks the flow or the listeners after it.
 */
export class EventBus {
  readonly #listeners: { readonly [Name in EventName]: Set<Listener<Name>> } = {
    messages_received: new Set(),
    messages_deleted: new Set(),
    redelivery: new Set(),
    receipt_lost: new Set(),
    origin_refused: new Set(),
    batch_masked: new Set(),
    batch_loaded: new Set(),
    batch_let_go: new Set(),
    job_failed: new Set(),
    outage_waiting: new Set(),
    intake: new Set(),
    run_finished: new Set(),
    schedule_tick: new Set(),
    schedule_overlap: new Set(),
    pipeline_stopped: new Set(),
  };
  #failures = 0;

  /** How many calls of listeners have failed. */
  get failures(): number {
    return this.#failures;
  }

  /** Calls `listener` at every such event, until the returned function is called. */
  on<Name extends EventName>(name: Name, listener: Listener<Name>): () => void {
    const listeners: Set<Listener<Name>> = this.#listeners[name];
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  /** Tells all listeners; never throws. */
  emit<Name extends EventName>(name: Name, event: PipelineEvents[Name]): void {
    const failed = (): void => {
      this.#failures += 1;
    };
    const listeners: Set<Listener<Name>> = this.#listeners[name];
    for (const listener of listeners) {
      try {
        listener(event)?.catch(failed);
      } catch {
        failed();
      }
    }
  }
}
