import { PipelineError } from '../errors.js';

/** Client errors of SQS that pass by themselves: throttles, credentials that the chain will renew, full queues. */
const PASSING = new Set([
  'RequestThrottled',
  'RequestThrottledException',
  'Throttling',
  'ThrottlingException',
  'ThrottledException',
  'TooManyRequestsException',
  'KmsThrottled',
  'OverLimit',
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'RequestExpired',
  'ExpiredToken',
  'ExpiredTokenException',
  'QueueDeletedRecently',
]);

const MISSING = new Set(['QueueDoesNotExist', 'NonExistentQueue', 'ResourceNotFoundException']);

/** Codes of batch entries whose receipt is no use any more: SQS may say so in three ways. */
const GONE = new Set(['ReceiptHandleIsInvalid', 'MessageNotInflight', 'InvalidParameterValue']);

/** True for the error by which SQS says that there is no such queue. */
export function saysMissing(error: unknown): boolean {
  return MISSING.has(nameOf(error));
}

/** True for the code of a failed batch entry whose receipt can do nothing any more. */
export function saysGone(code: string | undefined): boolean {
  return code !== undefined && GONE.has(bare(code));
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
  const name = nameOf(error);
  const status = statusOf(error);
  const cause = causeOf(error);
  const answer = status === null ? name : `${name}, HTTP ${status}`;
  if (name === 'CredentialsProviderError') {
    const message = `${call} on queue ${queue}: no AWS credentials found; set them in the environment, a profile or a role`;
    return new PipelineError('sqs_unavailable', message, cause);
  }
  const refused = status !== null && status >= 400 && status < 500 && status !== 429 && !PASSING.has(name);
  if (refused) {
    const message = `SQS refused ${call} on queue ${queue} (${answer}): check the rights on it and source.sqs`;
    return new PipelineError('source_unfit', message, cause);
  }
  return new PipelineError('sqs_unavailable', `${call} on queue ${queue} failed (${answer})`, cause);
}

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  // The SDK's check of bodies throws a plain Error; so do Node's sockets, told apart by their code.
  if (error.message.startsWith('Invalid MD5 checksum')) return 'MD5 mismatch';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : null;
  return bare(error.name === 'Error' && code !== null ? code : error.name);
}

/** Without the prefix of the older protocol, as in AWS.SimpleQueueService.NonExistentQueue. */
function bare(code: string): string {
  return code.slice(code.lastIndexOf('.') + 1);
}

function statusOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('$metadata' in error)) return null;
  const { $metadata: metadata } = error;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return null;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : null;
}

/** An answer that is not JSON is quoted by the parser's error, bodies of messages included: that one is not kept. */
function causeOf(error: unknown): { readonly cause?: unknown } {
  return error instanceof SyntaxError ? {} : { cause: error };
}
