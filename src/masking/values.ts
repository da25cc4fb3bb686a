import { isIPv4, isIPv6 } from 'node:net';

import { encodeField } from '../copy-text.js';
import { date, timestamptz } from './calendar.js';
import { decimalPattern as decimal } from './decimal.js';
import { numbersIn } from './json-source.js';
import type { ColumnSpec, ColumnType } from './methods.js';
import { type Cell, type ColumnMask, type Refusal, refuse } from './refusal.js';

const unstorable = /[\0\p{Cs}]/u;
const decimalInteger = /^(?:0|-?[1-9][0-9]*)$/;
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
/** Without an exponent of four digits, a text that is shorter than this holds no number beyond either limit. */
const longExponent = /[eE][+-]?[0-9]{4}/;
const HUGE_NUMBER_CHARACTERS = 15_000;

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
  // Its elements are read as text.
  'text[]': () => refuse('wrong_type'),
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
export function isLonger(value: string, max: number): boolean {
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
  return isBeyondNumeric(parts) ? refuse('out_of_range') : parts[0];
}

/** Whether Postgres can't hold a number, or not to its last digit. `parts` are those of `decimal`. */
function isBeyondNumeric([, digits = '', fraction = '', exponentText = '0']: readonly string[]): boolean {
  const exponent = Number(exponentText);
  return digits.length + exponent > MAX_INTEGER_DIGITS || fraction.length - exponent > MAX_SCALE;
}

/** Whether a JSON number has nothing behind its point, in whatever way it is written; JSON.parse may round that off. */
export function isWhole(source: string): boolean {
  const [, digits = '', fraction = '', exponentText = '0'] = decimal.exec(source) ?? [];
  const places = fraction.length - Number(exponentText);
  return places <= 0 || /^0*$/.test((digits + fraction).slice(-places));
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
  if (unstorableEscape.test(normal)) return refuse('bad_text');
  const mayBeHuge = value.length >= HUGE_NUMBER_CHARACTERS || longExponent.test(value);
  return mayBeHuge && holdsHugeNumber(value) ? refuse('out_of_range') : value;
}

/** Its numbers are `numeric` to Postgres, with the same limits. */
function holdsHugeNumber(json: string): boolean {
  for (const number of numbersIn(json)) {
    const parts = decimal.exec(number);
    if (parts && isBeyondNumeric(parts)) return true;
  }
  return false;
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
