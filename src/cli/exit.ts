import { asPipelineError } from '../errors.js';
import { policies } from '../policy.js';

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
const UNREACHABLE = new Set<string>([
  'postgres_unavailable',
  'redis_unavailable',
  'sqs_unavailable',
  's3_unavailable',
  'kms_unavailable',
]);

/** The exit code of a command that ended with this error. */
export function exitCodeOf(error: unknown): number {
  const { code } = asPipelineError(error);
  if (UNFIT.has(code)) return exitCode.unfit;
  return UNREACHABLE.has(code) ? exitCode.unreachable : exitCode.failed;
}

/** An error as the operator reads it. What makes a set-up unfit says itself how to mend it; the rest gets a remedy. */
export function errorText(thrown: unknown): string {
  const { code, message } = asPipelineError(thrown);
  return UNFIT.has(code)
    ? `maskline: ${message}`
    : `maskline: ${message}\n  what to do: ${policies[code].remedy}`;
}
