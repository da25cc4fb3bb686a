import { PipelineError } from '../errors.js';

/** What a field of a log line may hold: ids, names, codes, counts. Never a value from a message. */
export type LogValue =
  string | number | boolean | null | readonly string[] | { readonly [name: string]: number };

/**
 * Every field that a log line may have. It is a list of what is allowed, not of what is hidden: whatever else is
 * given to the logger is left out, so that an object that carries data can't reach a log by accident.
 */
export const logFields = [
  'event',
  'action',
  'role',
  'version',
  'pipeline',
  'pipelines',
  'owner',
  'run_id',
  'batch_id',
  'stage',
  'table',
  'trigger',
  'state',
  'messages',
  'receipts',
  'records',
  'batches',
  'waiting',
  'rows',
  'rejected',
  'received',
  'loaded',
  'duplicates',
  'quarantined',
  'released',
  'bytes',
  'copies',
  'further_rows',
  'codes',
  'counts',
  'ms',
  'lag_ms',
  'code',
  'remedy',
  'attempt',
  'final',
  'at',
  'ok',
  'signal',
  'deadline_ms',
  'held',
  'file',
  'host',
  'port',
  'queue',
  'schedule',
  'concurrency',
  'user',
  'reason',
  'ids',
  'loops',
] as const;

/** The fields of one line, and the error it is about. */
export type LogFields = { readonly [field in (typeof logFields)[number]]?: LogValue } & {
  readonly error?: unknown;
};

/** What a log line says of an error. */
export interface ErrorFields {
  readonly [field: string]: LogValue;
}

/** Class names and codes are identifiers of programs; anything else might be a value. */
const IDENTIFIER = /^[A-Za-z_$][\w$.-]{0,63}$/;
/** SQLSTATE (PostgreSQL docs, appendix A) and the codes of Node and libuv. */
const SYSTEM_CODE = /^(?:[0-9A-Z]{5}|E[A-Z0-9_]{2,40})$/;
/** The place in a stack frame, below the package's own folders. */
const FRAME = /^ {4}at .*?((?:src|workers|node_modules)\/[\w@./-]+:\d+:\d+)\)?$/;
/** Enough to find the place; more is noise in a line. */
const MAX_FRAMES = 4;
const MAX_CAUSES = 4;

/** Only the listed fields, and of an error only what `errorFields` lets through. */
export function allowedFields(fields: LogFields): { readonly [field: string]: unknown } {
  const allowed: { [field: string]: unknown } = {};
  for (const name of logFields) {
    if (fields[name] !== undefined) allowed[name] = fields[name];
  }
  if (fields.error !== undefined) allowed['error'] = errorFields(fields.error);
  return allowed;
}

/**
 * Code and message of a PipelineError; of any other error its class and where it was thrown, without its text; of
 * causes their class and system code.
 */
export function errorFields(error: unknown): ErrorFields {
  const causes = causesOf(error);
  const known = error instanceof PipelineError;
  return {
    code: known ? error.code : 'unexpected',
    ...(known ? { message: error.message } : { class: className(error), at: frames(error) }),
    ...(causes.length > 0 ? { causes } : {}),
  };
}

function causesOf(error: unknown): readonly string[] {
  const causes: string[] = [];
  let cause = error instanceof Error ? error.cause : undefined;
  while (cause instanceof Error && causes.length < MAX_CAUSES) {
    const code = 'code' in cause ? cause.code : undefined;
    const isKnown = typeof code === 'string' && SYSTEM_CODE.test(code);
    causes.push(isKnown ? `${className(cause)} ${code}` : className(cause));
    cause = cause.cause;
  }
  return causes;
}

function className(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  return IDENTIFIER.test(error.name) ? error.name : 'Error';
}

/** The frames of a stack without its header: the header repeats the text, and the text may hold newlines. */
function frames(error: unknown): readonly string[] {
  if (!(error instanceof Error) || error.stack === undefined) return [];
  const header = error.message === '' ? error.name : `${error.name}: ${error.message}`;
  if (!error.stack.startsWith(`${header}\n`)) return [];
  const lines = error.stack.slice(header.length + 1).split('\n');
  return lines.flatMap((line) => FRAME.exec(line)?.[1] ?? []).slice(0, MAX_FRAMES);
}
