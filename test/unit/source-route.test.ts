import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseBody } from '../../src/masking/body.js';
import { type RouteField, type RouteTable, routed } from '../../src/source/route.js';
import { jsonCases } from '../support/hostile-json.js';

const KIND: RouteField = { kind: 'body', path: ['kind'] };

const table = (rest: Partial<RouteTable> = {}): RouteTable => ({
  pipelines: ['logins', 'orders', 'rest'],
  entries: [
    { pipeline: 'logins', from: KIND, equals: ['login', '1', 'true'] },
    { pipeline: 'orders', from: { kind: 'body', path: ['order', 'lines', 0, 'a.b'] }, equals: ['x'] },
    { pipeline: 'rest', from: { kind: 'attribute', name: 'topic' }, equals: ['rest', 'login'] },
  ],
  otherwise: null,
  ...rest,
});

function of(body: string, attributes = {}, one = table()): readonly [string, string | undefined] {
  const { pipeline, record } = routed(one, { id: 'm', body }, attributes);
  assert.equal(record.body, body);
  return [pipeline, record.rejected];
}

test('a value in the body or in an attribute says whose a record is, the first that fits', () => {
  assert.deepEqual(of('{"kind":"login"}'), ['logins', undefined]);
  assert.deepEqual(of('\ufeff {"kind":"login"}'), ['logins', undefined]);
  assert.deepEqual(of('{"kind":1}'), ['logins', undefined]);
  assert.deepEqual(of('{"kind":1.0}'), ['logins', undefined]);
  assert.deepEqual(of('{"kind":true}'), ['logins', undefined]);
  assert.deepEqual(of('{"order":{"lines":[{"a.b":"x"}]}}'), ['orders', undefined]);
  assert.deepEqual(of('{}', { topic: 'rest' }), ['rest', undefined]);
  assert.deepEqual(of('not JSON', { topic: 'rest' }), ['rest', undefined]);
  assert.deepEqual(of('{"kind":"login"}', { topic: 'rest' }), ['logins', undefined]);
  // As JSON.parse has it, and the masks: the last of two.
  assert.deepEqual(of('{"kind":"other","kind":"login"}'), ['logins', undefined]);
});

test("what fits nothing is the default's, or the first one's as no_route", () => {
  const bodies = [
    '{}',
    '{"kind":null}',
    '{"kind":"Login"}',
    '{"kind":" login"}',
    '{"kind":["login"]}',
    '{"kind":{"kind":"login"}}',
    '{"order":{"lines":{"0":{"a.b":"x"}}}}',
    '{"toString":"login"}',
    '{"__proto__":{"kind":"login"}}',
  ];
  for (const body of bodies) {
    assert.deepEqual(of(body), ['logins', 'no_route'], body);
    assert.deepEqual(of(body, {}, table({ otherwise: 'rest' })), ['rest', undefined], body);
  }
  assert.deepEqual(of('{}', { kind: 'login', Topic: 'rest' }), ['logins', 'no_route']);
});

test('a record that could not be opened keeps its reason, and is not looked into', () => {
  for (const rejected of ['bad_envelope', 'too_large', 'object_gone'] as const) {
    const record = { id: 'm', body: '{"kind":"login"}', rejected };
    const one = table({ entries: table().entries.slice(1) });
    assert.deepEqual(routed(one, record, {}), { pipeline: 'logins', record });
    assert.deepEqual(routed(table({ otherwise: 'rest' }), record, {}), { pipeline: 'rest', record });
    assert.deepEqual(routed(table(), record, { topic: 'rest' }), { pipeline: 'rest', record });
  }
});

test('every body that is left to masking without a route is one that masking rejects', () => {
  const limits = { maxDepth: 1e9, maxBody: 1e9 };
  const bodies = [
    '',
    ' ',
    '[]',
    '1',
    'null',
    '"a"',
    '{',
    '{"kind":"login"',
    '\ufeff',
    ...jsonCases().map((one) => one.body),
  ];
  for (const body of bodies) {
    const [, rejected] = of(
      body,
      {},
      table({ entries: [{ pipeline: 'logins', from: KIND, equals: ['?'] }] }),
    );
    const masked = parseBody(body, limits);
    assert.equal(rejected === 'no_route', typeof masked !== 'string', JSON.stringify(body.slice(0, 80)));
  }
});
