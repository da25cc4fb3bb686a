import { z } from 'zod';
import { periods } from '../masking/methods.js';
import { type Reading, choice, duration, flag, integer, scalar, text } from './scalars.js';
import { didYouMean } from './suggestion.js';

/** The masks that this version knows. */
export const maskMethods = [
  'siv',
  'hmac',
  'vault',
  'ff1',
  'ipcrypt-det',
  'ipcrypt-pfx',
  'ip-truncate',
  'partial',
  'date-shift',
  'bucket',
  'generalize',
  'custom',
  'constant',
  'null',
  'drop',
  'keep',
] as const;

/** One of `maskMethods`. */
export type MaskMethod = (typeof maskMethods)[number];

const METHODS_IN_WORDS = `one of ${maskMethods.join(', ')}`;

// YAML reads a bare `null` as no value at all; here it is the name of a mask.
const method = scalar(
  'How values are masked: `siv` makes tokens that compare equal and can be recovered with the key, `hmac` tokens that cannot be recovered, `vault` random tokens whose values are kept sealed in Postgres, `ff1` numbers of the same format, `ipcrypt-det` and `ipcrypt-pfx` other addresses (`pfx` keeps networks together), `ip-truncate` the network of an address, `partial` a part of the value, `date-shift` dates moved by some days, `bucket` the range a number lies in, `generalize` the period or group that a value belongs to, `custom` what a function of your own makes of it; `constant` stores `value` instead, `null` stores NULL, `drop` leaves the column out, `keep` stores the value as it is.',
  { anyOf: [{ enum: [...maskMethods, null] }, { type: 'string', pattern: '\\$\\{' }] },
  (given): Reading<MaskMethod> => {
    const word = given === null ? 'null' : given;
    const value = maskMethods.find((known) => known === word);
    if (value !== undefined) return { value };
    if (typeof word !== 'string') return { wrong: `must be ${METHODS_IN_WORDS}` };
    return { wrong: `no such mask${didYouMean(word, maskMethods)}; it must be ${METHODS_IN_WORDS}` };
  },
);

const pad = scalar(
  'With `siv`, `hmac` and `vault`: values are padded to a multiple of so many bytes, to hide their lengths. 16, 32 or 64.',
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

const number = (description: string) =>
  scalar(description, { type: ['number', 'string'] }, (given): Reading<string> => {
    const isNumber = typeof given === 'number' || (typeof given === 'string' && given !== '');
    return isNumber ? { value: String(given) } : { wrong: 'must be a number' };
  });

const otherGroup = scalar(
  'With `map`: the group of all other values, or null for SQL NULL. Without it, they are rejected as `bad_text`.',
  { type: ['string', 'null'] },
  (given): Reading<string | null> =>
    typeof given === 'string' || given === null ? { value: given } : { wrong: 'must be text or null' },
);

/** A list of texts and numbers, as texts; `itself` says what it lists, such as "numbers". */
export function listOf(description: string, itself: string) {
  return z
    .unknown()
    .transform((given, context): readonly string[] => {
      const items: readonly unknown[] = Array.isArray(given) ? given : [];
      const texts = items.flatMap((item) =>
        (typeof item === 'string' && item !== '') || typeof item === 'number' ? [String(item)] : [],
      );
      if (texts.length > 0 && texts.length === items.length) return texts;
      context.addIssue({ code: 'custom', message: `must be a list of ${itself}, such as [a, b]` });
      return z.NEVER;
    })
    .meta({ type: 'array', items: { type: ['string', 'number'] }, minItems: 1, description });
}

/** What stands below `mask`; which option belongs to which method is checked elsewhere. */
export const maskSchema = z.strictObject({
  method,
  domain: text(
    'With `siv`, `hmac`, `vault`, `ff1`, `ipcrypt-det`, `ipcrypt-pfx` and `date-shift`: columns that share a domain get equal results for equal values. Default: `from` as written. With `custom`, without a default: whose key the masker gets, if it is keyed.',
    /^[^\p{C}]{1,128}$/u,
    'must be 1 to 128 characters, none of them a control character',
  ).optional(),
  as: choice(
    'With `siv`, `hmac` and `vault`: `ip` makes one token of all spellings of an address, and takes nothing else; `text` is the default.',
    ['text', 'ip'],
  ).optional(),
  pad: pad.optional(),
  lower: flag(
    'With `siv`, `hmac`, `vault` and the `map` of `generalize`: whether case is ignored. Default false.',
  ).optional(),
  subject: text(
    'With `vault`: the field that says whose value it is, such as `user_id`; `maskline erase --subject` deletes by it.',
  ).optional(),
  value: constantValue.optional(),
  v4: integer('With `ip-truncate`: bits of IPv4 addresses that are kept. Default 24.', 1, 31).optional(),
  v6: integer('With `ip-truncate`: bits of IPv6 addresses that are kept. Default 48.', 1, 127).optional(),
  kind: choice(
    'With `partial`: `email` shows the first letter and the domain, `phone` the last digits, `card` the first six and last four, `pattern` what `replace` says.',
    ['email', 'phone', 'card', 'pattern'],
  ).optional(),
  show: integer('With `kind: phone`: so many digits are shown. Default 4.', 1, 4).optional(),
  pattern: text(
    'With `kind: pattern`: a regular expression for whole values of at most 1 KiB, made of characters, sets, counts, and groups that are not nested. A value that does not match is rejected as `bad_text`.',
    /^[^]{1,512}$/,
    'must have at most 512 characters',
  ).optional(),
  replace: text(
    'With `kind: pattern`: what is stored; `$1` to `$9` are the groups of the pattern, `$$` is a dollar.',
  ).optional(),
  template: text(
    'With `ff1`: what a value looks like; groups hold what is encrypted, as one number, and all else stays: `^(\\d{3})-(\\d{2})-(\\d{4})$`. A value that differs is rejected as `bad_text`.',
  ).optional(),
  alphabet: text('With `ff1`: the characters of its groups in their order. Default `0123456789`.').optional(),
  entity: text(
    'With `date-shift`: the field that says whose date it is; all dates of one entity in one domain move by the same number of days.',
  ).optional(),
  days: integer(
    'With `date-shift`: dates move by at most so many days, back or forth.',
    1,
    36_525,
  ).optional(),
  edges: listOf('With `bucket`: where the ranges begin, ascending: [0, 18, 65].', 'numbers').optional(),
  width: number(
    'With `bucket`, instead of `edges`: ranges of this width, one of which begins at 0.',
  ).optional(),
  to: choice(
    'With `generalize`: `year` to `hour` store the beginning of that period, of times in UTC; `ip_version` stores 4 or 6.',
    [...periods, 'ip_version'],
  ).optional(),
  map: z
    .record(z.string(), text('The group of the value that is the key.'))
    .optional()
    .meta({ description: 'With `generalize`, instead of `to`: values and the group of each.' }),
  other: otherGroup.optional(),
  file: text(
    'With `custom`: the file with the masker, from the folder of this file: an ES module in TypeScript or JavaScript (.ts, .mts, .js, .mjs). Its content is part of the policy.',
  ).optional(),
  export: text(
    'With `custom`: the name of the masker among the exports of the file. Default `default`.',
  ).optional(),
  options: z
    .record(z.string(), z.unknown())
    .optional()
    .meta({ description: 'With `custom`: what the masker gets as `context.options`.' }),
  timeout: duration(
    'With `custom`: for how long the masker may be at work on a batch, or on a single value when that has failed; after that, the value is rejected as `mask_failed`. Default 2s.',
    '100ms',
    '4s',
  ).optional(),
});

/** What the file says of a mask. */
export type MaskInput = z.output<typeof maskSchema>;
