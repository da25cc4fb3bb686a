// Patterns of the mask `partial`: a part of regular expressions that can be matched without much backtracking. A value
// may come from anybody, and one that takes minutes to match would stop the worker.

/** Longer values are not matched; UTF-8 has at least a byte for each character. */
const MOST_CHARACTERS = 1024;
/**
 * In so many ways at most may a value be divided among repeated parts that overlap with what follows them: one such
 * part without a limit. Each way costs at most one pass over the value and back, all of them some milliseconds.
 */
const MOST_WAYS = MOST_CHARACTERS + 1;
const MOST_GROUPS = 9;

/** Code points as ascending, inclusive ranges. */
type Known = readonly (readonly [from: number, to: number])[];

/** Null for sets that are not worked out: they overlap with all. */
type Ranges = Known | null;

/** One character set, so many times. */
interface Item {
  readonly set: Ranges;
  readonly least: number;
  readonly most: number;
}

const LAST = 0x10ffff;
const DIGITS: Known = [[0x30, 0x39]];
const WORD: Known = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const ITEM =
  /\\[pP]\{[A-Za-z_=]{1,40}\}|\\([dDwWsS])|\\([^\p{L}\p{N}])|(\.)|\[(\^?)((?:[^\]\\]|\\.)+)\]|([^\\^$.*+?()[\]{}|])/suy;
const COUNT = /(?:([*+?])|\{([0-9]{1,4})(,?)([0-9]{1,4})?\})\??/y;
const CLASS_PART = /\\([dw])|\\[^dw]|([^\\])(?:-([^\\]))?/suy;

/** What keeps a pattern and its replacement from being used, or null. */
export function patternProblem(pattern: string, replace: string): PatternProblem | null {
  const items: Item[] = [];
  const read = readPattern(pattern, items);
  if (typeof read === 'string') return { key: 'pattern', message: read };
  if (!isRegExp(pattern)) return { key: 'pattern', message: 'is not a valid regular expression' };
  if (read.groups > MOST_GROUPS) return { key: 'pattern', message: `has more than ${MOST_GROUPS} groups` };
  if (waysOf(items) > MOST_WAYS) {
    const message =
      'could take too long on some values: of the repeated parts that can also match what follows them, at most one may be without a limit; for the others, name what they may not match, as in ([^-]*)-(.*)';
    return { key: 'pattern', message };
  }
  for (const [, what = ''] of replace.matchAll(/\$(.?)/gsu)) {
    const group = /^[1-9]$/.test(what) ? Number(what) : null;
    if (what === '$' || (group !== null && group <= read.groups)) continue;
    const message = `may refer to the groups of the pattern, of which there are ${read.groups}, as $1 to $9, and has $$ for a dollar`;
    return { key: 'replace', message };
  }
  return null;
}

/** Which of the two is wrong, and how. */
export interface PatternProblem {
  readonly key: 'pattern' | 'replace';
  readonly message: string;
}

/** Reads a row of items and groups of items; a text says what is wrong. */
function readPattern(pattern: string, items: Item[]): { readonly groups: number } | string {
  let at = pattern.startsWith('^') ? 1 : 0;
  const end = /(?:^|[^\\])(?:\\\\)*\$$/s.test(pattern) ? pattern.length - 1 : pattern.length;
  let groups = 0;
  let isOpen = false;
  while (at < end) {
    const place = `at character ${at + 1}`;
    const character = pattern[at];
    if (character === '(' && !isOpen && pattern[at + 1] !== '?') {
      groups += 1;
      isOpen = true;
      at += 1;
    } else if (character === ')' && isOpen) {
      isOpen = false;
      at += 1;
      if (matchAt(COUNT, pattern, at))
        return `repeats a group ${place}, which is not supported; repeat what is in it`;
    } else {
      const item = matchAt(ITEM, pattern, at);
      if (!item)
        return `has something ${place} that is not supported: use characters, sets such as [0-9] or \\d, counts such as {4} or +, and groups that are not nested, without "|"`;
      at += item[0].length;
      const count = matchAt(COUNT, pattern, at);
      at += count?.[0].length ?? 0;
      items.push({ set: setOf(item), ...countOf(count) });
    }
  }
  return isOpen ? 'has a group that is not closed' : { groups };
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function countOf(count: RegExpExecArray | null): { readonly least: number; readonly most: number } {
  if (!count) return { least: 1, most: 1 };
  const [, sign, from = '0', comma = '', to] = count;
  if (sign !== undefined) return { least: sign === '+' ? 1 : 0, most: sign === '?' ? 1 : MOST_CHARACTERS };
  const most = to ?? (comma === '' ? from : String(MOST_CHARACTERS));
  return { least: Number(from), most: Math.max(Number(from), Number(most)) };
}

function setOf([, named, escaped, dot, negated, members, plain]: RegExpExecArray): Ranges {
  if (named !== undefined) return namedSet(named);
  if (dot !== undefined) return null;
  if (members !== undefined) {
    const set = classSet(members);
    return negated === '^' && set !== null ? complement(set) : set;
  }
  const code = (escaped ?? plain)?.codePointAt(0);
  return code === undefined ? null : [[code, code]];
}

function namedSet(name: string): Ranges {
  switch (name) {
    case 'd':
      return DIGITS;
    case 'D':
      return complement(DIGITS);
    case 'w':
      return WORD;
    case 'W':
      return complement(WORD);
    default:
      return null;
  }
}

function classSet(members: string): Ranges {
  const ranges: [number, number][] = [];
  let at = 0;
  while (at < members.length) {
    const part = matchAt(CLASS_PART, members, at);
    if (!part) return null;
    at += part[0].length;
    const [all, named, first, last] = part;
    if (named !== undefined)
      ranges.push(...(namedSet(named) ?? []).map(([a, b]): [number, number] => [a, b]));
    else if (first === undefined) {
      const code = all.codePointAt(1) ?? 0;
      // A letter behind the backslash names a set, or a character that is not itself.
      if (/^[\p{L}\p{N}]/u.test(all.slice(1))) return null;
      ranges.push([code, code]);
    } else ranges.push([first.codePointAt(0) ?? 0, (last ?? first).codePointAt(0) ?? 0]);
  }
  return ranges.toSorted(([a], [b]) => a - b);
}

function complement(set: Known): Ranges {
  const ranges: [number, number][] = [];
  let next = 0;
  for (const [from, to] of set) {
    if (from > next) ranges.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  if (next <= LAST) ranges.push([next, LAST]);
  return ranges;
}

function overlap(a: Ranges, b: Ranges): boolean {
  if (a === null || b === null) return true;
  return a.some(([from, to]) => b.some(([other, last]) => from <= last && other <= to));
}

/** In how many ways a value can be divided among the items, at most: one without an item that overlaps with the next. */
function waysOf(items: readonly Item[]): number {
  let ways = 1;
  for (const [i, { set, least, most }] of items.entries()) {
    if (most > least && mayGoOn(set, items.slice(i + 1)))
      ways *= Math.min(most, MOST_CHARACTERS) - Math.min(least, MOST_CHARACTERS) + 1;
  }
  return ways;
}

/** Whether what follows can begin with a character of the set. */
function mayGoOn(set: Ranges, following: readonly Item[]): boolean {
  for (const item of following) {
    if (item.most > 0 && overlap(set, item.set)) return true;
    if (item.least > 0) return false;
  }
  return false;
}

function isRegExp(pattern: string): boolean {
  try {
    return new RegExp(`^(?:${pattern})$`, 'su').source !== '';
  } catch {
    return false;
  }
}
