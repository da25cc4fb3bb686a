// What a table can be seen to refuse, before a row is sent there. Only what is certain: a doubtful value passes, and the
// table decides.

import type { RejectionCode } from '../batch.js';
import { NULL_FIELD, decodeField } from '../copy-text.js';
import { decimalPattern } from './decimal.js';
import { isLonger } from './values.js';

/** What a column of the table takes, as far as it has such limits. */
export interface ColumnLimit {
  /** Code points of varchar(n) and char(n); blanks behind them are cut off without an error. */
  readonly maxLength: number | null;
  readonly notNull: boolean;
  /** From and to, both included, in decimals. */
  readonly integers: readonly [least: string, most: string] | null;
  /** Digits before the point of a numeric(p, s): p - s. */
  readonly wholeDigits: number | null;
  /** The only values: labels of an enum, or those of a CHECK. */
  readonly oneOf: readonly string[] | null;
}

/** Limits of a table by column; columns without any are absent. */
export type TableLimits = ReadonlyMap<string, ColumnLimit>;

const integerPattern = /^-?[0-9]{1,40}$/;

/** Why the column certainly refuses the field of COPY text; null when it may take it. */
export function beyondLimit(field: string, limit: ColumnLimit): RejectionCode | null {
  if (field === NULL_FIELD) return limit.notNull ? 'missing_field' : null;
  const { maxLength, integers, wholeDigits, oneOf } = limit;
  const value = decodeField(field);
  if (maxLength !== null && isLonger(value, maxLength) && isLonger(value.replace(/ +$/, ''), maxLength))
    return 'too_long';
  // What has fewer characters than the greatest is within both.
  if (integers !== null && value.length >= integers[1].length && integerPattern.test(value)) {
    const number = BigInt(value);
    if (number < BigInt(integers[0]) || number > BigInt(integers[1])) return 'out_of_range';
  }
  if (wholeDigits !== null && hasMoreWholeDigits(value, wholeDigits)) return 'out_of_range';
  return oneOf !== null && !oneOf.includes(value) ? 'out_of_range' : null;
}

/** Whether a decimal number is 10^`digits` or more in size, which no rounding brings below. */
function hasMoreWholeDigits(value: string, digits: number): boolean {
  const [, whole = '', fraction = '', exponent = '0'] = decimalPattern.exec(value) ?? [];
  const all = whole + fraction;
  const zeros = all.length - all.replace(/^0+/, '').length;
  return zeros < all.length && whole.length + Number(exponent) - zeros > digits;
}
