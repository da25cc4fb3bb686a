import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../src/clock.js';
import { parsePath } from '../../src/config/path.js';
import { compileMasker } from '../../src/masking/mask.js';
import type { ColumnPolicy, ColumnSource, ColumnSpec } from '../../src/masking/methods.js';
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

/** The source that `from` is. */
function sourceOf(from: string): ColumnSource {
  const path = parsePath(from);
  assert.ok(typeof path !== 'string', from);
  return path.steps.length === 0 ? { kind: 'field', name: path.name } : { kind: 'path', ...path };
}

const at = (from: string, options: Partial<ColumnSpec> = {}): ColumnSpec =>
  column('c', { path: from, source: sourceOf(from), ...options });

interface Outcome {
  readonly rows: (string | null)[];
  readonly rejected: readonly string[];
  readonly dropped: number;
}

function mask(spec: ColumnSpec, bodies: readonly string[], options: Partial<ColumnPolicy> = {}): Outcome {
  const masker = compileMasker(policyOf([spec], options), testKeyring(), systemClock);
  const { masked, counts } = masker.mask(batchOf(bodies));
  return {
    rows: decodeCopy(masked.rows).map((row) => row[0] ?? null),
    rejected: masked.rejections.map(({ code, path }) => `${code} ${String(path)}`),
    dropped: counts.fieldsDropped,
  };
}

const siv = (domain: string, value: string): string | null =>
  tokenOracle(primaryMaster, 2, 'siv', domain, 'text', value);

test('a path is read as it is written, and what is none is said where', () => {
  const good: readonly (readonly [string, unknown])[] = [
    ['a', { name: 'a', steps: [] }],
    ['odd name-1', { name: 'odd name-1', steps: [] }],
    ['a.b.c', { name: 'a', steps: [{ member: 'b' }, { member: 'c' }] }],
    ['a[0][12].b', { name: 'a', steps: [{ index: 0 }, { index: 12 }, { member: 'b' }] }],
    ['a[*].b', { name: 'a', steps: [{ each: true }, { member: 'b' }] }],
    ['a[*][*]', { name: 'a', steps: [{ each: true }, { each: true }] }],
    ['["a.b"]["c\\"[*]"]', { name: 'a.b', steps: [{ member: 'c"[*]' }] }],
    ['["$x"]', { name: '$x', steps: [] }],
    ['a[""]', { name: 'a', steps: [{ member: '' }] }],
    ['__proto__.constructor', { name: '__proto__', steps: [{ member: 'constructor' }] }],
  ];
  for (const [text, path] of good) assert.deepEqual(parsePath(text), path, text);
  const bad: readonly (readonly [string, RegExp])[] = [
    ['a.', /lacks a name .* at character 2/],
    ['a..b', /lacks a name .* at character 2/],
    ['a.[0]', /lacks a name .* at character 2/],
    ['.a', /lacks a name .* at character 1/],
    ['*', /cannot go on at character 1/],
    ['a*b', /cannot go on at character 2/],
    ['a]', /cannot go on at character 2/],
    ['a[0]b', /cannot go on at character 5/],
    ['a[-1]', /needs an index, .* at character 2/],
    ['a[01]', /needs an index/],
    ['a[b]', /needs an index/],
    ["a['b']", /needs an index/],
    ['a["b\\x"]', /needs an index/],
    ['a[', /needs an index/],
    ['[0].a', /must begin with the name of a field/],
    ['[*]', /must begin with the name of a field/],
  ];
  for (const [text, wrong] of bad) {
    const path = parsePath(text);
    assert.ok(typeof path === 'string', text);
    assert.match(path, wrong, text);
  }
});

test('a nested value is masked and kept as one at the top is', () => {
  const bodies = ['{"a":{"b":[{"c":"x"},{"c":" y "}]}}'];
  assert.deepEqual(mask(at('a.b[1].c'), bodies).rows, [' y ']);
  assert.deepEqual(mask(at('a.b[1].c', { mask: token('siv') }), bodies).rows, [siv('d', 'y')]);
});

test('nothing on the way is no value; something else on the way is a rejection', () => {
  const absent = ['{}', '{"a":null}', '{"a":{}}', '{"a":{"b":null}}', '{"a":{"b":[]}}', '{"a":{"b":[null]}}'];
  assert.deepEqual(
    mask(at('a.b[0].c'), absent).rows,
    absent.map(() => null),
  );
  assert.deepEqual(
    mask(at('a.b[0].c', { required: true }), absent).rejected,
    absent.map(() => 'missing_field a.b[0].c'),
  );
  const wrong = [
    '{"a":"x"}',
    '{"a":[]}',
    '{"a":7}',
    '{"a":{"b":{}}}',
    '{"a":{"b":"xyz"}}',
    '{"a":{"b":[false]}}',
  ];
  assert.deepEqual(
    mask(at('a.b[0].c'), wrong).rejected,
    wrong.map(() => 'wrong_type a.b[0].c'),
  );
});

test('of members of one name the last counts, at every level', () => {
  const body = '{"a":{"b":"old"},"a":{"b":"x","c":1,"b":"y"}}';
  assert.deepEqual(mask(at('a.b'), [body]).rows, ['y']);
  assert.deepEqual(mask(at('a.b'), ['{"a":{"b":"old"},"a":{}}']).rows, [null]);
});

test('names of prototypes are names of members, and never inherited', () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length'];
  for (const name of names) {
    assert.deepEqual(
      mask(at(`a.${name}`), ['{"a":{}}', `{"a":{"${name}":"own"}}`]).rows,
      [null, 'own'],
      name,
    );
    assert.deepEqual(mask(at(`${name}.b`), ['{}', `{"${name}":{"b":"own"}}`]).rows, [null, 'own'], name);
  }
});

test('nested numbers keep the digits that were sent, in lists too', () => {
  const body =
    '{"a":{"n":9.99},"a":{"n":1.50,"l":[{"n":0.10},{"m":2.20,"n":12345678901234567890.10},{"n":3.30,"n":[4.40]},{}]}}';
  assert.deepEqual(mask(at('a.n', { type: 'numeric' }), [body]).rows, ['1.50']);
  assert.deepEqual(mask(at('a.l[1].n', { type: 'numeric' }), [body]).rows, ['12345678901234567890.10']);
  assert.deepEqual(mask(at('a.l[2].n', { type: 'jsonb' }), [body]).rows, ['[4.40]']);
  assert.deepEqual(mask(at('a.l[*].n', { type: 'jsonb' }), [body]).rows, [
    '[0.10,12345678901234567890.10,[4.40],null]',
  ]);
  assert.deepEqual(
    mask(at('a.l[*].n', { type: 'jsonb' }), ['{"a":{"l":[{"n":" "},{"n":{"x":1.50}}]}}']).rows,
    ['[" ",{"x":1.50}]'],
  );
});

test('a list becomes a JSON array of tokens, or an array of texts, each element in its place', () => {
  const tokens = token('siv', { domain: 'mail' });
  const body = '{"u":{"c":[{"e":"a@x.org"},{},{"e":null},{"e":" b@x.org"},{"e":""},{"e":"a@x.org"}]}}';
  const [a, b] = [siv('mail', 'a@x.org'), siv('mail', 'b@x.org')];
  const expected = [a, null, null, b, null, a];
  const json = mask(at('u.c[*].e', { type: 'jsonb', mask: tokens }), [body, '{"u":{"c":[]}}', '{"u":{}}']);
  assert.deepEqual(
    json.rows.map((row) => (row === null ? null : (JSON.parse(row) as unknown))),
    [expected, [], null],
  );
  const texts = mask(at('u.c[*].e', { type: 'text[]', mask: tokens }), [body, '{"u":{"c":[]}}']);
  assert.deepEqual(texts.rows, [`{"${a}",NULL,NULL,"${b}",NULL,"${a}"}`, '{}']);
  assert.deepEqual(
    mask(at('u[*]', { type: 'text[]' }), ['{"u":["a\\"b\\\\","NULL","{,}","\\n\\\\N"]}']).rows,
    ['{"a\\"b\\\\","NULL","{,}","\n\\\\N"}'],
  );
});

test('one refused element refuses the record; a list that is none is refused, and a required one needs a value', () => {
  const spec = at('u[*].e', { type: 'jsonb', mask: token('siv', { as: 'ip' }), required: true });
  const { rejected, rows } = mask(spec, [
    '{"u":[{"e":"1.2.3.4"},{"e":"nowhere"}]}',
    '{"u":[{"e":"1.2.3.4"},{"e":7}]}',
    '{"u":{"e":"1.2.3.4"}}',
    '{"u":"1.2.3.4"}',
    '{"u":[["e"]]}',
    '{"u":[]}',
    '{"u":[{},{"e":null},{"e":" "}]}',
    '{"u":[{"e":"1.2.3.4"}]}',
  ]);
  assert.deepEqual(rejected, [
    'bad_ip u[*].e',
    'wrong_type u[*].e',
    'wrong_type u[*].e',
    'wrong_type u[*].e',
    'wrong_type u[*].e',
    'missing_field u[*].e',
    'missing_field u[*].e',
  ]);
  assert.equal(rows.length, 1);
});

test('an element that is no object refuses the record of a kept list too', () => {
  const { rejected } = mask(at('u[*].e', { type: 'jsonb' }), ['{"u":[{"e":1.50},"x"]}']);
  assert.deepEqual(rejected, ['wrong_type u[*].e']);
});

test('arrays within arrays are one list, digits and places of their elements kept', () => {
  const body = '{"a":[{"b":[1.50,null]},{"b":[]},{},{"b":null},{"b":[2.0]}]}';
  assert.deepEqual(mask(at('a[*].b[*]', { type: 'jsonb' }), [body, '{"a":[]}', '{}']).rows, [
    '[1.50,null,2.0]',
    '[]',
    null,
  ]);
  const texts = '{"a":[["x","y"],[],["z"]]}';
  assert.deepEqual(mask(at('a[*][*]', { type: 'text[]', mask: token('siv') }), [texts]).rows, [
    `{"${String(siv('d', 'x'))}","${String(siv('d', 'y'))}","${String(siv('d', 'z'))}"}`,
  ]);
  for (const bad of ['{"a":[{"b":1}]}', '{"a":[{"b":[1]},2]}', '{"a":{"b":[1]}}'])
    assert.deepEqual(mask(at('a[*].b[*]', { type: 'jsonb' }), [bad]).rejected, ['wrong_type a[*].b[*]'], bad);
});

test('a field is known when a column or an entity takes it; one beside it in an object is not', () => {
  const body = '{"a":{"b":"x","secret":"y"},"other":1,"user":{"id":"u"},"day":"2024-01-01"}';
  assert.equal(mask(at('a.b'), [body]).dropped, 4);
  assert.equal(mask(at('a', { type: 'jsonb' }), [body]).dropped, 3);
  const beside = '{"a":{"b":"x","c":"y"}}';
  assert.deepEqual(mask(at('a.b'), [beside], { onUnknownField: 'quarantine' }).rejected, ['unknown_field *']);
  const within = '{"a":[{"b":"x"},{"b":"x","c":1},3]}';
  assert.equal(mask(at('a[*].b', { type: 'jsonb' }), [within.replace(',3', '')]).dropped, 1);
  assert.deepEqual(mask(at('a.b'), [body], { onUnknownField: 'quarantine' }).rejected, ['unknown_field *']);
  const entity = { name: 'user', steps: [{ member: 'id' }] };
  const spec = at('day', { type: 'date', mask: { method: 'date-shift', domain: 'd', entity, days: 3 } });
  assert.equal(mask(spec, [body]).dropped, 2);
  assert.deepEqual(mask(spec, [body, '{"day":"2024-01-01"}', '{"day":"2024-01-01","user":"u"}']).rejected, [
    'missing_field day',
    'wrong_type day',
  ]);
});

test('sentinels become NULL, counted, compared as the column compares values', () => {
  const run = (
    spec: ColumnSpec,
    bodies: readonly string[],
  ): readonly [(string | null)[], number, readonly string[]] => {
    const { masked, counts } = compileMasker(policyOf([spec]), testKeyring(), systemClock).mask(
      batchOf(bodies),
    );
    const rows = decodeCopy(masked.rows).map((row) => row[0] ?? null);
    return [rows, counts.normalized.sentinel_to_null, masked.rejections.map(({ code }) => code)];
  };
  const ip = token('siv', { as: 'ip' });
  const isToken = ([rows]: readonly [(string | null)[], ...unknown[]]): boolean[] =>
    rows.map((row) => row !== null);
  const addresses = run(column('c', { mask: ip, sentinels: ['unknown', '0.0.0.0', '::'] }), [
    '{"c":"0.0.0.0"}',
    '{"c":" ::ffff:0:0"}',
    '{"c":"0:0::"}',
    '{"c":"unknown"}',
    '{"c":"0.0.0.1"}',
  ]);
  assert.deepEqual([isToken(addresses), addresses[1]], [[false, false, false, false, true], 4]);
  const texts = run(column('c', { mask: token('siv', { lower: true }), sentinels: ['N/A', 'Ünknown'] }), [
    '{"c":" n/a "}',
    '{"c":"U\\u0308NKNOWN"}',
    '{"c":"n / a"}',
    '{"c":7}',
  ]);
  assert.deepEqual([isToken(texts), texts[1], texts[2]], [[false, false, true], 2, ['wrong_type']]);
  assert.deepEqual(
    run(column('c', { type: 'numeric', sentinels: ['-1', '0.0'] }), [
      '{"c":-1.00}',
      '{"c":0e9}',
      '{"c":-1.01}',
    ]),
    [[null, null, '-1.01'], 2, []],
  );
  assert.deepEqual(run(column('c', { sentinels: ['x'] }), ['{"c":"x "}', '{"c":" y"}']), [
    [null, ' y'],
    1,
    [],
  ]);
  assert.deepEqual(run(column('c', { sentinels: ['x'], required: true }), ['{"c":"x"}']), [
    [],
    1,
    ['missing_field'],
  ]);
  assert.deepEqual(
    run(at('l[*]', { type: 'jsonb', sentinels: ['x'], mask: { method: 'partial', kind: 'email' } }), [
      '{"l":["x","ab@c.de"]}',
    ]),
    [['[null,"a***@c.de"]'], 1, []],
  );
});

test('$mask_kid is the key id of its row, and a batch of format-keeping masks names it', () => {
  const kid = column('kid', {
    path: '$mask_kid',
    source: { kind: 'meta', name: 'mask_kid' },
    type: 'integer',
  });
  const pfx = column('ip', { type: 'inet', mask: { method: 'ipcrypt-pfx', domain: 'ip' } });
  const masker = compileMasker(policyOf([kid, pfx]), testKeyring(), systemClock);
  const { masked, counts } = masker.mask(batchOf(['{"ip":"1.2.3.4"}', '{}']));
  assert.deepEqual(
    decodeCopy(masked.rows).map((row) => row[0]),
    ['2', '2'],
  );
  assert.deepEqual(masked.kids, [2]);
  assert.deepEqual(counts.masked, { 'ipcrypt-pfx': 1 });
  assert.deepEqual(masker.mask(batchOf(['{}'])).masked.kids, []);
});

test('one field feeds several columns, each with a mask of its own', () => {
  const source = { kind: 'field', name: 'ip' } as const;
  const columns = [
    column('masked_ip', { source, mask: token('siv', { domain: 'ip', as: 'ip' }) }),
    column('ip_prefix', { source, type: 'inet', mask: { method: 'ip-truncate', v4: 24, v6: 48 } }),
    column('ip_version', { source, type: 'integer', mask: { method: 'generalize', to: 'ip_version' } }),
  ];
  const { masked, counts } = compileMasker(policyOf(columns), testKeyring(), systemClock).mask(
    batchOf(['{"ip":"192.0.2.77"}', '{"ip":"2001:db8:1:2::3"}']),
  );
  const token1 = tokenOracle(primaryMaster, 2, 'siv', 'ip', 'ip', '192.0.2.77');
  const token2 = tokenOracle(primaryMaster, 2, 'siv', 'ip', 'ip', '2001:db8:1:2::3');
  assert.deepEqual(decodeCopy(masked.rows), [
    [token1, '192.0.2.0', '4'],
    [token2, '2001:db8:1::', '6'],
  ]);
  assert.deepEqual(counts.masked, { siv: 2, 'ip-truncate': 2, generalize: 2 });
  assert.equal(counts.fieldsDropped, 0);
});
