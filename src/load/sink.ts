import type { BatchReport, Counts, Fate, MaskedBatch, RunReport } from '../batch.js';

/** A batch that its ingester still holds, as far as the sink must know it to let it go. */
export interface HeldBatch {
  readonly batchId: string;
  readonly runId: string;
  readonly pipeline: string;
  /** In records. */
  readonly records: number;
  readonly receivedAt: number;
}

/** Where rows go, and the one place that decides what became of a batch. */
export interface Sink {
  /**
   * Commits the batch in one transaction: ledger, rows, quarantine, fate. Returns null, having written nothing,
   * when the batch's fate was decided before. May be called in parallel, and again after any error: an unknown
   * outcome of COMMIT is answered by the fate row. Throws `postgres_unavailable`, `contention`, `table_unfit`,
   * `permission_denied`, `row_count_differs`.
   */
  commit(batch: MaskedBatch): Promise<BatchReport | null>;
  /** Those of the batches that have a fate. Throws `postgres_unavailable`. */
  fates(batchIds: readonly string[]): Promise<readonly Fate[]>;
  /**
   * Gives each batch the fate `released` unless it has one already, and returns what its fate now is: only then
   * may its messages be made visible again. Throws `postgres_unavailable`.
   */
  letGo(batches: readonly HeldBatch[]): Promise<readonly Fate[]>;
}

/** What is kept of runs. All throw `postgres_unavailable`. */
export interface RunLog {
  /** Writes the run as running, owned by `owner`. */
  open(run: RunReport, owner: string): Promise<void>;
  /** Says that the owner is alive, and how far the run is. */
  heartbeat(runId: string, counts: Counts): Promise<void>;
  /** Writes the final report. */
  close(run: RunReport): Promise<void>;
  /** Closes as `abandoned` the pipeline's runs whose owner has been silent for `silentMs`; returns how many. */
  abandonStale(pipeline: string, silentMs: number): Promise<number>;
}
