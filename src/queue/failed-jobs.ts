// What is known of batches that failed for good and were kept, without opening them.

import type { Batch, MaskedBatch } from '../batch.js';
import { type ErrorCode, PipelineError } from '../errors.js';
import { isErrorCode } from '../policy.js';
import { storedText } from './attempts.js';

/** A batch that failed for good and was kept. Times are epoch ms. */
export interface FailedJob {
  /** The job's id, which is the batch's. */
  readonly batchId: string;
  /** Of its last error. */
  readonly code: ErrorCode;
  /** Code and message of its last error, in maskline's own words: ids, counts and configured names only. */
  readonly reason: string;
  readonly payload: PayloadHead;
  /** How much it takes in the queue, sealed. */
  readonly queuedBytes: number;
  readonly addedAt: number;
  /** When its last attempt began; null when none did. */
  readonly startedAt: number | null;
  readonly failedAt: number;
  readonly attempts: number;
  /** How often it was taken back from a worker that had died or hung. */
  readonly takeovers: number;
}

/** What a payload says of itself without being opened; null where a newer version says it otherwise. */
export interface PayloadHead {
  readonly version: number | null;
  readonly kid: number | null;
  /** The id of the keyring that its key is of. */
  readonly keyring: string | null;
  /** In records. */
  readonly records: number | null;
  /** Before it was compressed and sealed. */
  readonly bytes: number | null;
}

/** Which failed jobs. */
export interface FailedFilter {
  /** Empty: every code. */
  readonly codes: readonly string[];
  /** Failed at or after, in epoch ms; null: from the beginning. */
  readonly since: number | null;
  readonly limit: number | null;
}

/** The failed batches that a queue keeps. All verbs throw as `BatchQueue.add`. */
export interface FailedJobs<T extends Batch | MaskedBatch> {
  /** Those that the filter lets through, newest first. */
  failed(filter: FailedFilter): Promise<readonly FailedJob[]>;
  /** Those of the ids that are kept as failed, in the order of the ids. */
  failedByIds(batchIds: readonly string[]): Promise<readonly FailedJob[]>;
  /** The batch of a failed job; null when there is none. Throws also what opening it throws: see `Sealer`. */
  openFailed(batchId: string): Promise<T | null>;
  /**
   * Removes a failed job, and says whether there was one. A job that is no longer failed is left alone, but for the
   * moment between look and removal: one that was added anew just then is missed by its ingester, which lets it go.
   */
  discardFailed(batchId: string): Promise<boolean>;
}

/** A failed job as a server keeps it. Numbers are as they came. */
export interface StoredFailure {
  readonly id: string;
  readonly payload: PayloadHead;
  readonly queuedBytes: number;
  readonly reason: string;
  readonly attempts: number;
  readonly takeovers: number;
  readonly addedAt: number;
  readonly startedAt: number | null;
  readonly failedAt: number;
}

/** BullMQ's own words for a job whose worker died or hung more often than is allowed. */
export const TOO_MANY_TAKEOVERS = 'job stalled more than allowable limit';

/** Why a batch failed whose workers died or hung so often. */
export function workersDied(takeovers: number): PipelineError {
  const message = `the worker of the batch died or hung ${takeovers} times`;
  return new PipelineError('worker_died', message);
}

/** A failed job as it is shown. Of a reason that is not ours only that is told: it may quote anything. */
export function failedJob(stored: StoredFailure): FailedJob {
  const { id, reason, ...rest } = stored;
  return { batchId: id, ...readReason(reason, stored.takeovers), ...rest };
}

/** What may be in the text of ours, but must not steer a terminal or break a line. */
const CONTROL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu;

function readReason(text: string, takeovers: number): Pick<FailedJob, 'code' | 'reason'> {
  if (text === TOO_MANY_TAKEOVERS) return { code: 'worker_died', reason: storedText(workersDied(takeovers)) };
  const code = /^([a-z_]+): /.exec(text)?.[1] ?? '';
  if (isErrorCode(code)) return { code, reason: text.replace(CONTROL, ' ') };
  return {
    code: 'unexpected',
    reason: 'unexpected: the queue gives a reason that is not of maskline (withheld: it may quote data)',
  };
}

/** Whether the filter lets a job through; the limit is the caller's. */
export function matches(job: FailedJob, { codes, since }: FailedFilter): boolean {
  return (codes.length === 0 || codes.includes(job.code)) && (since === null || job.failedAt >= since);
}

/** A keyring's id as a server gives it: whoever may write to the queue could put anything there. */
export function keyringOf(value: unknown): string | null {
  return typeof value === 'string' && /^[\w-]{1,80}$/.test(value) ? value : null;
}

/** A count as a server gives it: a number, its digits, or nothing. */
export function countOf(value: unknown): number | null {
  if (typeof value === 'string' && !/^\d{1,15}$/.test(value)) return null;
  return typeof value === 'string' || typeof value === 'number' ? Number(value) : null;
}
