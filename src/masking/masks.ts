import { NULL_FIELD, encodeField } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { bucketMask } from './bucket.js';
import { trimAscii } from './canonical.js';
import { dateShiftMask } from './date-shift.js';
import { ff1Mask } from './ff1.js';
import { generalizeMask } from './generalize.js';
import { ipTruncateMask } from './ip-truncate.js';
import { ipcryptMask } from './ipcrypt.js';
import type { Keyring } from './keyring.js';
import { listMask } from './list.js';
import { type ColumnSpec, isList } from './methods.js';
import { partialMask } from './partial.js';
import { isKeptTime } from './reading.js';
import type { ColumnMask } from './refusal.js';
import { tokenMask } from './tokenize.js';
import { keepMask } from './values.js';
import { type TokenOf, foundTokens, vaultMask } from './vault.js';

/**
 * How a column is masked; `tokenOf` gives the tokens of the vault, without which its columns throw. Throws `key_unavailable`, or `config_invalid` for options that cannot be.
 */
export function maskOf(
  column: ColumnSpec,
  keyring: Keyring,
  tokenOf: TokenOf = foundTokens(null, column),
): ColumnMask {
  const { mask, type } = column;
  const isStored = mask.method !== 'null' && mask.method !== 'drop' && mask.method !== 'constant';
  if (!isList(column) || !isStored) return valueMask(column, keyring, tokenOf);
  const element = { ...column, type: mask.method === 'keep' && type === 'jsonb' ? type : 'text' } as const;
  return listMask(column, valueMask(element, keyring, tokenOf));
}

/** The registry: one line a method. */
function valueMask(column: ColumnSpec, keyring: Keyring, tokenOf: TokenOf): ColumnMask {
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
