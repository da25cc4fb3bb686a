// What a value looks like, without the value: neither its characters nor its exact length.

import { isIPv6 } from 'node:net';

/** Classes of a run of letters and digits, the first that fits. */
const CLASSES: readonly (readonly [shape: string, pattern: RegExp])[] = [
  ['9', /^\p{N}+$/u],
  ['a', /^[\p{Ll}\p{Lm}\p{Lo}\p{M}]+$/u],
  ['A', /^\p{Lu}+$/u],
  ['Aa', /^\p{Lu}[\p{Ll}\p{M}]+$/u],
];
/** Formats in which digits and letters mix by chance: where they are would tell values apart. */
const KNOWN: readonly (readonly [shape: string, test: (text: string) => boolean])[] = [
  ['a token', (text) => /^[hsv][0-9]{1,4}\.[A-Za-z0-9_-]{22,}$/.test(text)],
  ['a uuid', (text) => /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text)],
  ['an IPv6 address', isIPv6],
];
const MIXED = 'x';
const RUN = /[\p{L}\p{N}\p{M}]+|\s+|[^\p{L}\p{N}\p{M}\s]+/gu;
/** Punctuation that tells formats apart; all else is one sign. */
const TELLING = new Set('.-_@:/+,()#%$={}[]"|');
const ANY_SIGN = '?';
const MOST_PARTS = 12;
const SHORTEST = 8;

/** A value as JSON.parse made it: `9.9.9.9 (9-16)`, `a.a@a.a (17-32)`, `number`, `NULL`. */
export function shapeOf(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (typeof value === 'string') return textShape(value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'object' ? 'an object' : typeof value;
}

/**
 * Runs of letters become `a`, `A` or `Aa`, runs of digits `9`, runs of both `x`; of other signs only some are shown,
 * and of a run only the first. All yes and no look alike, and so do all numbers.
 */
function textShape(text: string): string {
  if (text === '') return 'empty';
  const known = KNOWN.find(([, test]) => test(text));
  if (known) return known[0];
  const runs = text.match(RUN) ?? [];
  const parts = runs.slice(0, MOST_PARTS).map(partOf);
  // Signs alone would be the value.
  const isTelling = runs.some((run) => /[\p{L}\p{N}]/u.test(run));
  const shape = isTelling ? parts.join('') + (runs.length > MOST_PARTS ? '…' : '') : ANY_SIGN;
  return `${shape} (${lengthRange(text.length)})`;
}

function partOf(run: string): string {
  if (/^\s/u.test(run)) return ' ';
  if (/[\p{L}\p{N}\p{M}]/u.test(run)) return CLASSES.find(([, pattern]) => pattern.test(run))?.[0] ?? MIXED;
  const sign = run[0] ?? '';
  return TELLING.has(sign) ? sign : ANY_SIGN;
}

/** Lengths to the next power of two, from eight on. */
function lengthRange(length: number): string {
  let most = SHORTEST;
  while (most < length) most *= 2;
  return most === SHORTEST ? `1-${SHORTEST}` : `${most / 2 + 1}-${most}`;
}

/** How often each shape occurs, the most frequent first. */
export function countShapes(values: readonly unknown[], most: number): readonly ShapeCount[] {
  const counts = new Map<string, number>();
  for (const value of values) {
    const shape = shapeOf(value);
    counts.set(shape, (counts.get(shape) ?? 0) + 1);
  }
  return [...counts]
    .map(([shape, count]) => ({ shape, count }))
    .toSorted((a, b) => b.count - a.count)
    .slice(0, most);
}

/** A shape and how many values have it. */
export interface ShapeCount {
  readonly shape: string;
  readonly count: number;
}
