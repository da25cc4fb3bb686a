import { NULL_FIELD, encodeField } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { bucketMask } from './bucket.js';
import { trimAscii } from './canonical.js';
import { type CustomPlace, type CustomSettings, customMask } from './custom.js';
import { dateShiftMask } from './date-shift.js';
import { ff1Mask } from './ff1.js';
import { generalizeMask } from './generalize.js';
import { ipTruncateMask } from './ip-truncate.js';
import { ipcryptMask } from './ipcrypt.js';
import type { Keyring } from './keyring.js';
import { jsonMask } from './json-mask.js';
import { listMask } from './list.js';
import { type ColumnPolicy, type ColumnSpec, isList } from './methods.js';
import { partialMask } from './partial.js';
import { isKeptTime } from './reading.js';
import type { ColumnMask } from './refusal.js';
import { tokenMask } from './tokenize.js';
import { keepMask } from './values.js';
import { type TokenOf, foundTokens, vaultMask } from './vault.js';

/** Below the 7 s after which a worker that hangs loses its batch. */
const BLOCK_MS = 5_000;

/** Where the files of a policy's custom masks are. */
export function placeOf(
  { folder = '.' }: Pick<ColumnPolicy, 'folder'>,
  settings: CustomSettings = {},
): CustomPlace {
  return { blockMs: BLOCK_MS, ...settings, folder };
}

/**
 * How a column is masked; `tokenOf` gives the tokens of the vault, without which its columns throw. Throws
 * `key_unavailable`, or `config_invalid` for options that cannot be.
 */
export function maskOf(
  column: ColumnSpec,
  keyring: Keyring,
  tokenOf: TokenOf = foundTokens(null, column),
  place: CustomPlace = placeOf({}),
): ColumnMask {
  const { mask, type } = column;
  const isStored = mask.method !== 'null' && mask.method !== 'drop' && mask.method !== 'constant';
  if (!isList(column) || !isStored) return valueMask(column, keyring, tokenOf, place);
  const element = { ...column, type: mask.method === 'keep' && type === 'jsonb' ? type : 'text' } as const;
  return listMask(column, valueMask(element, keyring, tokenOf, place));
}

/** The registry: one line a method. */
function valueMask(column: ColumnSpec, keyring: Keyring, tokenOf: TokenOf, place: CustomPlace): ColumnMask {
  const { mask } = column;
  switch (mask.method) {
    case 'keep':
      return isKeptTime(column) ? (values) => values.map(String) : keepMask(column);
    case 'null':
    case 'drop':
      return (values) => values.map(() => NULL_FIELD);
    case 'constant':
      return constantMask(column, mask.value);
    case 'siv':
    case 'hmac':
      return tokenMask(column, mask, keyring);
    case 'vault':
      return vaultMask(column, mask, keyring, tokenOf);
    case 'ip-truncate':
      return ipTruncateMask(mask);
    case 'partial':
      return partialMask(column, mask);
    case 'ff1':
      return ff1Mask(column, mask, keyring);
    case 'ipcrypt-det':
    case 'ipcrypt-pfx':
      return ipcryptMask(mask, keyring);
    case 'date-shift':
      return dateShiftMask(column, mask, keyring);
    case 'bucket':
      return bucketMask(column, mask);
    case 'generalize':
      return generalizeMask(column, mask);
    case 'custom':
      return customMask(column, mask, keyring, place);
    case 'json':
      return jsonMask({ ...column, mask }, (part) => valueMask(part, keyring, tokenOf, place));
  }
}

/** The same text for every value there is; where there is none, NULL. */
function constantMask(column: ColumnSpec, value: string): ColumnMask {
  if (/[\0\p{Cs}]/u.test(value)) {
    throw new PipelineError(
      'config_invalid',
      `column ${column.name}: the constant holds characters that Postgres cannot`,
    );
  }
  const field = encodeField(value);
  return (values, normalized) =>
    values.map((given) => {
      if (typeof given !== 'string' || trimAscii(given) !== '') return field;
      normalized.empty_to_null += 1;
      return NULL_FIELD;
    });
}
