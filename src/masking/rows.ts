import type { Batch, RejectionCode } from '../batch.js';
import { NULL_FIELD } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { parseBody } from './body.js';
import { trimAscii } from './canonical.js';
import { type ColumnPolicy, type ColumnSpec, isList } from './methods.js';
import type { Reader, Row } from './reading.js';
import { wrongShape } from './field-path.js';
import { type Cell, type ColumnMask, type Normalized, noneNormalized, refuse } from './refusal.js';
import { type IsSentinel, withoutSentinels } from './sentinels.js';

/** A column of a policy, ready to be read and masked. */
export interface CompiledColumn {
  readonly spec: ColumnSpec;
  readonly read: Reader;
  readonly mask: ColumnMask;
  /** Reads the other field that the mask needs, if any. */
  readonly companion?: Reader | null;
  readonly isSentinel?: IsSentinel | null;
}

/** Why a record is no row, as its rejection will say. */
export interface Reason {
  readonly code: RejectionCode;
  readonly path: string | null;
}

/** A batch on its way: record i is a row, until there is a reason why it is not. */
export interface Work {
  readonly batch: Batch;
  readonly rows: readonly (Row | null)[];
  readonly reasons: (Reason | null)[];
  /** Records without a reason, in order. */
  live: readonly number[];
}

/** Parses every body once. Throws `unexpected` when a record names a message that the batch does not hold. */
export function readBodies(batch: Batch, policy: ColumnPolicy): Work {
  const reasons: (Reason | null)[] = [];
  const rows = batch.records.map((record) => {
    const head = batch.messages[record.message];
    if (!head) {
      throw new PipelineError(
        'unexpected',
        `batch ${batch.batchId} has a record of message ${String(record.message)}, but only ${String(batch.messages.length)} messages`,
      );
    }
    const fields = record.rejected ?? parseBody(record.body, policy);
    const isCode = typeof fields === 'string';
    reasons.push(isCode ? { code: fields, path: null } : null);
    return isCode ? null : { record, head, fields };
  });
  return { batch, rows, reasons, live: liveOf(reasons) };
}

/**
 * One column of all live records: a field for each record, or the reason why it is no row. Throws `key_unavailable`:
 * every other failure is its record's.
 */
export function maskColumn(work: Work, column: CompiledColumn, normalized: Normalized): readonly string[] {
  const { required, path } = column.spec;
  const inList = isList(column.spec);
  const fields = new Array<string>(work.rows.length).fill(NULL_FIELD);
  const values: unknown[] = [];
  const companions: unknown[] = [];
  const at: number[] = [];
  let refusals = 0;
  const settle = (i: number, cell: Cell): void => {
    if (typeof cell === 'string') fields[i] = cell;
    else {
      work.reasons[i] = { code: cell.refused, path: cell.path ?? path };
      refusals += 1;
    }
  };
  for (const i of work.live) {
    const sent = readValue(work, column.read, i);
    const value = column.isSentinel ? withoutSentinels(sent, column.isSentinel, normalized) : sent;
    const companion = column.companion ? readValue(work, column.companion, i) : undefined;
    if (value === failed || companion === failed) settle(i, refuse('mask_failed'));
    else if (value === wrongShape || companion === wrongShape) settle(i, refuse('wrong_type'));
    else if (value === null || value === undefined || (required && isMissing(value, inList))) {
      if (required) settle(i, refuse('missing_field'));
    } else {
      values.push(value);
      companions.push(companion);
      at.push(i);
    }
  }
  for (const [k, cell] of maskValues(column.mask, values, companions, normalized).entries())
    settle(at[k] ?? 0, cell);
  if (refusals > 0) work.live = liveOf(work.reasons);
  return fields;
}

const failed = Symbol('failed');

/** The value, or `failed` when reading it throws: that is this record's end, not the batch's. */
function readValue(work: Work, read: Reader, i: number): unknown {
  const row = work.rows[i];
  if (!row) return failed;
  try {
    return read(row, work.batch);
  } catch {
    return failed;
  }
}

/**
 * Masks fail closed: when a column throws, its values are masked one by one, and those that throw again are rejected.
 * Only errors of our own, which are about keys, stop the batch.
 */
function maskValues(
  mask: ColumnMask,
  values: readonly unknown[],
  companions: readonly unknown[],
  normalized: Normalized,
): readonly Cell[] {
  try {
    return maskWhole(mask, values, companions, normalized);
  } catch (error) {
    if (error instanceof PipelineError) throw error;
    if (values.length === 1) return [refuse('mask_failed')];
    return values.flatMap((value, i) => maskValues(mask, [value], [companions[i]], normalized));
  }
}

function maskWhole(
  mask: ColumnMask,
  values: readonly unknown[],
  companions: readonly unknown[],
  normalized: Normalized,
): readonly Cell[] {
  const changed = noneNormalized();
  const cells = mask(values, changed, companions);
  if (cells.length !== values.length) throw new RangeError('a mask returned fewer or more cells than values');
  normalized.trimmed += changed.trimmed;
  normalized.empty_to_null += changed.empty_to_null;
  normalized.sentinel_to_null += changed.sentinel_to_null;
  return cells;
}

/** Indexes of the records without a reason. */
export function liveOf(reasons: readonly (Reason | null)[]): readonly number[] {
  const live: number[] = [];
  for (let i = 0; i < reasons.length; i += 1) if (!reasons[i]) live.push(i);
  return live;
}

/** Whether there is nothing in a value that must be there: in an array only where the column is of a list. */
function isMissing(value: unknown, inList: boolean): boolean {
  if (inList && Array.isArray(value))
    return value.every((item: unknown) => item === null || item === undefined || isMissing(item, false));
  return typeof value === 'string' && trimAscii(value) === '';
}
