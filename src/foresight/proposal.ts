import { trimAscii } from '../masking/canonical.js';
import { looksPersonal } from '../config/personal-names.js';
import type { FieldValues } from './column-types.js';
import { type ValueKind, isNationalPhone, kindOf, kindWithin } from './detectors.js';

/** What is proposed for one field, and why. Texts hold counts and the field's name, nothing of its values. */
export interface Proposal {
  readonly from: string;
  readonly method: 'keep' | 'siv' | 'drop' | 'bucket' | 'generalize';
  /** Members of the column's `mask`, as YAML; null: kept as it is. */
  readonly mask: string | null;
  readonly type: string | null;
  readonly maxLength: number | null;
  readonly required: boolean;
  readonly sentinels: readonly string[];
  readonly reason: string;
  readonly sureness: 'sure' | 'likely' | 'a guess';
  /** How many values the proposal rests on, of how many there are. */
  readonly matching: number;
  readonly values: number;
}

/** Words that stand for no value in many systems; ours, not the sample's. */
const SENTINELS = [
  'unknown',
  'Unknown',
  'UNKNOWN',
  'N/A',
  'n/a',
  'none',
  'null',
  'NULL',
  'undefined',
  '-',
  '0.0.0.0',
  '00000000-0000-0000-0000-000000000000',
];
/** From this share on, values of another kind are taken for slips. */
const MOSTLY = 0.8;
const NEARLY_ALL = 0.99;
/** Fewer samples say little about those to come. */
const TELLING_SAMPLES = 20;
const SOME_SAMPLES = 5;
const SHORTEST_LIMIT = 16;
const LONGEST_LIMIT = 4_096;
/** Texts from here on are what people write, not codes. */
const FREE_TEXT_CHARACTERS = 100;

const NAMED_BIRTH = /(^|_)(birth|birthday|birthdate|dob|born)(_|$)/;
const NAMED_PLACE = /(^|_)(lat|latitude|lon|lng|long|longitude)(_|$)/;
const NAMED_PHONE = /(^|_)(phone|telephone|tel|mobile|cell|fax|msisdn)(_|$)/;
const NAMED_DEVICE = /(^|_)(device|advertising|installation|install|idfa|gaid|idfv|hardware|browser)(_|$)/;
const NAMED_GENDER = /(^|_)(gender|sex)(_|$)/;
const NAMED_PERSON = /(^|_)(user|account|customer|member|person|subject|client|owner|player)_?id$/;

const KIND_WORDS: Readonly<{ [kind in ValueKind]: string }> = {
  ip: 'IP addresses',
  email: 'email addresses',
  iban: 'IBANs with a right check number',
  card: 'card numbers with a right check digit',
  ssn: 'numbers like those of social security (ddd-dd-dddd)',
  phone: 'telephone numbers',
  coordinates: 'coordinates',
};

/** What a mask would be, before it is known how the column is written. */
type Choice = Pick<Proposal, 'method' | 'mask' | 'reason' | 'matching'> & {
  readonly type?: string;
  readonly byName?: boolean;
};

/** A column for the field. */
export function proposeColumn(field: FieldValues): Proposal {
  const texts = field.values.filter((value) => typeof value === 'string').map((text) => trimAscii(text));
  const sentinels = SENTINELS.filter((word) => texts.includes(word));
  const told = texts.filter((text) => text !== '' && !sentinels.includes(text));
  const name = snakeCase(field.field.name);
  const choice =
    byValues(field, told) ?? byName(field, name, told) ?? byContent(field, told) ?? kept(field, name);
  const isKept = choice.method === 'keep';
  const share = choice.matching / Math.max(1, field.values.length - (texts.length - told.length));
  const isText = isKept && field.type === 'text' && !field.field.isList;
  return {
    from: field.field.from,
    method: choice.method,
    mask: choice.mask,
    type: choice.type ?? typeFor(field, choice.method),
    maxLength: isText ? limitFor(field.longest) : null,
    required:
      choice.method !== 'drop' && field.rows >= TELLING_SAMPLES && isInAll(field, sentinels.length > 0),
    sentinels: isKept || choice.method === 'drop' ? [] : sentinels,
    reason: choice.reason,
    sureness: surenessOf(choice.byName === true ? MOSTLY : share, field.values.length),
    matching: choice.matching,
    values: field.values.length,
  };
}

/** `userId` and `user-id` as `user_id`. */
export function snakeCase(name: string): string {
  return name
    .replace(/([\p{Ll}\p{N}])(\p{Lu})/gu, '$1_$2')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '_');
}

function byValues({ field }: FieldValues, told: readonly string[]): Choice | null {
  const counts = new Map<ValueKind, number>();
  for (const text of told) {
    const kind = kindOf(text);
    if (kind !== null) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const [kind, matching] = [...counts].toSorted(([, a], [, b]) => b - a)[0] ?? [null, 0];
  if (kind === null) return null;
  const found = `${matching} of ${told.length} values are ${KIND_WORDS[kind]}`;
  if (matching < told.length * MOSTLY) {
    return { ...siv(field.from), matching, reason: `${found}, the others are not: tokens for all of them` };
  }
  const rest = told.length - matching;
  switch (kind) {
    case 'ip':
      return {
        ...siv('ip', ', as: ip'),
        matching,
        reason: `${found}: equal addresses get equal tokens, however they are spelled${rest > 0 ? `; the other ${rest} would be rejected as bad_ip` : ''}`,
      };
    case 'email':
      return {
        ...siv('email', ', lower: true'),
        matching,
        reason: `${found}: upper and lower case count as equal`,
      };
    case 'ssn':
      return {
        ...siv(field.from),
        matching,
        reason: `${found}; ff1 would keep their form, at the price of unauthenticated tokens`,
      };
    case 'coordinates':
      return {
        method: 'drop',
        mask: 'method: drop',
        matching,
        reason: `${found}: they say where somebody lives`,
      };
    default:
      return { ...siv(kind), matching, reason: `${found}: equal values get equal tokens` };
  }
}

function byName(values: FieldValues, name: string, told: readonly string[]): Choice | null {
  const { field, type } = values;
  const named = `the name says so`;
  const matching = values.values.length;
  const isNumber = type === 'integer' || type === 'bigint' || type === 'numeric';
  if (NAMED_PLACE.test(name) && isNumber) {
    return {
      method: 'bucket',
      mask: 'method: bucket, width: "0.1"',
      type: 'text',
      matching,
      byName: true,
      reason: `coordinates, ${named}: a tenth of a degree is about 11 km; exact ones say where somebody lives`,
    };
  }
  if (NAMED_BIRTH.test(name) && (type === 'date' || type === 'timestamptz')) {
    return {
      method: 'generalize',
      mask: 'method: generalize, to: year',
      type,
      matching,
      byName: true,
      reason: `dates of birth, ${named}: the year is left; date-shift would hide it and keep days apart`,
    };
  }
  if (NAMED_GENDER.test(name)) {
    const reason = `personal, ${named}, and of so few values that a token could be told by how often it occurs`;
    return { method: 'drop', mask: 'method: drop', matching, byName: true, reason };
  }
  const phones = told.filter(isNationalPhone).length;
  if (NAMED_PHONE.test(name) && phones > 0 && phones >= told.length * MOSTLY) {
    return {
      ...siv('phone'),
      matching: phones,
      reason: `${phones} of ${told.length} values are telephone numbers, ${named}`,
    };
  }
  if (
    NAMED_PERSON.test(name) ||
    !(looksPersonal(name) || (NAMED_DEVICE.test(name) && /id$|idfa|gaid|idfv|fingerprint/.test(name)))
  )
    return null;
  const isText = values.values.every((value) => typeof value === 'string');
  const reason = isText
    ? `personal, ${named}`
    : `personal, ${named}, and no text: tokens are made of text only; have it sent as text`;
  if (!isText) return { method: 'drop', mask: 'method: drop', matching, byName: true, reason };
  return { ...siv(field.from), matching, byName: true, reason };
}

function byContent({ type }: FieldValues, told: readonly string[]): Choice | null {
  const matching = told.filter((text) => kindWithin(text) !== null).length;
  if (matching > 0) {
    const reason = `text that holds personal data in ${matching} of ${told.length} values: no mask finds all of it`;
    return { method: 'drop', mask: 'method: drop', matching, reason };
  }
  if (type !== null) return null;
  const reason = 'values of several JSON types, which one column type does not take: decide what it is';
  return { method: 'drop', mask: 'method: drop', matching: told.length, reason };
}

function kept(values: FieldValues, name: string): Choice {
  const { field, values: all, longest, type } = values;
  const base = { method: 'keep', mask: null, matching: all.length } as const;
  if (all.length === 0) return { ...base, reason: 'always null in the sample: its type is a guess' };
  if (NAMED_PERSON.test(name))
    return {
      ...base,
      reason: 'names a person within your systems: mask it with siv if analysts need not know whom',
    };
  if (longest > FREE_TEXT_CHARACTERS)
    return {
      ...base,
      reason: 'long texts without personal data in the sample: look at some before you keep it',
    };
  const list = field.isList ? 'lists' : `fits ${type ?? 'jsonb'}`;
  return { ...base, reason: `${list}, and nothing in ${all.length} values looks personal` };
}

function siv(domain: string, options = ''): Pick<Choice, 'method' | 'mask'> {
  return { method: 'siv', mask: `method: siv, domain: ${JSON.stringify(domain)}${options}` };
}

/** What is kept has its own type; of lists, each column has one. */
function typeFor({ type, field }: FieldValues, method: Proposal['method']): string | null {
  if (method === 'drop') return null;
  return method === 'keep' || field.isList ? (type ?? 'jsonb') : null;
}

/** Twice the longest, as a power of two; no limit for long texts. */
function limitFor(longest: number): number | null {
  const limit = Math.max(SHORTEST_LIMIT, 2 ** Math.ceil(Math.log2(Math.max(1, longest * 2))));
  return limit > LONGEST_LIMIT ? null : limit;
}

/** Where some values stand for none, their rows would be rejected. */
function isInAll({ present, rows, field }: FieldValues, hasSentinels: boolean): boolean {
  return present === rows && !hasSentinels && !field.isList;
}

function surenessOf(share: number, values: number): Proposal['sureness'] {
  if (share >= NEARLY_ALL && values >= TELLING_SAMPLES) return 'sure';
  return share >= MOSTLY && values >= SOME_SAMPLES ? 'likely' : 'a guess';
}
