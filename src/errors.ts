/** Codes of everything that can stop a batch or a process; `policy.ts` says what happens on each. */
export type ErrorCode =
  | 'config_invalid'
  | 'usage'
  | 'not_found'
  | 'schema_outdated'
  | 'table_unfit'
  | 'permission_denied'
  | 'row_count_differs'
  | 'queue_unfit'
  | 'source_unfit'
  | 'key_unavailable'
  | 'leak_found'
  | 'masker_stuck'
  | 'payload_newer'
  | 'payload_corrupt'
  | 'worker_died'
  | 'expired'
  | 'postgres_unavailable'
  | 'redis_unavailable'
  | 'sqs_unavailable'
  | 's3_unavailable'
  | 'kms_unavailable'
  | 'contention'
  | 'statement_timeout'
  | 'breaker_open'
  | 'turn_taken'
  | 'canceled'
  | 'unexpected';

/**
 * The one error that crosses module boundaries. `message` says what, where and how to mend it, in ids,
 * counts and configured names; it never quotes a value, a driver's `detail` or a parser's text.
 */
export class PipelineError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'PipelineError';
    this.code = code;
  }
}

/** The error as a PipelineError; anything unknown becomes `unexpected`, with its class name and no text. */
export function asPipelineError(error: unknown): PipelineError {
  if (error instanceof PipelineError) return error;
  const kind = error instanceof Error ? error.name : typeof error;
  return new PipelineError('unexpected', `unexpected ${kind} (its text is withheld: it may quote data)`, {
    cause: error,
  });
}
