// Hostile texts, and what must become of each in every column that takes text. What a text is, is said here by hand:
// `anyText` may be kept and masked; `unmaskable` may be kept only (control and format characters); `unstorable` may
// not even be kept (NUL, lone surrogates).

import { type Fate, type HostileCase, type PipelineName, fieldCase, tokenFor } from './hostile-case.js';

type Kind = 'anyText' | 'unmaskable' | 'unstorable';

interface HostileText {
  readonly kind: Kind;
  readonly text: string;
}

const of = (kind: Kind, texts: readonly string[]): readonly HostileText[] =>
  texts.map((text) => ({ kind, text }));

/** White space at which ASCII ends is trimmed before masking; no other white space is. */
const BLANKS = ['', ' ', '\t', '\n', '\f', '\r', ' \t\r\n\f ', ' '.repeat(40)];
const TRIMMED = [' a', 'a ', '\ta\n', '\r\n a b \f', ' \\N ', '\n\\.\n', ' 1.2.3.4 x '];

/** What COPY, SQL, shells, parsers, terminals, spreadsheets and templates might read into a text. */
const METACHARACTERS = [
  '\\.',
  '\\N',
  '\\n',
  '\\',
  '\\\\',
  '\\\\.',
  '.\\',
  'ends in a backslash\\',
  'ends in two\\\\',
  '\\x41\\101\\t',
  'NULL',
  'null',
  '\\null',
  "'; drop table events; --",
  "' or '1'='1",
  '" or ""="',
  '$$;select pg_sleep(9);$$',
  "E'\\\\'",
  "x'); copy events to program 'id'; --",
  '/* comment */ -- line',
  '{"$gt":""}',
  '{}',
  '[]',
  '{"user_id":"someone else"}',
  '","user_id":"someone else',
  '$(id)',
  '`id`',
  '; rm -rf / #',
  '| id && id || id',
  '../../../etc/passwd',
  '%00',
  '%s%n%x%d',
  '{{7*7}}',
  '${7*7}',
  '#{7*7}',
  '<%= 7*7 %>',
  '${jndi:ldap://host/a}',
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  'javascript:alert(1)',
  '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>',
  ']]>',
  '&lt;&amp;&#0;',
  '=1+1',
  '+1',
  '-1',
  '@SUM(A1)',
  "=cmd|'/C calc'!A0",
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'undefined',
  'NaN',
  'Infinity',
  'true',
  'false',
  '0',
  '-0',
  '1e309',
  '0x10',
  '1_000',
  '1,000',
  's1.AAAAAAAAAAAAAAAAAAAAAA',
  'h2.AAAAAAAAAAAAAAAAAAAAAA',
  'C:\\temp\\new',
  'a,b;c|d',
  '"quoted"',
  "it's",
  '--',
  '#',
  '.',
  '..',
  ',',
];

/** The same, with control characters, which are white space only at the ends. */
const LINES = [
  'a\tb',
  'a\nb',
  'a\r\nb',
  'a\rb',
  'a\n\\.\nb',
  '*1\r\n$4\r\nPING\r\n',
  'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
  'a\r\nSet-Cookie: b=c',
];

/** Letters, marks, symbols and unassigned code points of all planes, none of them control or format characters. */
const UNICODE = [
  'é',
  'e\u0301',
  'Å\u212b\u00c5A\u030a',
  'ﬁ ﬂ ﬃ',
  'Straße STRASSE ẞ',
  'İstanbul ısparta',
  'Ǆ ǅ ǆ',
  'ΑΣ ας',
  'Ω Ω K K',
  '각 \u1100\u1161\u11a8',
  'が か\u3099',
  'ａｂｃ １２３ ｱｲｳ',
  '日本語 简体 繁體 한국어',
  'עברית العربية',
  'ไทย हिन्दी தமிழ் བོད་',
  'क्षि ක්ය',
  '\u00a0no-break\u2003em\u3000ideographic\u1680ogham',
  'line\u2028paragraph\u2029',
  '½ ² ₃ Ⅷ ① ㍿ ℃',
  '∑∫∂ ≠ \u0338=',
  '←↑→↓ ♥ ☃ ✓',
  '😀😁',
  '👍🏽',
  '🇩🇪',
  '1\ufe0f\u20e3',
  '\ufe0f\ufe0e',
  '𝒳𝓎𝔷 𝟘𝟙',
  '\u{10400}\u{10428}',
  '\u{1f0a1}\u{1d11e}',
  '\u{20000}\u{2a6df}\u{2f800}',
  '\u{30000}',
  '\u{40000}\u{50000}\u{d0000}',
  '\ue000\uf8ff',
  '\u{f0000}\u{ffffd}\u{100000}\u{10fffd}',
  '\ufdd0\ufdef',
  '\ufffe\uffff',
  '\u{1fffe}\u{1ffff}\u{10fffe}\u{10ffff}',
  '\ufffd',
  'caf\ufffd from latin-1',
  '\u0378\u0379\u2fe0',
  `a${'\u0301'.repeat(128)}`,
  `Z${'\u0351\u0315\u0323'.repeat(20)}`,
];

/** Combining marks beyond what any script uses: to compose them takes quadratic time. */
const MARKS = [`a${'\u0301'.repeat(129)}`, '\u0300\u0316'.repeat(2_000), '\u0489'.repeat(30_000)];

const FORMAT_CHARACTERS = [
  '\u00ad',
  '\u0600',
  '\u061c',
  '\u06dd',
  '\u070f',
  '\u08e2',
  '\u180e',
  '\u200b',
  '\u200c',
  '\u200d',
  '\u200e',
  '\u200f',
  '\u202a',
  '\u202b',
  '\u202c',
  '\u202d',
  '\u202e',
  '\u2060',
  '\u2061',
  '\u2064',
  '\u2066',
  '\u2067',
  '\u2068',
  '\u2069',
  '\u206f',
  '\ufeff',
  '\ufff9',
  '\ufffb',
  '\u{110bd}',
  '\u{13430}',
  '\u{1bca0}',
  '\u{1d173}',
  '\u{e0001}',
  '\u{e0020}',
  '\u{e007f}',
];

/** All of C0 but NUL and what is white space, DEL, and all of C1. */
const CONTROLS = [
  ...Array.from({ length: 0x1f }, (_, i) => i + 1).filter((code) => ![9, 10, 12, 13].includes(code)),
  ...Array.from({ length: 0xa0 - 0x7f }, (_, i) => 0x7f + i),
].map((code) => String.fromCharCode(code));

const UNSTORABLE = [
  '\0',
  'a\0b',
  '\0\0\0',
  'ends in NUL\0',
  '\ud800',
  '\udbff',
  '\udc00',
  '\udfff',
  'a\ud800',
  '\udc00a',
  'a\ud83db',
  '\ude00\ud83d',
  '\ud83d\ud83d\ude00',
  '\ud83d\ude00\ude00',
  '\ud800\0',
];

export const HOSTILE_TEXTS: readonly HostileText[] = [
  ...of('anyText', [...BLANKS, ...TRIMMED, ...METACHARACTERS, ...UNICODE]),
  ...of('unmaskable', [
    ...LINES,
    ...MARKS,
    ...FORMAT_CHARACTERS.map((character) => `a${character}b`),
    'safe\u202e\u0067\u0070\u006a.exe',
    'pay\u200bpal',
    '👨\u200d👩\u200d👧',
    '🏴\u{e0067}\u{e0062}\u{e007f}',
    ...CONTROLS.map((character) => `a${character}b`),
    'tab in the midst\u000b and bell\u0007',
    '\u001b[31mred\u001b[0m',
    '\u001b]0;title\u0007',
  ]),
  ...of('unstorable', UNSTORABLE),
];

const isBlank = (text: string): boolean => /^[ \t\n\f\r]*$/.test(text);
const lengthOf = (text: string): number => Array.from(text).length;

function keptFate({ kind, text }: HostileText, max: number, required: boolean): Fate {
  if (required && isBlank(text)) return { code: 'missing_field' };
  if (kind === 'unstorable') return { code: 'bad_text' };
  return lengthOf(text) > max ? { code: 'too_long' } : { stored: text };
}

function maskedFate({ kind, text }: HostileText, name: PipelineName, field: string, required: boolean): Fate {
  if (isBlank(text)) return required ? { code: 'missing_field' } : { stored: null };
  return kind === 'anyText' ? { stored: tokenFor(name, field, text) } : { code: 'bad_text' };
}

/** Fields that take text, and what becomes of each text there. */
const FIELDS: readonly (readonly [PipelineName, string, (text: HostileText) => Fate])[] = [
  ['login', 'user_id', (text) => keptFate(text, 128, true)],
  ['login', 'locale', (text) => keptFate(text, 32, false)],
  ['login', 'device_id', (text) => maskedFate(text, 'login', 'device_id', true)],
  ['login', 'ip', ({ text }) => ({ code: isBlank(text) ? 'missing_field' : 'bad_ip' })],
  ['every', 'kept', (text) => keptFate(text, Infinity, false)],
  ['every', 'secret', (text) => maskedFate(text, 'every', 'secret', false)],
  ['every', 'folded', (text) => maskedFate(text, 'every', 'folded', false)],
  ['every', 'hashed', (text) => maskedFate(text, 'every', 'hashed', false)],
  ['every', 'starred', ({ text }) => ({ stored: isBlank(text) ? null : '***' })],
  ['every', 'gone', () => ({ stored: null })],
];

/** Every UTF-16 unit as an escape: another spelling of the same text. */
function escaped(text: string): string {
  const units = Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
  return `"${units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')}"`;
}

/** Each text in each field, and once more in other spellings of it. */
export function textCases(): readonly HostileCase[] {
  return HOSTILE_TEXTS.flatMap((text, i) => {
    const cases = FIELDS.map(([name, field, fate]) =>
      fieldCase(name, field, JSON.stringify(text.text), fate(text)),
    );
    const [name, field, fate] = FIELDS[i % FIELDS.length] ?? FIELDS[0] ?? assertNever();
    return text.text === '' ? cases : [...cases, fieldCase(name, field, escaped(text.text), fate(text))];
  });
}

function assertNever(): never {
  throw new RangeError('there are no fields');
}
