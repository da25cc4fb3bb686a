import { resolve } from 'node:path';
import { canonicalText, trimAscii } from '../masking/canonical.js';
import { isCode, readCustomFiles } from '../masking/custom-files.js';
import { compareDecimals, floorAt, parseDecimal, scaleOf, writeDecimal } from '../masking/decimal.js';
import {
  type BucketMask,
  type CustomMask,
  type DateShiftMask,
  type Ff1Mask,
  type FieldPath,
  type GeneralizeMask,
  type MaskSpec,
  type PartialMask,
  type VaultMask,
  hasEach,
} from '../masking/methods.js';
import type { ColumnInput } from './column-schema.js';
import { alphabetProblem, parseTemplate } from './ff1-template.js';
import type { Wrong } from './mask-options.js';
import type { MaskInput } from './mask-schema.js';
import { parsePath, pathWithin } from './path.js';
import { patternProblem } from './pattern.js';

const DIGITS = '0123456789';
const V4_BITS = 24;
const V6_BITS = 48;
const PHONE_DIGITS = 4;
// Long for what takes milliseconds, and short enough that a value can be tried twice before a lock runs out.
const CUSTOM_TIMEOUT_MS = 2_000;
// More digits than anybody's edges have; the names of ranges are made of them.
const MOST_EDGE_DIGITS = 30;

/** What a mask is to know of the file and the table that it is in. */
export interface MaskSetting {
  /** Where the pipeline file is. */
  readonly folder: string;
  /** The list of which each row of the table is an element; null: it has a row for each record. */
  readonly each: FieldPath | null;
}

/** The mask of a column whose options fit its method, or null with what is wrong with their values reported. */
export function buildMask(
  input: ColumnInput,
  column: string,
  { folder, each }: MaskSetting,
  wrong: Wrong,
): MaskSpec | null {
  const { mask } = input;
  if (mask === undefined) return { method: 'keep' };
  const { method } = mask;
  const domain = mask.domain ?? input.from ?? column;
  switch (method) {
    case 'keep':
    case 'null':
    case 'drop':
      return { method };
    case 'constant':
      return { method, value: mask.value ?? '' };
    case 'siv':
    case 'hmac':
      return { method, domain, as: mask.as ?? 'text', pad: mask.pad ?? null, lower: mask.lower ?? false };
    case 'vault':
      return vault(mask, domain, each, wrong);
    case 'ip-truncate':
      return { method, v4: mask.v4 ?? V4_BITS, v6: mask.v6 ?? V6_BITS };
    case 'ipcrypt-det':
    case 'ipcrypt-pfx':
      return { method, domain };
    case 'partial':
      return partial(mask, wrong);
    case 'ff1':
      return ff1(mask, domain, wrong);
    case 'date-shift':
      return dateShift(mask, domain, each, wrong);
    case 'bucket':
      return bucket(mask, wrong);
    case 'generalize':
      return generalize(mask, wrong);
    case 'custom':
      return custom(mask, folder, wrong);
  }
}

/** Reads the masker's files for their hash; none of their code runs. */
function custom(mask: MaskInput, folder: string, wrong: Wrong): CustomMask | null {
  const { file, export: name = 'default', options = {}, timeout, domain } = mask;
  if (file === undefined) return null;
  const files = isCode(file)
    ? readCustomFiles(resolve(folder, file))
    : { wrong: 'must be an ES module: a .ts, .mts, .js or .mjs file' };
  if ('wrong' in files) {
    wrong(['mask', 'file'], files.wrong);
    return null;
  }
  return {
    method: 'custom',
    file,
    sha256: files.sha256,
    export: name,
    options,
    timeoutMs: timeout ?? CUSTOM_TIMEOUT_MS,
    ...(domain === undefined ? {} : { domain }),
  };
}

function partial({ kind, show, pattern, replace }: MaskInput, wrong: Wrong): PartialMask | null {
  const method = 'partial';
  if (kind === undefined) return null;
  if (kind === 'phone') return { method, kind, show: show ?? PHONE_DIGITS };
  if (kind !== 'pattern') return { method, kind };
  if (pattern === undefined || replace === undefined) return null;
  const problem = patternProblem(pattern, replace);
  if (problem === null) return { method, kind, pattern, replace };
  wrong(['mask', problem.key], problem.message);
  return null;
}

function ff1({ template, alphabet = DIGITS }: MaskInput, domain: string, wrong: Wrong): Ff1Mask | null {
  const problem = alphabetProblem(alphabet);
  if (problem !== null) wrong(['mask', 'alphabet'], problem);
  if (problem !== null || template === undefined) return null;
  const parts = parseTemplate(template, alphabet);
  if (typeof parts !== 'string') return { method: 'ff1', domain, template: parts, alphabet };
  wrong(['mask', 'template'], parts);
  return null;
}

function dateShift(
  { entity, days }: MaskInput,
  domain: string,
  each: FieldPath | null,
  wrong: Wrong,
): DateShiftMask | null {
  if (entity === undefined || days === undefined) return null;
  const path = onePlace(entity, each);
  if (typeof path !== 'string') return { method: 'date-shift', domain, entity: path, days };
  wrong(['mask', 'entity'], path);
  return null;
}

function vault(mask: MaskInput, domain: string, each: FieldPath | null, wrong: Wrong): VaultMask | null {
  const { as = 'text', pad, lower = false, subject } = mask;
  const path = subject === undefined ? null : onePlace(subject, each);
  if (typeof path !== 'string')
    return { method: 'vault', domain, as, pad: pad ?? null, lower, subject: path };
  wrong(['mask', 'subject'], path);
  return null;
}

/** The place of one value of a row, or what is wrong with what should name it. */
function onePlace(text: string, each: FieldPath | null): FieldPath | string {
  const path = text.startsWith('$') ? 'must be a field of the body' : parsePath(text);
  if (typeof path === 'string') return path;
  const place = pathWithin(path, each);
  if (!hasEach(place)) return place;
  return each === null
    ? 'must be one value, without "[*]"'
    : 'must be one value: of the element, beginning as `from_each` does, or without "[*]"';
}

function bucket({ edges, width }: MaskInput, wrong: Wrong): BucketMask | null {
  const method = 'bucket';
  if (width !== undefined && edges === undefined) {
    const written = plainDecimal(width);
    if (written !== null && written !== '0' && !written.startsWith('-')) return { method, width: written };
    wrong(['mask', 'width'], `must be a number above 0, of at most ${MOST_EDGE_DIGITS} digits`);
    return null;
  }
  const plain = (edges ?? []).map(plainDecimal);
  const written = plain.filter((edge) => edge !== null);
  if (written.length < plain.length) {
    wrong(['mask', 'edges'], `must be numbers of at most ${MOST_EDGE_DIGITS} digits`);
    return null;
  }
  if (written.length > 0 && written.every((edge, i) => i === 0 || isBelow(written[i - 1] ?? '', edge)))
    return { method, edges: written };
  if (edges !== undefined) wrong(['mask', 'edges'], 'must ascend, none of them twice');
  return null;
}

/** The number without an exponent or idle zeros, or null for what is no number or too long a one. */
function plainDecimal(text: string): string | null {
  const number = parseDecimal(text);
  if (number === null) return null;
  const scale = scaleOf(number);
  if (number.point > MOST_EDGE_DIGITS || scale > MOST_EDGE_DIGITS) return null;
  return writeDecimal(floorAt(number, scale), scale);
}

function isBelow(one: string, other: string): boolean {
  const [a, b] = [parseDecimal(one), parseDecimal(other)];
  return a !== null && b !== null && compareDecimals(a, b) < 0;
}

function generalize({ to, map, other, lower = false }: MaskInput, wrong: Wrong): GeneralizeMask | null {
  const method = 'generalize';
  if (to !== undefined) return { method, to };
  if (map === undefined) return null;
  const groups = new Map<string, string>();
  for (const [value, group] of Object.entries(map)) {
    const canonical = canonicalText(trimAscii(value), lower);
    if (canonical === null || canonical === '' || groups.has(canonical)) {
      const message = groups.has(canonical ?? '')
        ? 'equals another key of the map once both are in canonical form'
        : 'is empty or holds control characters, and so equals no value';
      wrong(['mask', 'map', value], message);
      return null;
    }
    groups.set(canonical, group);
  }
  if (groups.size === 0) {
    wrong(['mask', 'map'], 'is empty');
    return null;
  }
  const sorted = [...groups].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { method, map: sorted, lower, ...(other === undefined ? {} : { other }) };
}
