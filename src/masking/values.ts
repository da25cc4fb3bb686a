import { isIPv4, isIPv6 } from 'node:net';

import { encodeField } from '../copy-text.js';
import { date, timestamptz } from './calendar.js';
import type { ColumnSpec, ColumnType } from './methods.js';
import { type Cell, type ColumnMask, type Refusal, refuse } from './refusal.js';

const unstorable = /[\0\p{Cs}]/u;
const decimalInteger = /^(?:0|-?[1-9][0-9]*)$/;
/** A JSON number (RFC 8259 6), groups: integer part, fraction, exponent. */
const decimal = /^-?(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const versionPattern = /^([0-9]+)\.([0-9]+)(?:\.([0-9]+))?$/;
const prefixPattern = /^(?:0|[1-9][0-9]{0,2})$/;
/** `\u0000` or half a surrogate pair as JSON.stringify escapes them; an even number of backslashes before is text. */
const unstorableEscape = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;
/** Digits that a numeric of Postgres can have before and behind the point. */
const MAX_INTEGER_DIGITS = 131_072;
const MAX_SCALE = 16_383;
/** More digits than any bigint, so that BigInt is never given a long text. */
const MAX_BIGINT_CHARACTERS = 20;
const VERSION_BASE = 1000;

/** Gives the text Postgres reads for a value that is not null, or refuses it. */
type Reader = (value: unknown) => Cell;

/**
 * How each type is read; nothing is converted that could lose anything, but for `version_int`. A JSON number comes to
 * `numeric` as its source text, and any JSON value to `jsonb` as JSON text.
 */
const readers: Readonly<{ [type in ColumnType]: Reader }> = {
  text,
  integer: (value) => integer(value, -(2n ** 31n), 2n ** 31n - 1n),
  bigint: (value) => integer(value, -(2n ** 63n), 2n ** 63n - 1n),
  numeric,
  boolean: (value) => (typeof value === 'boolean' ? String(value) : refuse('wrong_type')),
  date,
  timestamptz,
  uuid: (value) => (typeof value === 'string' && uuidPattern.test(value) ? value : refuse('wrong_type')),
  inet,
  jsonb,
  version_int: version,
};

/** Keeps values as they are, by the column's type and length. */
export function keepMask(column: ColumnSpec): ColumnMask {
  const read = readers[column.type];
  const { maxLength } = column;
  const keep = (value: unknown): Cell => {
    const cell = read(value);
    if (typeof cell !== 'string') return cell;
    return maxLength !== null && isLonger(cell, maxLength) ? refuse('too_long') : encodeField(cell);
  };
  return (values) => values.map(keep);
}

/** Whether the text has more code points, which is what Postgres counts, than `max`. */
function isLonger(value: string, max: number): boolean {
  if (value.length <= max) return false;
  if (value.length > 2 * max) return true;
  let count = 0;
  for (const _ of value) count += 1;
  return count > max;
}

function text(value: unknown): Cell {
  if (typeof value !== 'string') return refuse('wrong_type');
  return unstorable.test(value) ? refuse('bad_text') : value;
}

function integer(value: unknown, min: bigint, max: bigint): Cell {
  const exact = exactInteger(value);
  if (typeof exact !== 'bigint') return exact;
  return exact < min || exact > max ? refuse('out_of_range') : String(exact);
}

function exactInteger(value: unknown): bigint | Refusal {
  if (typeof value === 'number') {
    // Beyond 2^53 a different number may have been sent: JSON.parse rounds.
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER) return refuse('out_of_range');
    return Number.isInteger(value) ? BigInt(value) : refuse('wrong_type');
  }
  if (typeof value !== 'string' || !decimalInteger.test(value)) return refuse('wrong_type');
  return value.length > MAX_BIGINT_CHARACTERS ? refuse('out_of_range') : BigInt(value);
}

function numeric(value: unknown): Cell {
  const parts = typeof value === 'string' ? decimal.exec(value) : null;
  if (!parts) return refuse('wrong_type');
  const [whole, digits = '', fraction = '', exponentText = '0'] = parts;
  const exponent = Number(exponentText);
  if (digits.length + exponent > MAX_INTEGER_DIGITS || fraction.length - exponent > MAX_SCALE) {
    return refuse('out_of_range');
  }
  return whole;
}

/** An address, or a network as `address/bits`, in any spelling that Postgres takes too. */
function inet(value: unknown): Cell {
  if (typeof value !== 'string') return refuse('wrong_type');
  const slash = value.indexOf('/');
  const address = slash === -1 ? value : value.slice(0, slash);
  const isV4 = isIPv4(address);
  if (!isV4 && (!isIPv6(address) || address.includes('%'))) return refuse('bad_ip');
  if (slash === -1) return value;
  const bits = value.slice(slash + 1);
  return prefixPattern.test(bits) && Number(bits) <= (isV4 ? 32 : 128) ? value : refuse('bad_ip');
}

function jsonb(value: unknown): Cell {
  if (typeof value !== 'string') return refuse('wrong_type');
  const normal = JSON.stringify(JSON.parse(value));
  return unstorableEscape.test(normal) ? refuse('bad_text') : value;
}

/** M·10^6 + m·10^3 + p. It loses spelling: 2.0 and 2.00 become one. */
function version(value: unknown): Cell {
  if (typeof value !== 'string') return refuse('wrong_type');
  const parts = versionPattern.exec(value);
  if (!parts) return refuse('bad_version');
  const [, major = '', minor = '', patch = '0'] = parts;
  const numbers = [major, minor, patch].map(Number);
  if (numbers.some((number) => number >= VERSION_BASE)) return refuse('bad_version');
  return String(numbers.reduce((total, number) => total * VERSION_BASE + number, 0));
}
