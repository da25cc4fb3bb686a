// What a value is stored as, under every key that there is, so that it is found where only its masked form stands.

import { nullCells } from './accepted.js';
import { canonicalText, trimAscii } from './canonical.js';
import { decodeField } from '../copy-text.js';
import { type Column, IP_BYTES, base64UrlColumn, padColumn, valueAt } from './column.js';
import { domainFf1 } from './ff1.js';
import { formatIp, writeIp } from './ip.js';
import { domainIpcrypt } from './ipcrypt.js';
import type { Keyring } from './keyring.js';
import type { ColumnSpec, TokenMask } from './methods.js';
import type { RawRecord } from './raw-record.js';
import { noneNormalized } from './refusal.js';
import { tokenPrefix } from './token.js';
import { cipherOf, encoderOf } from './tokenize.js';
import { vaultLookup } from './vault.js';

/** A value as a column stores it. `kid` is null where the form itself says under which key, or needs none. */
export interface StoredForm {
  readonly stored: string;
  readonly kid: number | null;
}

/** What of a column can be searched for a value; null: nothing that it stores leads back to one. */
export function storedForms(
  { mask, source }: ColumnSpec,
  keyring: Keyring,
  value: string,
): readonly StoredForm[] | null {
  const kids = keyring.kids();
  switch (mask.method) {
    case 'siv':
    case 'hmac': {
      const { method } = mask;
      const encoded = encodedValue(mask, value);
      if (!encoded) return [];
      return kids.flatMap((kid) =>
        base64UrlColumn(cipherOf({ ...mask, method }, keyring, kid)(encoded), tokenPrefix(method, kid)).map(
          (stored) => ({ stored, kid: null }),
        ),
      );
    }
    case 'ff1': {
      const text = canonicalText(trimAscii(value), false) ?? '';
      return kids.flatMap((kid) => {
        const stored = domainFf1(keyring, mask, kid).encrypt(text);
        return stored === null ? [] : [{ stored, kid }];
      });
    }
    case 'ipcrypt-det':
    case 'ipcrypt-pfx': {
      const address = Buffer.alloc(IP_BYTES);
      if (!writeIp(trimAscii(value), address, 0)) return [];
      return kids.map((kid) => ({
        stored: formatIp(domainIpcrypt(keyring, mask, kid).encrypt(address)),
        kid,
      }));
    }
    case 'keep':
      return source.kind === 'meta' ? null : [{ stored: value, kid: null }];
    default:
      return null;
  }
}

/** The lookups of a value in the vault, of every key; empty for columns of other masks. */
export function vaultLookups({ mask }: ColumnSpec, keyring: Keyring, value: string): readonly Buffer[] {
  if (mask.method !== 'vault') return [];
  const encoded = encodedValue(mask, value);
  if (!encoded) return [];
  return keyring.kids().map((kid) => vaultLookup(keyring, mask.domain, kid, valueAt(encoded, 0)));
}

/** Whether a rejected record holds the value, in its body or beside it, in any spelling that is the same to a mask. */
export function holdsValue({ body, attributes, groupId = '' }: RawRecord, value: string): boolean {
  const wanted = sameForm(value);
  const waiting: unknown[] = [attributes, groupId, parsed(body) ?? body];
  // A body that is no JSON has no values to compare: there, the text is looked for.
  if (parsed(body) === null && body.includes(value)) return true;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (typeof next === 'object' && next !== null) waiting.push(...present(Object.values(next)));
    else if (typeof next === 'number' && String(next) === value) return true;
    else if (typeof next === 'string') {
      if (sameForm(next) === wanted) return true;
      // Envelopes hold a body as text.
      const inner = /^\s*[[{]/.test(next) ? parsed(next) : null;
      if (inner !== null) waiting.push(inner);
    }
  }
  return false;
}

/** Whether rows, lines of COPY text, store one of those forms: as a cell, or as a text within a list or JSON. */
export function holdsStored(rows: Buffer, stored: ReadonlySet<string>): boolean {
  return rows
    .toString('utf8')
    .split(/[\t\n]/)
    .map(decodeField)
    .some(
      (cell) =>
        stored.has(cell) || (isComposite.test(cell) && textsIn(cell).some((text) => stored.has(text))),
    );
}

const isComposite = /^[[{]/;
const quoted = /"((?:[^"\\]|\\.)*)"/gs;

/** The texts that stand in quotes in JSON or in an array literal; both escape by a backslash. */
function textsIn(cell: string): readonly string[] {
  return [...cell.matchAll(quoted)].flatMap(([whole, inner = '']) => [
    inner.replace(/\\(.)/gs, '$1'),
    ...(jsonText(whole) ?? []),
  ]);
}

function jsonText(literal: string): readonly string[] | null {
  try {
    const text: unknown = JSON.parse(literal);
    return typeof text === 'string' ? [text] : null;
  } catch {
    // An array literal escapes otherwise.
    return null;
  }
}

function encodedValue(mask: Pick<TokenMask, 'as' | 'lower' | 'pad'>, value: string): Column | null {
  const { column, at } = encoderOf(mask)([value], nullCells([value]), noneNormalized());
  if (at.length === 0) return null;
  return mask.pad === null ? column : padColumn(column, mask.pad);
}

/** Addresses as RFC 5952 has them, everything else canonical and in lower case. */
function sameForm(text: string): string {
  const trimmed = trimAscii(text);
  const address = Buffer.alloc(IP_BYTES);
  return writeIp(trimmed, address, 0) ? formatIp(address) : (canonicalText(trimmed, true) ?? trimmed);
}

function present(values: readonly unknown[]): readonly unknown[] {
  return values.filter((value) => value !== undefined);
}

function parsed(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' ? value : null;
  } catch {
    // What the parser says quotes its input.
    return null;
  }
}
