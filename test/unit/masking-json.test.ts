import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../src/clock.js';
import { parseMemberPath, parsePath } from '../../src/config/path.js';
import { PipelineError } from '../../src/errors.js';
import { readExact, writeJson } from '../../src/masking/json-tree.js';
import { compileLeakGate } from '../../src/masking/leak-gate.js';
import { compileMasker } from '../../src/masking/mask.js';
import { asMasked } from '../../src/masking/masked.js';
import type { ColumnPolicy, ColumnSpec, JsonMask, MaskSpec } from '../../src/masking/methods.js';
import { candidateTokens } from '../../src/masking/vault.js';
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

type Masks = Readonly<{ [path: string]: MaskSpec }>;
const keep = { method: 'keep' } as const;

/** A column of parts of the rest, or of the value at `from`. */
function parts(
  masks: Masks,
  { from = '$rest', others = 'drop', taken = [] as readonly string[] } = {},
): ColumnSpec {
  const stepsOf = (path: string) => {
    const steps = parseMemberPath(path);
    assert.ok(typeof steps !== 'string', path);
    return steps;
  };
  const place = parsePath(from);
  assert.ok(typeof place !== 'string');
  const members = Object.entries(masks).map(([at, mask]) => {
    assert.ok(mask.method !== 'json');
    return { at, path: from === '$rest' ? at : `${from}.${at}`, steps: stepsOf(at), mask };
  });
  const mask: JsonMask = {
    method: 'json',
    others: others === 'keep' ? 'keep' : 'drop',
    members,
    taken: taken.map(stepsOf),
  };
  const source = from === '$rest' ? ({ kind: 'rest' } as const) : ({ kind: 'path', ...place } as const);
  return column('rest', { path: from, type: 'jsonb', source, mask });
}

interface Outcome {
  readonly rows: readonly (string | null)[];
  readonly rejected: readonly string[];
  readonly dropped: number;
}

function mask(
  spec: ColumnSpec,
  bodies: readonly unknown[],
  options: Partial<ColumnPolicy> = {},
  others: readonly ColumnSpec[] = [],
): Outcome {
  const policy = policyOf([spec, ...others], options);
  const masker = compileMasker(policy, testKeyring(), systemClock);
  const batch = batchOf(bodies.map((body) => (typeof body === 'string' ? body : JSON.stringify(body))));
  const { masked, counts } = masker.mask(batch, candidateTokens(masker.wanted(batch)));
  compileLeakGate(policy, systemClock).check(batch, masked);
  return {
    rows: decodeCopy(masked.rows).map((row) => row[0] ?? null),
    rejected: masked.rejections.map(({ code, path }) => `${code} ${String(path)}`),
    dropped: counts.fieldsDropped,
  };
}

const siv = (value: string): string => tokenOracle(primaryMaster, 2, 'siv', 'd', 'text', value) ?? '';
const hmac = (value: string): string => tokenOracle(primaryMaster, 2, 'hmac', 'd', 'text', value) ?? '';

test('of a JSON value nothing is stored but what is named: masked, or kept as it is', () => {
  const spec = parts({
    status: keep,
    'user.email': token('siv'),
    'user.address.city': keep,
    'items[*].buyer': token('hmac'),
    'items[*].sku': keep,
    'orders[*].lines[*].name': token('siv'),
    shown: { method: 'constant', value: 'yes' },
    gone: { method: 'drop' },
    hidden: { method: 'null' },
    'cut.off': { method: 'drop' },
  });
  const body = {
    status: { deep: [1, null, 'kept'] },
    user: { email: ' ann@x.example ', name: 'Ann Secret', address: { city: 'Bonn', street: '1 Secret St' } },
    items: [{ buyer: 'bob', sku: 'a', note: 'secret' }, { sku: 'b' }, {}],
    orders: [{ lines: [{ name: 'n1', secret: 1 }, { name: null }] }, {}, { lines: [] }],
    shown: { any: 'secret' },
    gone: 'secret',
    hidden: ['secret'],
    other: 'secret',
    cut: { off: 'secret' },
  };
  const { rows, rejected, dropped } = mask(spec, [body]);
  assert.deepEqual(rejected, []);
  assert.deepEqual(JSON.parse(rows[0] ?? ''), {
    status: { deep: [1, null, 'kept'] },
    user: { email: siv('ann@x.example'), address: { city: 'Bonn' } },
    items: [{ buyer: hmac('bob'), sku: 'a' }, { sku: 'b' }, {}],
    orders: [{ lines: [{ name: siv('n1') }, { name: null }] }, {}, { lines: [] }],
    shown: 'yes',
    hidden: null,
  });
  // name, street, note, secret, other: what is named is known, also what is dropped by name.
  assert.equal(dropped, 5);
  assert.deepEqual(mask(spec, [body], { onUnknownField: 'quarantine' }).rejected, ['unknown_field *']);
  assert.deepEqual(mask(spec, [{ status: 1, user: { email: 'a' } }], { onUnknownField: 'quarantine' }), {
    rows: [`{"status":1,"user":{"email":"${siv('a')}"}}`],
    rejected: [],
    dropped: 0,
  });
});

test('what is in the way of a mask is no value of it: the record is rejected, whatever is kept around it', () => {
  const cases: readonly (readonly [unknown, string])[] = [
    [{ user: 'ann@x.example' }, 'wrong_type $rest'],
    [{ user: ['ann@x.example'] }, 'wrong_type $rest'],
    [{ user: 12 }, 'wrong_type $rest'],
    [{ user: { email: { value: 'ann' } } }, 'wrong_type user.email'],
    [{ user: { email: 7 } }, 'wrong_type user.email'],
    [{ user: { email: 1.5 } }, 'wrong_type user.email'],
    [{ user: { email: 'a\u0001' } }, 'bad_text user.email'],
    [{ items: { name: 'x' } }, 'wrong_type $rest'],
    [{ items: ['x'] }, 'wrong_type $rest'],
    [{ items: [{ name: ['x'] }] }, 'wrong_type items[*].name'],
  ];
  for (const others of ['drop', 'keep'] as const) {
    for (const kept of [{}, { user: keep, items: keep }]) {
      const spec = parts({ ...kept, 'user.email': token('siv'), 'items[*].name': token('siv') }, { others });
      for (const [body, expected] of cases)
        assert.deepEqual(mask(spec, [body]).rejected, [expected], JSON.stringify(body));
      assert.deepEqual(mask(spec, [{ user: null, items: [null] }]).rows, ['{"user":null,"items":[null]}']);
    }
  }
});

test('the rest is what no other column takes, at any depth; `everything` keeps it, but for what is masked', () => {
  const taken = ['user.email', 'items[0].name', 'dropped'];
  const others = [
    column('email', {
      source: { kind: 'path', name: 'user', steps: [{ member: 'email' }] },
      mask: token('siv'),
    }),
    column('first', { source: { kind: 'path', name: 'items', steps: [{ index: 0 }, { member: 'name' }] } }),
    column('dropped', { mask: { method: 'drop' } }),
  ];
  const steps = (path: string): string => path.replace('[0]', '[*]');
  const body = {
    user: { email: 'ann@x.example', phone: '555-0100', age: 7 },
    items: [{ name: 'first', n: 1 }, { name: 'second' }],
    dropped: 'a secret',
    other: [1.5],
    __proto__: null,
    ['constructor']: 'c',
  };
  const all = parts({ 'user.phone': token('siv') }, { others: 'keep', taken: taken.map(steps) });
  const stored = {
    user: { phone: siv('555-0100'), age: 7 },
    items: [{ n: 1 }, {}],
    other: [1.5],
    constructor: 'c',
  };
  const { rows, dropped } = mask(all, [body], {}, others);
  assert.deepEqual(JSON.parse(rows[0] ?? ''), stored);
  assert.equal(dropped, 0);
  const some = parts({ user: keep, items: keep }, { taken: taken.map(steps) });
  assert.deepEqual(JSON.parse(mask(some, [body], {}, others).rows[0] ?? ''), {
    user: { phone: '555-0100', age: 7 },
    items: [{ n: 1 }, {}],
  });
});

test('a named value is masked within, wherever it lies; an absent one is NULL', () => {
  const spec = parts({ email: token('siv'), '[*].x': keep, plan: keep }, { from: 'a.customer' });
  const bodies = [
    { a: { customer: { email: 'e', plan: 'p', name: 'secret' } } },
    { a: { customer: [{ x: 1, y: 'secret' }] } },
    { a: {} },
    { a: { customer: 'secret' } },
  ];
  assert.deepEqual(mask(spec, bodies), {
    rows: [`{"email":"${siv('e')}","plan":"p"}`, '[{"x":1}]', null],
    rejected: ['wrong_type a.customer'],
    dropped: 2,
  });
});

test('numbers keep their digits, the last of equal names counts, and names are names', () => {
  const spec = parts({ n: keep, 'm.e': token('siv'), __proto__x: keep }, { others: 'keep' });
  const cases: readonly (readonly [body: string, stored: string])[] = [
    ['{"n":1.50,"big":12345678901234567890,"e":1E400}', '{"n":1.50,"big":12345678901234567890,"e":1E400}'],
    ['{"n":[0.10,{"__proto__":1.0}],"n2":-0.0}', '{"n":[0.10,{"__proto__":1.0}],"n2":-0.0}'],
    ['{"n":"1.50","n":2.50}', '{"n":2.50}'],
    [
      `\ufeff {"n" : [ 1.0 , "a\\"b,{}" ] , "m" : {"e":"v"}}`,
      `{"n":[1.0,"a\\"b,{}"],"m":{"e":"${siv('v')}"}}`,
    ],
    ['{"__proto__":{"x":1},"m":{"__proto__":{"e":2}}}', '{"__proto__":{"x":1},"m":{"__proto__":{"e":2}}}'],
    ['{"__proto__":{"x":1.0}}', '{"__proto__":{"x":1.0}}'],
    ['{"x\\u0041":1.0,"é":"ü\\n"}', '{"xA":1.0,"é":"ü\\n"}'],
  ];
  for (const [body, stored] of cases) assert.deepEqual(mask(spec, [body]).rows, [stored], body);
  for (const body of ['{"n":"\\u0000"}', '{"n":["\\ud800"]}', '{"n":"\\u0000","x":1.5}'])
    assert.deepEqual(mask(spec, [body]).rejected, ['bad_text $rest'], body);
  assert.deepEqual(mask(spec, [`{"n":1e${'9'.repeat(6)}}`]).rejected, ['out_of_range $rest']);
  const buckets = parts({ 'a[*]': { method: 'bucket', width: '0.1' } });
  assert.deepEqual(mask(buckets, ['{"a":[0.30000000000000000001,7,null]}']).rows, [
    '{"a":["[0.3,0.4)","[7,7.1)",null]}',
  ]);
});

test('JSON that is read and written is the same to a parser, to the last digit', () => {
  const texts = [
    '{}',
    '[]',
    '[[],{}]',
    '"a"',
    '-1.5e+3',
    'true',
    'null',
    '{"a":{"a":[1,[2],{"b":"]}"}]}}',
    '{"":""}',
  ];
  for (const text of texts) assert.equal(writeJson(readExact(` ${text} `)), text);
  assert.equal(writeJson(readExact('{"a" : [1.0 ,\t2.50]\n, "b":false}')), '{"a":[1.0,2.50],"b":false}');
});

test('tokens of the vault are asked for all parts at once, each with its subject', () => {
  const vault = (subject: string | null): MaskSpec => ({
    ...token('siv'),
    method: 'vault',
    domain: 'v',
    subject: subject === null ? null : { name: subject, steps: [] },
  });
  const policy = policyOf([parts({ 'a[*]': vault('who'), b: vault(null) })]);
  const masker = compileMasker(policy, testKeyring(), systemClock);
  const batch = batchOf(['{"a":["x","y"],"b":"x","who":"w"}', '{"b":"z"}', '{"a":["q"],"who":{}}']);
  const wanted = masker.wanted(batch);
  // The subject of the third is no text.
  assert.deepEqual(
    wanted.map(({ subjects }) => subjects.length).toSorted((a, b) => a - b),
    [0, 1, 1],
  );
  const { masked } = masker.mask(batch, candidateTokens(wanted));
  assert.deepEqual(
    masked.rejections.map(({ code, path }) => [code, path]),
    [['wrong_type', 'a[*]']],
  );
  const [first] = decodeCopy(masked.rows).map(
    ([cell]) => JSON.parse(cell ?? '') as { a: string[]; b: string },
  );
  assert.match(first?.b ?? '', /^v2\./);
  assert.equal(first?.a[0], first?.b);
  assert.notEqual(first?.a[1], first?.b);
  assert.deepEqual(masked.kids, [2]);
});

test('the leak gate stops a batch whose JSON holds what a part masks, or no token where one must be', () => {
  const policy = policyOf([parts({ 'user.email': token('siv'), note: keep }), column('plain')]);
  const batch = batchOf(['{"user":{"email":"ann.secret@x.example"},"note":"n","plain":"p"}']);
  const { masked } = compileMasker(policy, testKeyring(), systemClock).mask(batch);
  const gate = compileLeakGate(policy, systemClock);
  gate.check(batch, masked);
  const texts: readonly (readonly [row: string, said: RegExp])[] = [
    ['{"user":{"email":"ann.secret@x.example"},"note":"n"}\tp\n', /what rest\.user\.email masks is in rest /],
    ['{"user":{"email":"zz"},"note":"n"}\tp\n', /what rest\.user\.email masks is in rest /],
    [`{"user":{"email":"${siv('e')}"},"note":"by ANN.SECRET@x.example"}\tp\n`, /is in rest /],
    [`{"user":{"email":"${siv('e')}"},"note":"n"}\tann.secret@x.example\n`, /is in plain /],
  ];
  for (const [row, said] of texts) {
    const leaking = { ...masked, rows: asMasked(Buffer.from(row)) };
    assert.throws(
      () => gate.check(batch, leaking),
      (error) => error instanceof PipelineError && error.code === 'leak_found' && said.test(error.message),
    );
  }
});
