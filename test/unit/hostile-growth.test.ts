import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { compileMasker } from '../../src/masking/mask.js';
import { EVERY_POLICY, eventBody } from '../support/hostile-case.js';
import { hostileBatch } from '../support/hostile-check.js';
import { column, policyOf, testKeyring } from '../support/masking.js';

const SMALL = 12 * 1024;
const TIMES = 16;
/** Work that grows with the input takes 16 times as long; were it quadratic, 256 times. */
const MAX_RATIO = 60;
/** Below this the clock and the machine's other work decide, and no attack is worth its while. */
const NEGLIGIBLE_MS = 25;
const ATTEMPTS = 4;
/** Nothing here takes a second; what takes so long needs no second look. */
const HOPELESS_MS = 5_000;
const ids = {
  batchId: '01890a5d-ac96-774b-bcce-b302099a8057',
  runId: '01890a5d-ac96-774b-bcce-b302099a8058',
};

const masker = compileMasker(EVERY_POLICY, testKeyring(), systemClock);
const quoted = (text: string): string => JSON.stringify(text);
const filled = (part: string, size: number): string => part.repeat(Math.ceil(size / part.length));

/** Texts of about so many characters that have made parsers and regular expressions slow. */
const TEXTS: Readonly<{ [shape: string]: (size: number) => string }> = {
  'combining marks': (size) => filled('\u0315\u0316\u0300', size),
  'marks just below the limit': (size) => filled(`a${'\u0316\u0300'.repeat(63)}`, size),
  'composed letters': (size) => filled('\u1e69\u212b', size),
  jamo: (size) => filled('\u1100\u1161\u11a8', size),
  digits: (size) => filled('1', size),
  'digits and then none': (size) => `${filled('1', size)}x`,
  'a fraction and then none': (size) => `1.${filled('1', size)}x`,
  'an exponent': (size) => `1e${filled('9', size)}`,
  dots: (size) => filled('1.', size),
  colons: (size) => filled('1:', size),
  'double colons': (size) => filled('::', size),
  slashes: (size) => `1.2.3.4${filled('/', size)}`,
  'a date and digits': (size) => `2024-02-29T00:00:00.${filled('0', size)}`,
  hyphens: (size) => filled('-', size),
  'white space at the ends': (size) => `${filled(' \t', size / 2)}x${filled('\n ', size / 2)}`,
  'white space': (size) => filled(' ', size),
  backslashes: (size) => filled('\\', size),
  'backslashes and u': (size) => filled('\\\\u000', size),
  quotes: (size) => filled('"', size),
  'tabs and newlines': (size) => filled('\t\n\r\\.', size),
  'surrogate pairs': (size) => filled('😀', size),
  'capitals that fold': (size) => filled('İẞ', size),
};

/** JSON values of about so many characters. */
const VALUES: Readonly<{ [shape: string]: (size: number) => string }> = {
  'many members': (size) => `{${Array.from({ length: size / 12 }, (_, i) => `"k${i}":1.5`).join(',')}}`,
  'members of one name': (size) => `{${filled('"a":{"b":[1.5]},', size)}"a":1}`,
  'objects in objects of one name': (size) => `{${filled('"a":{"a":1,"a":2},', size)}"a":1.5}`,
  'escaped names': (size) => `{${filled('"\\u0061\\u0062":1.5,', size)}"a":1}`,
  numbers: (size) => `[${filled('1e-3,12345678901234567890,', size)}0]`,
  'long exponents': (size) => `[${filled('1e0009,', size)}0]`,
  'one number': (size) => `1.${filled('1', Math.min(size, 16_000))}`,
  'short texts': (size) => `[1.5,${filled('"\\u0001\\"",', size)}0]`,
  'flat lists': (size) => `[${filled('[],{},', size)}1.5]`,
  'deep lists': (size) => `${'['.repeat(size / 2)}${']'.repeat(size / 2)}`,
  'deep members that are replaced': (size) => `{"a":${'['.repeat(size / 2)}${']'.repeat(size / 2)},"a":1.5}`,
  'open brackets': (size) => filled('[', size),
  'open braces': (size) => filled('{"a":', size),
  commas: (size) => filled(',', size),
};

/** Whole bodies, in which all fields are of one shape. */
function textBody(text: string): string {
  const json = quoted(text);
  const fields = [
    'kept',
    'int',
    'num',
    'day',
    'at',
    'uid',
    'net',
    'ver',
    'secret',
    'folded',
    'addr',
    'hashed',
  ];
  return eventBody({ ...Object.fromEntries(fields.map((name) => [name, json])), user_id: null, doc: json });
}

/** Each column is offered the value alone, too: the first that refuses would keep it from the others. */
function bodiesOf(json: string): readonly string[] {
  return [
    'kept',
    'int',
    'num',
    'day',
    'at',
    'uid',
    'net',
    'doc',
    'ver',
    'secret',
    'folded',
    'addr',
    'hashed',
  ].map((name) => eventBody({ [name]: json }));
}

/** CPU time, since what else the machine does must not count. */
function msFor(bodies: readonly string[], by = masker): number {
  const from = process.cpuUsage();
  for (const body of bodies) by.mask(hostileBatch('every', [body], ids, 'm'));
  const { user, system } = process.cpuUsage(from);
  return (user + system) / 1_000;
}

/** Collecting garbage can make one measurement slow; it does not happen to all of them. */
function assertLinear(shape: string, bodies: (size: number) => readonly string[], by = masker): void {
  const [small, large] = [bodies(SMALL), bodies(SMALL * TIMES)];
  msFor(small, by);
  let best = Infinity;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const largeMs = msFor(large, by);
    assert.ok(largeMs < HOPELESS_MS, `${shape}: it takes ${largeMs.toFixed(0)} ms`);
    best = Math.min(best, largeMs < NEGLIGIBLE_MS ? 0 : largeMs / msFor(small, by));
    if (best < MAX_RATIO) return;
  }
  assert.fail(`${shape}: ${TIMES} times the size takes ${best.toFixed(0)} times as long`);
}

for (const [shape, text] of Object.entries(TEXTS)) {
  test(`the time a record takes grows with its size, not faster: ${shape}`, () => {
    assertLinear(shape, (size) => [...bodiesOf(quoted(text(size))), textBody(text(size / 16))]);
  });
}

for (const [shape, value] of Object.entries(VALUES)) {
  test(`the time a record takes grows with its size, not faster: ${shape}`, () => {
    assertLinear(shape, (size) => [
      eventBody({ doc: value(size) }),
      eventBody({ num: value(size) }),
      value(size),
    ]);
  });
}

const LISTS: Readonly<{ [shape: string]: (size: number) => string }> = {
  'elements of a list': (size) => `{"a":[${filled('1,', size)}0]}`,
  'elements of a list whose last has a fraction': (size) => `{"a":[${filled('1,', size)}0.50]}`,
};
const listed = compileMasker(
  policyOf([
    column('a', {
      path: 'a[*]',
      source: { kind: 'path', name: 'a', steps: [{ each: true }] },
      type: 'jsonb',
    }),
  ]),
  testKeyring(),
  systemClock,
);

for (const [shape, body] of Object.entries(LISTS)) {
  test(`the time a record takes grows with its size, not faster: ${shape}`, () => {
    assertLinear(shape, (size) => [body(size)], listed);
  });
}
