import { createHmac } from 'node:crypto';

import { canonicalText, trimAscii } from './canonical.js';
import { type Column, IP_BYTES, base64UrlColumn, fixedWidth, packText, padColumn } from './column.js';
import { NULL_FIELD } from '../copy-text.js';
import { writeIp } from './ip.js';
import type { Keyring } from './keyring.js';
import type { ColumnSpec, TokenMask } from './methods.js';
import { type Cell, type ColumnMask, type Normalized, refuse } from './refusal.js';
import { domainSiv, tokenPrefix } from './token.js';

/** The kept half of an HMAC-SHA-256. */
const HMAC_BYTES = 16;

/** Turns encoded values into what a token carries, in the same order. */
type Cipher = (column: Column) => Column;

/** Values that a column accepted, encoded, and which cells they are of. */
interface Encoded {
  readonly column: Column;
  readonly at: readonly number[];
}

/** Masks with tokens under the primary key: `siv` or `hmac`. Throws `key_unavailable`. */
export function tokenMask(spec: ColumnSpec, mask: TokenMask, keyring: Keyring): ColumnMask {
  const kid = keyring.primaryKid;
  const prefix = tokenPrefix(mask.method, kid);
  const cipher = cipherOf(mask, keyring, kid);
  const encode = mask.as === 'ip' ? encodeIps : encodeTexts;
  const { maxLength } = spec;
  return (values, normalized) => {
    const cells: Cell[] = new Array<Cell>(values.length).fill(NULL_FIELD);
    const { column, at } = encode(values, mask, cells, normalized);
    const tokens = base64UrlColumn(cipher(mask.pad === null ? column : padColumn(column, mask.pad)), prefix);
    for (const [k, i] of at.entries()) {
      const token = tokens[k] ?? '';
      cells[i] = maxLength !== null && token.length > maxLength ? refuse('too_long') : token;
    }
    return cells;
  };
}

function cipherOf(mask: TokenMask, keyring: Keyring, kid: number): Cipher {
  if (mask.method === 'siv') {
    const siv = domainSiv(keyring, mask.domain, kid);
    return (column) => siv.seal(column);
  }
  const key = keyring.derive('hmac', mask.domain, kid);
  return (column) => {
    const out = Buffer.allocUnsafe(column.ends.length * HMAC_BYTES);
    // An HMAC costs many times a look-up, so equal values of a column are computed once; forgotten with the column.
    const seen = new Map<string, number>();
    let from = 0;
    for (let i = 0; i < column.ends.length; i += 1) {
      const to = column.ends[i] ?? from;
      const value = column.bytes.toString('latin1', from, to);
      const first = seen.get(value);
      if (first === undefined) {
        seen.set(value, i);
        const digest = createHmac('sha256', key).update(column.bytes.subarray(from, to)).digest();
        digest.copy(out, i * HMAC_BYTES, 0, HMAC_BYTES);
      } else out.copy(out, i * HMAC_BYTES, first * HMAC_BYTES, (first + 1) * HMAC_BYTES);
      from = to;
    }
    return fixedWidth(out, HMAC_BYTES);
  };
}

function encodeTexts(
  values: readonly unknown[],
  mask: TokenMask,
  cells: Cell[],
  normalized: Normalized,
): Encoded {
  const texts: string[] = [];
  const at: number[] = [];
  for (const [i, value] of values.entries()) {
    const trimmed = trimmedOf(value, i, cells, normalized);
    if (trimmed === null) continue;
    const canonical = canonicalText(trimmed, mask.lower);
    if (canonical === null) cells[i] = refuse('bad_text');
    else {
      texts.push(canonical);
      at.push(i);
    }
  }
  return { column: packText(texts), at };
}

function encodeIps(values: readonly unknown[], _: TokenMask, cells: Cell[], normalized: Normalized): Encoded {
  const bytes = Buffer.allocUnsafe(values.length * IP_BYTES);
  const at: number[] = [];
  for (const [i, value] of values.entries()) {
    const trimmed = trimmedOf(value, i, cells, normalized);
    if (trimmed === null) continue;
    if (writeIp(trimmed, bytes, at.length * IP_BYTES)) at.push(i);
    else cells[i] = refuse('bad_ip');
  }
  return { column: fixedWidth(bytes.subarray(0, at.length * IP_BYTES), IP_BYTES), at };
}

/** The value without white space at its ends; null when its cell is decided: not a string, or nothing left of it. */
function trimmedOf(value: unknown, i: number, cells: Cell[], normalized: Normalized): string | null {
  if (typeof value !== 'string') {
    cells[i] = refuse('wrong_type');
    return null;
  }
  const trimmed = trimAscii(value);
  if (trimmed === '') {
    normalized.empty_to_null += 1;
    return null;
  }
  if (trimmed.length !== value.length) normalized.trimmed += 1;
  return trimmed;
}
