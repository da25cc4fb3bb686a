import { type PipelineError, asPipelineError } from '../errors.js';

/** Exit codes: part of the interface, listed in docs/reference.md. */
export const exitCode = {
  ok: 0,
  /** It ran, but something failed, is unhealthy or was not found. */
  failed: 1,
  /** Usage, configuration, schema or table unfit: nothing was received. */
  unfit: 2,
  /** A dependency stayed unreachable for `startup_timeout`. */
  unreachable: 3,
} as const;

const UNFIT = new Set<string>([
  'usage',
  'config_invalid',
  'schema_outdated',
  'table_unfit',
  'permission_denied',
  'queue_unfit',
  'source_unfit',
  'key_unavailable',
]);
const UNREACHABLE = new Set<string>(['postgres_unavailable', 'redis_unavailable', 'sqs_unavailable']);

/** The exit code of a command that ended with this error. */
export function exitCodeOf(error: unknown): number {
  const { code } = asPipelineError(error);
  if (UNFIT.has(code)) return exitCode.unfit;
  return UNREACHABLE.has(code) ? exitCode.unreachable : exitCode.failed;
}

/** What the operator reads of an error: its message, and of an unknown one where it came from. */
export function describeError(thrown: unknown): string {
  const error: PipelineError = asPipelineError(thrown);
  return error.message;
}
