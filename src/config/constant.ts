import { isIP } from 'node:net';
import type { ColumnType } from '../masking/methods.js';

const INTEGER = /^-?(0|[1-9][0-9]{0,18})$/;
const MOST_INTEGER = 2n ** 31n;
const MOST_BIGINT = 2n ** 63n;
const SHAPES: Readonly<{ [type in ColumnType]?: RegExp }> = {
  numeric: /^-?[0-9]+(\.[0-9]+)?$/,
  boolean: /^(true|false)$/,
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
};

/** What keeps a constant from being stored as `type`, or null. The message does not quote it. */
export function constantProblem(value: string, type: ColumnType, maxLength: number | null): string | null {
  if (/[\0\p{Surrogate}]/u.test(value)) return 'holds a character that Postgres cannot store';
  if (maxLength !== null && [...value].length > maxLength)
    return `has more than the ${maxLength} characters of max_length`;
  return fitsType(value, type) ? null : `is not a valid ${type}`;
}

function fitsType(value: string, type: ColumnType): boolean {
  switch (type) {
    case 'text':
      return true;
    case 'integer':
    case 'version_int':
      return fitsInteger(value, MOST_INTEGER);
    case 'bigint':
      return fitsInteger(value, MOST_BIGINT);
    case 'numeric':
    case 'boolean':
    case 'uuid':
      return SHAPES[type]?.test(value) === true;
    case 'date':
      return isDate(value);
    case 'timestamptz':
      return isTimestamp(value);
    case 'inet':
      return isAddress(value);
    case 'jsonb':
      return isJson(value);
    case 'text[]':
      return false;
  }
}

function fitsInteger(value: string, limit: bigint): boolean {
  return INTEGER.test(value) && BigInt(value) < limit && BigInt(value) >= -limit;
}

/** An address, or a network as `address/bits`. */
function isAddress(value: string): boolean {
  const [address = '', bits = '0', ...rest] = value.split('/');
  const family = isIP(address);
  const most = family === 4 ? 32 : 128;
  return family !== 0 && rest.length === 0 && /^(0|[1-9][0-9]{0,2})$/.test(bits) && Number(bits) <= most;
}

function isDate(value: string): boolean {
  const time = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(value) ? Date.parse(`${value}T00:00:00Z`) : Number.NaN;
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(value);
}

function isTimestamp(value: string): boolean {
  // RFC 3339, an offset included.
  const shape =
    /^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$/;
  const date = shape.exec(value)?.[1];
  return (
    date !== undefined && isDate(date) && !Number.isNaN(Date.parse(value.replace(' ', 'T').toUpperCase()))
  );
}

function isJson(value: string): boolean {
  try {
    JSON.parse(value);
    return true;
  } catch {
    return false;
  }
}
