import { type PipelineError, asPipelineError } from '../errors.js';
import { actionFor } from '../policy.js';

/** How often, and after which waits, a batch whose handler threw is tried again. */
export interface AttemptSettings {
  /** How often a handler may throw before the batch is failed. */
  readonly attempts: number;
  /** About the first wait; it doubles with every attempt. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** After this, what a newer version wrote is offered again: another worker may be able to read it. */
  readonly newerMs: number;
}

/**
 * Eight attempts within about a minute and a half: longer than a failover or a deployment's bad moment, well within
 * the 15 minutes after which the ingester lets the batch go. Outages do not count here: handlers wait them out.
 */
export const defaultAttempts: AttemptSettings = { attempts: 8, baseMs: 1_000, maxMs: 30_000, newerMs: 5_000 };

/** What a queue does after a handler threw: try again; fail for good; or put back, no attempt spent. */
export type Verdict = 'again' | 'fail' | 'put_back';

/** The verdict on an error, by the one table of errors. */
export function verdictOn(error: PipelineError): Verdict {
  if (error.code === 'payload_newer') return 'put_back';
  const action = actionFor(error);
  // `wait` belongs to callers of `outlast`; one that comes out all the same may not be taken for a defect of the batch.
  return action === 'give_up' || action === 'stop' ? 'fail' : 'again';
}

/** All that a queue may keep of an error: code and message, which hold no value; no cause, no stack. */
export function storedText(error: unknown): string {
  const { code, message } = asPipelineError(error);
  return `${code}: ${message}`;
}

/** What a queue tells of itself. Ids, codes and counts; no value. */
export type QueueEvent =
  /** A server is away, or refuses; the queue goes on by itself when it can. */
  | { readonly kind: 'trouble'; readonly error: PipelineError }
  /** A handler threw, in its `attempt`th attempt (from 1); `final` when the batch has failed for good. */
  | {
      readonly kind: 'attempt_failed';
      readonly batchId: string;
      readonly error: PipelineError;
      readonly attempt: number;
      readonly final: boolean;
    }
  /** A batch was taken back from a worker that had died or hung. */
  | { readonly kind: 'taken_over'; readonly batchId: string };

/** Hears of queue events. Must not throw. */
export type OnQueueEvent = (event: QueueEvent) => void;
