// How strong the masks of a pipeline are, by the policy alone: who could try out all values, and what shows without it.

import { looksPersonal } from '../config/personal-names.js';
import type { ColumnPolicy, ColumnSpec, Ff1Mask, MaskSpec, TokenMask } from '../masking/methods.js';
import { partsOf } from '../masking/parts.js';
import { snakeCase } from './proposal.js';
import { columnName, tableRows } from './tables.js';

/** What a column gives away: the values themselves, a part of them, tokens, or nothing. */
export type Exposure = 'none' | 'token' | 'part' | 'quasi_identifier' | 'identifier' | 'other';

/** The strength of one column's mask, in words for people. */
export interface ColumnStrength {
  readonly pipeline: string;
  readonly column: string;
  readonly from: string;
  readonly method: string;
  readonly exposure: Exposure;
  /** How many values there are to be tried, as far as the policy tells. */
  readonly space: string | null;
  /** Who could find out a value, and how. */
  readonly found_by: string;
  /** What shows without any key. */
  readonly leaks: readonly string[];
}

type Judgement = Pick<ColumnStrength, 'exposure' | 'space' | 'found_by' | 'leaks'>;

const IPV4_SPACE = '2^32 (IPv4)';
const TOKENS_AT_ONCE = 'a sender who can read the rows can check guesses, one message each';
const NOBODY = 'nobody: nothing of the value is stored';
const EQUALITY = ['equality', 'frequency'] as const;

/** Names of what is not personal alone and is together: the fewer share them, the more they tell. */
const QUASI =
  /(^|_)(age|birth|birthday|dob|born|gender|sex|zip|zipcode|postcode|postal|city|town|region|state|county|country|locale|lang|language|timezone|tz|nationality|ethnicity|religion|occupation|job|title|employer|company|marital|income|salary|device|os|platform|browser|agent|model|carrier|isp|asn|version|height|weight)(_|$)/;
const PERSON_ID =
  /(^|_)(user|account|customer|member|person|subject|client|owner|player|device|session)_?(id|key|ref)?$/;

/** Names whose values come from a small space, whatever the column holds. */
const SPACES: readonly (readonly [names: RegExp, space: string])[] = [
  [/(^|_)(ssn|social_security)(_|$)/, '10^9 (nine digits)'],
  [/(^|_)(phone|telephone|mobile|msisdn)(_|$)/, 'about 10^10 (telephone numbers)'],
  [/(^|_)(card|pan)(_|$)/, 'about 10^10 for each issuer (card numbers)'],
  [/(^|_)(birth|birthday|birthdate|dob)(_|$)/, 'about 4 * 10^4 (days of a century)'],
  [/(^|_)(zip|zipcode|postcode)(_|$)/, 'about 10^5 (postal codes)'],
  [/(^|_)imei(_|$)/, '10^14 (IMEIs)'],
  [/(^|_)mac(_|$)/, '2^48 (MAC addresses)'],
];

/** The strength of each column's mask, in file order. */
export function maskStrengths(policy: ColumnPolicy): readonly ColumnStrength[] {
  return tableRows(policy, []).flatMap(({ table, columns }) =>
    columns.flatMap(partsOf).map((column) => ({
      pipeline: policy.pipeline,
      column: columnName(table, column.name),
      from: column.path,
      method: column.mask.method,
      ...judge(column),
    })),
  );
}

function judge(column: ColumnSpec): Judgement {
  const { mask } = column;
  switch (mask.method) {
    case 'siv':
    case 'hmac':
      return judgeToken(column, mask);
    case 'vault':
      return {
        exposure: 'token',
        space: mask.as === 'ip' ? IPV4_SPACE : spaceOf(column),
        found_by: `whoever holds the key and may ask the vault; ${TOKENS_AT_ONCE}`,
        leaks: EQUALITY,
      };
    case 'ff1':
      return judgeFf1(mask);
    case 'ipcrypt-det':
    case 'ipcrypt-pfx': {
      const prefixes =
        mask.method === 'ipcrypt-pfx'
          ? ['which addresses share a network, and its size', 'the IP version']
          : [];
      const leaks = [...EQUALITY, ...prefixes];
      return {
        exposure: 'token',
        space: IPV4_SPACE,
        found_by: `whoever holds the key, at once; ${TOKENS_AT_ONCE}`,
        leaks,
      };
    }
    case 'custom':
      return {
        exposure: mask.domain === undefined ? 'part' : 'token',
        space: null,
        found_by: `its author says: a function in ${mask.file}, ${mask.domain === undefined ? 'without a key' : 'with a key'}`,
        leaks: ['what its author says'],
      };
    case 'keep':
      return judgeKept(column);
    case 'null':
    case 'drop':
      return { exposure: 'none', space: null, found_by: NOBODY, leaks: [] };
    case 'constant':
      return { exposure: 'none', space: null, found_by: NOBODY, leaks: ['whether there was a value'] };
    default:
      return { exposure: 'part', ...judgePart(mask) };
  }
}

function judgeToken(column: ColumnSpec, mask: TokenMask): Judgement {
  const space = mask.as === 'ip' ? IPV4_SPACE : spaceOf(column);
  const holder =
    mask.method === 'siv'
      ? 'whoever holds the key, at once: tokens can be opened'
      : space === null
        ? 'whoever holds the key, by trying out values'
        : `whoever holds the key, by trying out ${space} values`;
  const length =
    mask.method === 'hmac' || mask.as === 'ip'
      ? []
      : [mask.pad === null ? 'the length in bytes' : `the length, to ${String(mask.pad)} bytes`];
  return {
    exposure: 'token',
    space,
    found_by: `${holder}; ${TOKENS_AT_ONCE}`,
    leaks: [...EQUALITY, ...length],
  };
}

function judgeFf1({ template, alphabet }: Ff1Mask): Judgement {
  const numerals = template.reduce((sum, part) => sum + ('least' in part ? part.least : 0), 0);
  const space = `${[...alphabet].length}^${numerals} at least`;
  const found_by = `whoever holds the key, at once, and without notice of altered values; ${TOKENS_AT_ONCE}`;
  return { exposure: 'token', space, found_by, leaks: [...EQUALITY, 'the length', 'the separators'] };
}

function judgePart(mask: MaskSpec): Omit<Judgement, 'exposure'> {
  const anybody = (space: string | null, ...leaks: readonly string[]): Omit<Judgement, 'exposure'> => ({
    space,
    found_by: 'anybody, as far as what shows narrows it down',
    leaks,
  });
  switch (mask.method) {
    case 'ip-truncate': {
      const left = 32 - mask.v4;
      return anybody(
        `2^${left} addresses behind each value (IPv4)`,
        `the first ${mask.v4} bits of IPv4, ${mask.v6} of IPv6`,
      );
    }
    case 'partial':
      switch (mask.kind) {
        case 'email':
          return anybody(null, 'the first letter', 'the domain: of a small company, that may be enough');
        case 'phone':
          return anybody(null, `the last ${mask.show} digits`, 'the length');
        case 'card':
          return anybody(
            '10^5 behind each value (16 digits, one of them a check digit)',
            'the first 6 and last 4 digits',
          );
        default:
          return anybody(null, 'what the replacement takes over');
      }
    case 'bucket':
      return 'edges' in mask
        ? anybody(`${mask.edges.length + 1} ranges in all`, 'the range')
        : anybody(null, `the range of ${mask.width} that it lies in`);
    case 'generalize':
      if ('to' in mask) return anybody(null, mask.to === 'ip_version' ? 'the IP version' : `the ${mask.to}`);
      return anybody(`${new Set(mask.map.map(([, group]) => group)).size} groups`, 'the group');
    case 'date-shift': {
      const found_by =
        'whoever holds the key, at once; whoever knows one date of an entity, all of its others: they move together';
      return {
        space: `${2 * mask.days + 1} days`,
        found_by,
        leaks: [`the date, give or take ${mask.days} days`, 'days between dates of one entity'],
      };
    }
    default:
      return anybody(null, 'what its author says');
  }
}

function judgeKept(column: ColumnSpec): Judgement {
  const exposure = keptExposure(column);
  const found_by =
    exposure === 'identifier' ? 'anybody who reads the row' : 'nobody has to: it is stored as it is';
  return { exposure, space: null, found_by, leaks: ['the value'] };
}

function keptExposure({ name, source, type }: ColumnSpec): Exposure {
  // Whatever senders will send.
  if (source.kind === 'rest' || name.endsWith('.*')) return 'identifier';
  if (source.kind === 'meta') {
    if (source.name === 'sent_at' || source.name === 'received_at') return 'quasi_identifier';
    return source.name === 'group_id' ? 'identifier' : 'other';
  }
  const names = [name, source.kind === 'path' ? lastName(source.steps, source.name) : source.name].map(
    snakeCase,
  );
  if (names.some((one) => PERSON_ID.test(one) || looksPersonal(one)) || type === 'uuid' || type === 'inet')
    return 'identifier';
  if (names.some((one) => QUASI.test(one)) || type === 'date' || type === 'timestamptz')
    return 'quasi_identifier';
  return 'other';
}

function lastName(steps: readonly object[], first: string): string {
  return steps.reduce<string>((name, step) => ('member' in step ? String(step.member) : name), first);
}

function spaceOf({ name, path }: ColumnSpec): string | null {
  const names = [snakeCase(name), snakeCase(path)];
  return SPACES.find(([pattern]) => names.some((one) => pattern.test(one)))?.[1] ?? null;
}
