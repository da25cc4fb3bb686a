// What a dashboard may show of a queue. It is a list of what is allowed, not of what is hidden: whoever can write to
// the server can make a job that holds anything anywhere, so each field is shown only as what ours can be.

import type { ErrorCode } from '../errors.js';
import { isErrorCode, policies } from '../policy.js';
import { TOO_MANY_TAKEOVERS } from './failed-jobs.js';

/** All jobs are named alike: a name is readable in the queue and tells nothing. */
export const JOB_NAME = 'batch';

/** The states that batches go through, as BullMQ names them. */
export const boardStates = ['active', 'waiting', 'delayed', 'failed', 'completed'] as const;

/** One of `boardStates`. */
export type BoardState = (typeof boardStates)[number];

/** What a payload says of itself without being opened; null where a newer version says it otherwise. */
export interface BoardPayload {
  readonly v: number;
  readonly kid: number | null;
  /** In records. */
  readonly n: number | null;
  /** Before it was sealed. */
  readonly bytes: number | null;
}

/** A job as a dashboard may show it: times are epoch ms, and no text in it comes from the job. */
export interface BoardJob {
  /** The batch id; a made-up name for a job whose id is no batch's. */
  readonly id: string;
  readonly name: string;
  /** Null when it is none of ours. */
  readonly payload: BoardPayload | null;
  readonly attemptsMade: number;
  /** How often it may be tried. */
  readonly attempts: number;
  /** How often it was taken back from a worker that had died or hung. */
  readonly takeovers: number;
  readonly addedAt: number;
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  /** How long it was put off when it was last tried. */
  readonly delayMs: number;
  /** The code of the last error and what to do about it; null when there was none. */
  readonly failure: string | null;
}

/** How many batches have come to one end: in all, and for each of the last minutes, the latest first. */
export interface BoardCounts {
  readonly total: number;
  readonly perMinute: readonly number[];
  /** When the latest minute was counted, in epoch ms; 0: never. */
  readonly at: number;
}

/** One queue, read only. Every verb throws as `BatchQueue.add`. */
export interface BoardQueue {
  readonly name: string;
  counts(): Promise<Readonly<{ [state in BoardState]: number }>>;
  /** The jobs of these states from the `start`th to the `end`th (from 0, both included), newest first. */
  jobs(states: readonly BoardState[], start: number, end: number): Promise<readonly BoardJob[]>;
  /** Null when there is no such job. */
  job(id: string): Promise<(BoardJob & { readonly state: BoardState | 'unknown' }) | null>;
  isPaused(): Promise<boolean>;
  finished(how: 'completed' | 'failed'): Promise<BoardCounts>;
}

/** A job as its server has it: nothing in it is to be trusted. */
export interface RawJob {
  readonly id?: unknown;
  readonly name?: unknown;
  readonly data?: unknown;
  readonly opts?: { readonly attempts?: unknown };
  readonly attemptsMade?: unknown;
  readonly stalledCounter?: unknown;
  readonly timestamp?: unknown;
  readonly processedOn?: unknown;
  readonly finishedOn?: unknown;
  readonly delay?: unknown;
  readonly failedReason?: unknown;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

// A number beyond these is not ours, and might be anybody's.
/** 2020 to 2100. */
const TIMES = [1_577_836_800_000, 4_102_444_800_000] as const;
const MAX_TRIES = 1_000;
const MAX_DELAY_MS = 24 * 3_600_000;
const MAX_VERSION = 100;
const MAX_KID = 9_999;
const MAX_RECORDS = 1_000_000;
const MAX_BYTES = 64 * 1024 * 1024;

/** What is said of anything that can't be ours. */
const FOREIGN = 'not of maskline';
const FOREIGN_FAILURE = 'not a reason of maskline (withheld: it may quote data)';

/** The job as it may be shown; `place` tells apart those whose id may not be. */
export function boardJob(job: RawJob, place: number): BoardJob {
  return {
    id: isBatchId(job.id) ? job.id : `foreign-${place}`,
    name: job.name === JOB_NAME ? JOB_NAME : FOREIGN,
    payload: payloadOf(job.data),
    attemptsMade: within(job.attemptsMade, 0, MAX_TRIES) ?? 0,
    attempts: within(job.opts?.attempts, 0, MAX_TRIES) ?? 0,
    takeovers: within(job.stalledCounter, 0, MAX_TRIES) ?? 0,
    addedAt: within(job.timestamp, ...TIMES) ?? 0,
    startedAt: within(job.processedOn, ...TIMES),
    finishedAt: within(job.finishedOn, ...TIMES),
    delayMs: within(job.delay, 0, MAX_DELAY_MS) ?? 0,
    failure: failureOf(job.failedReason),
  };
}

/** Whether it can be the id of a batch of ours. */
export function isBatchId(id: unknown): id is string {
  return typeof id === 'string' && UUID.test(id);
}

function payloadOf(data: unknown): BoardPayload | null {
  if (typeof data !== 'object' || data === null) return null;
  const { v, kid, n, bytes } = data as Partial<{ [field in keyof BoardPayload]: unknown }>;
  const version = within(v, 1, MAX_VERSION);
  if (version === null) return null;
  return {
    v: version,
    kid: within(kid, 1, MAX_KID),
    n: within(n, 0, MAX_RECORDS),
    bytes: within(bytes, 0, MAX_BYTES),
  };
}

function failureOf(reason: unknown): string | null {
  if (reason === undefined || reason === null || reason === '') return null;
  if (reason === TOO_MANY_TAKEOVERS) return withRemedy('worker_died');
  const code = typeof reason === 'string' ? (/^([a-z_]+): /.exec(reason)?.[1] ?? '') : '';
  return isErrorCode(code) ? withRemedy(code) : FOREIGN_FAILURE;
}

function withRemedy(code: ErrorCode): string {
  return `${code}: ${policies[code].remedy}`;
}

/** The value if it is a whole number from `min` to `max`, else null. */
function within(value: unknown, min: number, max: number): number | null {
  const isFit = typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max;
  return isFit ? value : null;
}
