import { PipelineError } from '../errors.js';
import { answerOf, bareCode, causeOf, errorName, isRefused } from './sdk-errors.js';

const MISSING = new Set(['QueueDoesNotExist', 'NonExistentQueue', 'ResourceNotFoundException']);

/** Codes of batch entries whose receipt is no use any more: SQS may say so in three ways. */
const GONE = new Set(['ReceiptHandleIsInvalid', 'MessageNotInflight', 'InvalidParameterValue']);

/** True for the error by which SQS says that there is no such queue. */
export function saysMissing(error: unknown): boolean {
  return MISSING.has(errorName(error));
}

/** True for the code of a failed batch entry whose receipt can do nothing any more. */
export function saysGone(code: string | undefined): boolean {
  return code !== undefined && GONE.has(bareCode(code));
}

/** There is no such queue, or not yet: like an outage it is waited out. */
export function queueMissing(queue: string): PipelineError {
  return new PipelineError(
    'sqs_unavailable',
    `queue ${queue} does not exist at this endpoint, in this account and region: create it, or mend source.sqs`,
  );
}

/**
 * An error of the SDK as ours: `source_unfit` for what only people can mend (rights, signatures, parameters),
 * `sqs_unavailable` for all that may pass by itself. The text of the original is not repeated.
 */
export function sqsError(error: unknown, call: string, queue: string): PipelineError {
  if (error instanceof PipelineError) return error;
  if (saysMissing(error)) return queueMissing(queue);
  const answer = answerOf(error);
  const cause = causeOf(error);
  if (errorName(error) === 'CredentialsProviderError') {
    const message = `${call} on queue ${queue}: no AWS credentials found; set them in the environment, a profile or a role`;
    return new PipelineError('sqs_unavailable', message, cause);
  }
  if (isRefused(error)) {
    const message = `SQS refused ${call} on queue ${queue} (${answer}): check the rights on it and source.sqs`;
    return new PipelineError('source_unfit', message, cause);
  }
  return new PipelineError('sqs_unavailable', `${call} on queue ${queue} failed (${answer})`, cause);
}
