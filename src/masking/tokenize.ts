import { type KeyObject, createHmac } from 'node:crypto';

import { acceptIps, acceptTexts, nullCells } from './accepted.js';
import { type Column, base64UrlColumn, fixedWidth, packText, padColumn } from './column.js';
import type { Keyring } from './keyring.js';
import type { ColumnSpec, TokenMask } from './methods.js';
import { type Cell, type ColumnMask, type Normalized, refuse } from './refusal.js';
import { domainSiv, tokenPrefix } from './token.js';

/** The kept half of an HMAC-SHA-256. */
const HMAC_BYTES = 16;

/** Turns encoded values into what a token carries, in the same order. */
type Cipher = (column: Column) => Column;

/** Encodes the values that a column accepts, and says which cells they are of; every other cell is decided. */
type Encode = (
  values: readonly unknown[],
  cells: Cell[],
  normalized: Normalized,
) => { readonly column: Column; readonly at: readonly number[] };

/** Masks with tokens under the primary key: `siv` or `hmac`. Throws `key_unavailable`. */
export function tokenMask(
  spec: Pick<ColumnSpec, 'maxLength'>,
  mask: TokenMask,
  keyring: Keyring,
): ColumnMask {
  const kid = keyring.primaryKid;
  const prefix = tokenPrefix(mask.method, kid);
  const cipher = cipherOf(mask, keyring, kid);
  const encode = encoderOf(mask);
  const { maxLength } = spec;
  return (values, normalized) => {
    const cells = nullCells(values);
    const { column, at } = encode(values, cells, normalized);
    const tokens = base64UrlColumn(cipher(mask.pad === null ? column : padColumn(column, mask.pad)), prefix);
    for (const [k, i] of at.entries()) {
      const token = tokens[k] ?? '';
      cells[i] = maxLength !== null && token.length > maxLength ? refuse('too_long') : token;
    }
    return cells;
  };
}

/** How the values of a token mask become bytes, before any padding. */
export function encoderOf({ as, lower }: Pick<TokenMask, 'as' | 'lower'>): Encode {
  return as === 'ip' ? acceptIps : encodeTexts(lower);
}

/** The cipher of a mask under that key id. Throws `key_unavailable`. */
export function cipherOf(mask: TokenMask, keyring: Keyring, kid: number): Cipher {
  if (mask.method === 'siv') {
    const siv = domainSiv(keyring, mask.domain, kid);
    return (column) => siv.seal(column);
  }
  const key = keyring.derive('hmac', mask.domain, kid);
  return (column) => hmacColumn(key, column);
}

/** The first half of each value's HMAC-SHA-256 (RFC 2104, truncated as in its section 5). */
export function hmacColumn(key: KeyObject, column: Column): Column {
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
}

function encodeTexts(lower: boolean): Encode {
  return (values, cells, normalized) => {
    const { texts, at } = acceptTexts(values, lower, cells, normalized);
    return { column: packText(texts), at };
  };
}
