import type { TemplatePart } from '../masking/methods.js';

/** NIST SP 800-38G r1 requires a domain of a million values: fewer can be tried one by one. */
const LEAST_DOMAIN = 1_000_000n;
/** Longer numbers are tokens' business; FF1 gets slow on them. */
const MOST_NUMERALS = 128;
/** The radix of FF1 is below 2^16. */
const MOST_ALPHABET = 65_535;

const CLASS = /\\d|\[((?:[^\]\\]|\\.)+)\]/y;
const COUNT = /\{([0-9]{1,3})(?:,([0-9]{1,3}))?\}/y;
const LITERAL = /\\([^\p{L}\p{N}])|([^\\^$.*+?()[\]{}|])/uy;
const CLASS_PART = /(\\d)|(?:\\(.)|([^\\]))(?:-(?:\\([^d])|([^\\])))?/suy;

/** What keeps a text from being an alphabet of numerals, or null. */
export function alphabetProblem(alphabet: string): string | null {
  const numerals = [...alphabet];
  if (numerals.length < 2 || numerals.length > MOST_ALPHABET) return 'must have 2 to 65535 characters';
  if (new Set(numerals).size < numerals.length) return 'holds a character twice';
  // The value is trimmed and composed before it is matched, so that these could get lost.
  if (/[\p{C}\p{M}\p{Z}]/u.test(alphabet))
    return 'must not hold spaces, control characters or combining marks';
  return alphabet.normalize('NFC') === alphabet ? null : 'must be in Unicode normalization form C';
}

/** The parts of a template over a sound alphabet, adjacent runs joined; or what is wrong with it, as a text. */
export function parseTemplate(text: string, alphabet: string): readonly TemplatePart[] | string {
  if (!text.startsWith('^') || !text.endsWith('$') || text.endsWith('\\$') || text.length < 2)
    return 'must begin with "^" and end with "$", so that it describes the whole value';
  const parts: TemplatePart[] = [];
  const end = text.length - 1;
  let at = 1;
  while (at < end) {
    const next = text[at] === '(' ? groupAt(text, at, alphabet) : literalAt(text, at);
    if (typeof next === 'string') return next;
    add(parts, next.part);
    at = next.end;
  }
  return templateProblem(parts, alphabet) ?? parts;
}

interface Found {
  readonly part: TemplatePart;
  readonly end: number;
}

function groupAt(text: string, start: number, alphabet: string): Found | string {
  let least = 0;
  let most = 0;
  let at = start + 1;
  while (text[at] !== ')') {
    const numerals = matchAt(CLASS, text, at);
    if (!numerals)
      return `needs \\d or [...] with a count within the group at character ${start + 1}, such as (\\d{4})`;
    if (!isAlphabet(numerals[1] ?? '\\d', alphabet))
      return `has characters at character ${at + 1} that are not exactly those of the alphabet, whose every character may come out`;
    at += numerals[0].length;
    const count = matchAt(COUNT, text, at);
    const from = Number(count?.[1] ?? 1);
    const to = Number(count?.[2] ?? from);
    if (to < from) return `has a count at character ${at + 1} that ends before it begins`;
    least += from;
    most += to;
    at += count?.[0].length ?? 0;
  }
  return { part: { least, most }, end: at + 1 };
}

function literalAt(text: string, at: number): Found | string {
  const [all, escaped, plain] = matchAt(LITERAL, text, at) ?? [];
  if (all === undefined)
    return `cannot have ${JSON.stringify(text[at])} at character ${at + 1}: what changes stands in groups such as (\\d{4}), all else is separators; a special character is written with a backslash`;
  return { part: { literal: escaped ?? plain ?? '' }, end: at + all.length };
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** Whether a class, without its brackets, is the alphabet: no more, no less. */
function isAlphabet(members: string, alphabet: string): boolean {
  const wanted = new Set(alphabet);
  const found = new Set<string>();
  CLASS_PART.lastIndex = 0;
  for (let part = CLASS_PART.exec(members); part; part = CLASS_PART.exec(members)) {
    const [, digits, escaped, plain, escapedEnd, plainEnd] = part;
    const first = digits === undefined ? (escaped ?? plain ?? '') : '0';
    const last = digits === undefined ? (escapedEnd ?? plainEnd ?? first) : '9';
    const to = last.codePointAt(0) ?? 0;
    for (let code = first.codePointAt(0) ?? 1; code <= to; code += 1) found.add(String.fromCodePoint(code));
    if (CLASS_PART.lastIndex === members.length) break;
  }
  return found.size === wanted.size && [...found].every((character) => wanted.has(character));
}

/** Adjacent literals are one, and so are adjacent runs: where one ends, nothing in the value tells. */
function add(parts: TemplatePart[], part: TemplatePart): void {
  const last = parts.at(-1);
  if (last === undefined) parts.push(part);
  else if ('literal' in last && 'literal' in part) {
    parts[parts.length - 1] = { literal: last.literal + part.literal };
  } else if ('least' in last && 'least' in part) {
    parts[parts.length - 1] = { least: last.least + part.least, most: last.most + part.most };
  } else parts.push(part);
}

function templateProblem(parts: readonly TemplatePart[], alphabet: string): string | null {
  const runs = parts.filter((part) => 'least' in part);
  const sum = (end: 'least' | 'most'): number => runs.reduce((total, run) => total + run[end], 0);
  if (runs.length === 0) return 'needs a group of what is to be encrypted, such as (\\d{9})';
  if (sum('most') > MOST_NUMERALS) return `allows more than ${MOST_NUMERALS} characters in its groups`;
  const radix = BigInt([...alphabet].length);
  if (radix ** BigInt(sum('least')) < LEAST_DOMAIN) {
    return `allows values of ${sum('least')} characters of ${radix} in its groups: fewer than the million different ones that FF1 needs; use \`siv\``;
  }
  const numerals = new Set(alphabet);
  const isAmbiguous =
    runs.some((run) => run.least !== run.most) &&
    parts.some((part) => 'literal' in part && [...part.literal].some((character) => numerals.has(character)));
  return isAmbiguous
    ? 'has a character of the alphabet outside of its groups, which could then not be told from the rest: give all groups fixed lengths, or put it into one'
    : null;
}

/** Says when no value of the template fits into the column, or not every one does. */
export function reportTemplateLength(
  parts: readonly TemplatePart[],
  maxLength: number,
  verdict: { readonly wrong: (message: string) => void; readonly doubtful: (message: string) => void },
): void {
  const length = (end: 'least' | 'most'): number =>
    parts.reduce((sum, part) => sum + ('literal' in part ? [...part.literal].length : part[end]), 0);
  const [least, most] = [length('least'), length('most')];
  if (maxLength < least) verdict.wrong(`no value of the template fits: it has ${least} characters or more`);
  else if (maxLength < most)
    verdict.doubtful(
      `the template allows values of ${most} characters; longer ones than this are rejected as too_long`,
    );
}
