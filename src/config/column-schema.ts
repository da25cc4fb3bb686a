import { z } from 'zod';
import { columnTypes } from '../masking/methods.js';
import { type Reading, choice, flag, integer, scalar, text } from './scalars.js';
import { didYouMean } from './suggestion.js';

// Postgres allows no longer varchar.
const LONGEST_VARCHAR = 10_485_760;

/** The masks that this version knows. */
export const maskMethods = ['siv', 'hmac', 'keep', 'null', 'drop', 'constant'] as const;

/** One of `maskMethods`. */
export type MaskMethod = (typeof maskMethods)[number];

const LATER_METHODS = [
  'vault',
  'ff1',
  'ipcrypt-det',
  'ipcrypt-pfx',
  'ip-truncate',
  'partial',
  'date-shift',
  'bucket',
  'generalize',
];

const METHODS_IN_WORDS = `one of ${maskMethods.join(', ')}`;

// YAML reads a bare `null` as no value at all; here it is the name of a mask.
const method = scalar(
  'How values are masked: `siv` makes tokens that compare equal and can be recovered with the key, `hmac` tokens that cannot be recovered, `keep` stores the value as it is, `null` stores NULL, `constant` stores `value` instead, `drop` leaves the column out.',
  { anyOf: [{ enum: [...maskMethods, null] }, { type: 'string', pattern: '\\$\\{' }] },
  (given): Reading<MaskMethod> => {
    const word = given === null ? 'null' : given;
    const value = maskMethods.find((known) => known === word);
    if (value !== undefined) return { value };
    if (typeof word !== 'string') return { wrong: `must be ${METHODS_IN_WORDS}` };
    return LATER_METHODS.includes(word)
      ? { wrong: `this mask is not supported by this version of maskline; it must be ${METHODS_IN_WORDS}` }
      : { wrong: `no such mask${didYouMean(word, maskMethods)}; it must be ${METHODS_IN_WORDS}` };
  },
);

const pad = scalar(
  'With `siv` and `hmac`: values are padded to a multiple of so many bytes, to hide their lengths. 16, 32 or 64.',
  { anyOf: [{ enum: [16, 32, 64] }, { type: 'string', pattern: '^(16|32|64)$|\\$\\{' }] },
  (given): Reading<16 | 32 | 64> => {
    const value = ([16, 32, 64] as const).find((bytes) => bytes === given || String(bytes) === given);
    return value === undefined ? { wrong: 'must be 16, 32 or 64' } : { value };
  },
);

const constantValue = scalar(
  'With `constant`: what is stored where `from` has a value, or in every row without `from`; as Postgres reads it.',
  { type: ['string', 'integer', 'boolean'] },
  (given): Reading<string> => {
    if (typeof given === 'string') return { value: given };
    const exact = typeof given === 'boolean' || (typeof given === 'number' && Number.isSafeInteger(given));
    return exact
      ? { value: String(given) }
      : { wrong: 'must be text, a whole number, true or false; put it in quotes' };
  },
);

const mask = z.strictObject({
  method,
  domain: text(
    'With `siv` and `hmac`: columns that share a domain get equal tokens for equal values. Default: `from` as written.',
    /^[^\p{C}]{1,128}$/u,
    'must be 1 to 128 characters, none of them a control character',
  ).optional(),
  as: choice(
    'With `siv` and `hmac`: `ip` makes one token of all spellings of an address, and takes nothing else; `text` is the default.',
    ['text', 'ip'],
  ).optional(),
  pad: pad.optional(),
  lower: flag('With `siv` and `hmac`: whether case is ignored. Default false.').optional(),
  value: constantValue.optional(),
});

/** One entry of `columns`. */
export const columnSchema = z
  .strictObject({
    from: text(
      'The field of the body, or one of `$message_id`, `$sent_at`, `$received_at`, `$loaded_at`, `$group_id`, `$sequence_number`, `$batch_id`, `$run_id`, `$attributes.NAME`. Needed unless the mask is `constant` or `null`.',
    ).optional(),
    type: choice(
      'What the value must be. Default `text`; columns masked by `siv` or `hmac` hold text.',
      columnTypes,
    ).optional(),
    max_length: integer(
      'For text: a value, or token, of more characters is rejected as `too_long`.',
      1,
      LONGEST_VARCHAR,
    ).optional(),
    required: flag('Whether a record without this value is rejected as `missing_field`.').prefault(false),
    mask: mask.meta({ description: 'How the values are masked. Default: kept as they are.' }).optional(),
  })
  .meta({ description: 'A column of the table and where its value comes from.' });

/** What the file says of a column. */
export type ColumnInput = z.output<typeof columnSchema>;
