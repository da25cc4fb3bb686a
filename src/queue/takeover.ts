// What is known of a batch that a worker died of, or with: kept with the job, where it is readable, so indexes only.

/** Where a worker is in a batch that was taken over. */
export interface Mark {
  /** Index of the record it is about to work on; null: none, so that nothing is suspected if it dies now. */
  readonly at: number | null;
  /** How many workers before it have ended at this very record, in a row. */
  readonly endings: number;
  /** How often the batch had been taken over when this was noted. */
  readonly takeovers: number;
  /** Indexes of records that were found to end their worker. */
  readonly crashed: readonly number[];
}

/** What a handler is told of a batch that was taken back from a worker that had died or hung. */
export interface Takeover {
  /** How often so far, from 1. */
  readonly count: number;
  /** What was noted last; null: nothing, or nothing that can be read. */
  readonly mark: Mark | null;
  /** Keeps a mark for the next takeover. Throws as `BatchQueue.add`, and `contention` when the batch is gone. */
  note(mark: Mark): Promise<void>;
}

/** The mark that a job holds; null when it holds anything else. */
export function readMark(value: unknown): Mark | null {
  if (typeof value !== 'object' || value === null) return null;
  const { at, endings, takeovers, crashed } = value as Partial<{ [field in keyof Mark]: unknown }>;
  if (!(at === null || isCount(at)) || !isCount(endings) || !isCount(takeovers)) return null;
  if (!Array.isArray(crashed) || !crashed.every(isCount)) return null;
  return { at, endings, takeovers, crashed };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
