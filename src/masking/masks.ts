import { NULL_FIELD, encodeField } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { trimAscii } from './canonical.js';
import type { Keyring } from './keyring.js';
import type { ColumnSpec } from './methods.js';
import { isKeptTime } from './reading.js';
import type { ColumnMask } from './refusal.js';
import { tokenMask } from './tokenize.js';
import { keepMask } from './values.js';

/** The registry: one line a method; what is left are the methods that make tokens. Throws `key_unavailable`, or `config_invalid` for options that cannot be. */
export function maskOf(column: ColumnSpec, keyring: Keyring): ColumnMask {
  const { mask } = column;
  switch (mask.method) {
    case 'keep':
      return isKeptTime(column) ? (values) => values.map(String) : keepMask(column);
    case 'null':
    case 'drop':
      return (values) => values.map(() => NULL_FIELD);
    case 'constant':
      return constantMask(column, mask.value);
    default:
      return tokenMask(column, mask, keyring);
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
