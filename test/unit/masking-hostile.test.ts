import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../src/clock.js';
import { compileMasker } from '../../src/masking/mask.js';
import {
  batchOf,
  column,
  decodeCopy,
  policyOf,
  primaryMaster,
  testKeyring,
  token,
} from '../support/masking.js';
import { tokenOracle } from '../support/oracle.js';

/** What must become of a body: the kept field as it is to be stored (null: NULL), or the code and path of its rejection. */
type Outcome = { readonly kept: string | null } | { readonly code: string; readonly path: string | null };

const policy = policyOf(
  [
    column('k', { maxLength: 2000 }),
    column('m', { mask: token('siv', { domain: 'm' }) }),
    column('ip', { mask: token('siv', { domain: 'ip', as: 'ip' }) }),
    column('v', { type: 'version_int' }),
    column('n', { type: 'numeric' }),
    column('j', { type: 'jsonb' }),
    column('__proto__'),
    column('constructor'),
  ],
  { maxDepth: 32, maxBody: 100_000 },
);

const keeps = (text: string): readonly [string, Outcome] => [JSON.stringify({ k: text }), { kept: text }];
const refuses = (body: string, code: string, path: string | null = null): readonly [string, Outcome] => [
  body,
  { code, path },
];
const nested = (depth: number, open: string, close: string): string =>
  open.repeat(depth) + close.repeat(depth);

const bodies: readonly (readonly [string, Outcome])[] = [
  // Text that is no JSON.
  refuses('', 'not_json'),
  refuses(' ', 'not_json'),
  refuses('\ufeff', 'not_json'),
  refuses('\ufeff\ufeff{}', 'not_json'),
  refuses('undefined', 'not_json'),
  refuses('NaN', 'not_json'),
  refuses("{'k':1}", 'not_json'),
  refuses('{k:1}', 'not_json'),
  refuses('{"k":"a",}', 'not_json'),
  refuses('{"k":"a"} {"k":"b"}', 'not_json'),
  refuses('{"k":"a"}\0', 'not_json'),
  refuses('{"k":"a\tb"}', 'not_json'),
  refuses('{"k":"a\nb"}', 'not_json'),
  refuses('{"k":01}', 'not_json'),
  refuses('{"k":+1}', 'not_json'),
  refuses('{"k":.5}', 'not_json'),
  refuses('{"k":"\\x41"}', 'not_json'),
  refuses('{"k":"\\u12"}', 'not_json'),
  refuses('{"k":/* hi */1}', 'not_json'),
  refuses('<xml/>', 'not_json'),
  refuses('*1\r\n$4\r\nPING\r\n', 'not_json'),
  refuses('[['.repeat(40_000), 'not_json'),
  // JSON that is no object.
  refuses('null', 'not_object'),
  refuses('true', 'not_object'),
  refuses('0', 'not_object'),
  refuses('"{}"', 'not_object'),
  refuses('[]', 'not_object'),
  refuses('[{"k":"a"}]', 'not_object'),
  refuses(nested(40_000, '[', ']'), 'not_object'),
  // Depth and size.
  refuses(`{"x":${nested(32, '[', ']')}}`, 'too_deep'),
  [`{"x":${nested(31, '[', ']')}}`, { kept: null }],
  refuses(`{"x":${nested(40_000, '[', ']')}}`, 'too_deep'),
  refuses(`${'{"x":'.repeat(15_000)}1${'}'.repeat(15_000)}`, 'too_deep'),
  refuses(JSON.stringify({ x: 'a'.repeat(100_000) }), 'too_large'),
  refuses(JSON.stringify({ x: 'é'.repeat(50_000) }), 'too_large'),
  [JSON.stringify({ x: 'é'.repeat(49_000) }), { kept: null }],
  [`{${Array.from({ length: 8000 }, (_, i) => `"${i}":0`).join(',')}}`, { kept: null }],
  // Keys.
  ['{"k":"first","k":"last"}', { kept: 'last' }],
  ['{"k":"first","\\u006b":"last"}', { kept: 'last' }],
  ['{"K":"other case"}', { kept: null }],
  ['{"к":"look-alike"}', { kept: null }],
  ['{"__proto__":"text","k":"a"}', { kept: 'a' }],
  ['{"constructor":"text","k":"a"}', { kept: 'a' }],
  refuses('{"__proto__":{"k":"inherited"}}', 'wrong_type', '__proto__'),
  refuses('{"constructor":{"prototype":{"k":"inherited"}}}', 'wrong_type', 'constructor'),
  ['{"toString":1,"hasOwnProperty":2,"":3,"toJSON":4}', { kept: null }],
  ['{"x":{"__proto__":{"k":"inherited"}}}', { kept: null }],
  // Types and numbers.
  refuses('{"k":1}', 'wrong_type', 'k'),
  refuses('{"k":["a"]}', 'wrong_type', 'k'),
  refuses('{"m":12345678901234567890}', 'wrong_type', 'm'),
  refuses('{"m":false}', 'wrong_type', 'm'),
  refuses('{"n":"1e999999"}', 'out_of_range', 'n'),
  refuses('{"n":1e999999}', 'out_of_range', 'n'),
  ['{"n":1e400}', { kept: null }],
  refuses('{"j":{"a\\u0000":1}}', 'bad_text', 'j'),
  refuses('{"j":"\\ud800"}', 'bad_text', 'j'),
  refuses('{"v":"1.2.3.4"}', 'bad_version', 'v'),
  // Characters.
  refuses('{"k":"a\\u0000b"}', 'bad_text', 'k'),
  refuses('{"k":"\\ud800"}', 'bad_text', 'k'),
  refuses('{"k":"\\udc00\\ud800"}', 'bad_text', 'k'),
  refuses('{"m":"zero\\u200bwidth"}', 'bad_text', 'm'),
  refuses('{"m":"\\u202eright to left"}', 'bad_text', 'm'),
  refuses(`{"m":"${'\u0315\u0316'.repeat(12_000)}"}`, 'bad_text', 'm'),
  refuses(JSON.stringify({ k: 'x'.repeat(2001) }), 'too_long', 'k'),
  keeps('😀'.repeat(2000)),
  keeps('\u0001\u0008\u000b\u000c\u007f\u0085\u2028\u2029\ufeff\ufffd\uffff'),
  // What COPY, SQL, HTML, spreadsheets and logs might read into it.
  keeps('\\.'),
  keeps('\\N'),
  keeps('\\'),
  keeps('\n\\.\n'),
  keeps('a\tb\rc\nd\\te'),
  keeps("'; drop table user_logins; --"),
  keeps('$$||pg_sleep(10)||$$'),
  keeps('<script>alert(1)</script>'),
  keeps('=cmd|"/C calc"!A0'),
  keeps('%s%n${jndi:ldap://x}\u001b[31m'),
  // Addresses.
  ...[
    '127.1',
    '010.0.0.1',
    '1.2.3.4/32',
    'fe80::1%eth0',
    '1.2.3.4, 5.6.7.8',
    '１.２.３.４',
    '::1]',
    '0x7f000001',
  ].map((ip) => refuses(JSON.stringify({ ip }), 'bad_ip', 'ip')),
];

const neighbour = '{"k":"neighbour","m":"x"}';
const neighbourRow = ['neighbour', tokenOracle(primaryMaster, 2, 'siv', 'm', 'text', 'x'), null, null];

test('every hostile body has its own outcome, and its neighbours load', () => {
  assert.ok(bodies.length >= 60);
  const masker = compileMasker(policy, testKeyring(), systemClock);
  const all = bodies.flatMap(([body]) => [neighbour, body]);
  const { masked } = masker.mask(batchOf([...all, neighbour]));
  const rows = decodeCopy(masked.rows);
  const rowOf = new Map(masked.keys.map((key, i) => [key.message, rows[i]]));
  const rejectionOf = new Map(masked.rejections.map((rejection) => [rejection.message, rejection]));
  for (const [i, [body, outcome]] of bodies.entries()) {
    const message = 2 * i + 1;
    const name = `body ${i}: ${body.slice(0, 60)}`;
    const { code, path } = rejectionOf.get(message) ?? {};
    if ('code' in outcome) assert.deepEqual({ code, path }, outcome, name);
    else {
      assert.equal(code, undefined, name);
      assert.equal(rowOf.get(message)?.[0], outcome.kept, name);
    }
    assert.deepEqual(rowOf.get(message + 1)?.slice(0, 4), neighbourRow, name);
  }
  assert.deepEqual(Object.keys(Object.prototype), []);
});

test('each hostile body has the same outcome alone', () => {
  const masker = compileMasker(policy, testKeyring(), systemClock);
  for (const [body, outcome] of bodies) {
    const { masked } = masker.mask(batchOf([body]));
    const [rejection] = masked.rejections;
    const found = rejection
      ? { code: rejection.code, path: rejection.path }
      : { kept: decodeCopy(masked.rows)[0]?.[0] };
    assert.deepEqual(found, outcome, body.slice(0, 60));
  }
});

test('no outcome of a rejected body says anything of its text', () => {
  const masker = compileMasker(policy, testKeyring(), systemClock);
  const marked = [
    '{"k":"canary-1',
    '["canary-1"]',
    '{"canary-1":',
    '{"k":{"a":"canary-1"}}',
    '{"ip":"canary-1","canary-1":1}',
  ];
  const { masked } = masker.mask(batchOf(marked));
  assert.equal(masked.rejections.length, marked.length);
  const text = JSON.stringify(masked.rejections, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : value,
  );
  assert.ok(!text.includes('canary'));
});
