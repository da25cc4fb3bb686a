import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { compileMasker } from '../../src/masking/mask.js';
import type { ColumnSpec, TablePolicy } from '../../src/masking/methods.js';
import { maskOneByOne } from '../../src/masking/one-by-one.js';
import { batchOf, column, policyOf, testKeyring, token } from '../support/masking.js';

const each = { name: 'items', steps: [{ each: true }] } as const;

/** A column of `items[*].name`. */
function ofItem(name: string, options: Partial<ColumnSpec> = {}): ColumnSpec {
  const steps = [{ each: true }, { member: name }] as const;
  return column(name, {
    path: `items[*].${name}`,
    source: { kind: 'path', name: 'items', steps, within: 1 },
    ...options,
  });
}

const line = column('line', { path: '$index', source: { kind: 'meta', name: 'index' }, type: 'integer' });
const ITEMS: TablePolicy = {
  table: 'public.items',
  each: { path: 'items[*]', place: each },
  columns: [
    column('id', { required: true }),
    line,
    ofItem('sku', { required: true }),
    ofItem('price', { type: 'numeric' }),
  ],
};
const RESTRICTED: TablePolicy = {
  table: 'public.restricted',
  each: null,
  columns: [column('id'), column('email', { mask: token('siv', { domain: 'email' }) })],
};

function masked(
  bodies: readonly unknown[],
  further: readonly TablePolicy[] = [ITEMS, RESTRICTED],
  options = {},
) {
  const policy = policyOf([column('id', { required: true })], {
    several: { table: 'public.orders', further },
    ...options,
  });
  const masker = compileMasker(policy, testKeyring(), systemClock);
  const batch = batchOf(bodies.map((body) => (typeof body === 'string' ? body : JSON.stringify(body))));
  return { masker, batch, ...masker.mask(batch) };
}

function linesOf(rows: Buffer | undefined): readonly string[] {
  return (rows?.toString() ?? '').split('\n').slice(0, -1);
}

const ORDERS = [
  { id: 'a', email: 'a@x.org', items: [{ sku: 'x', price: 1 }, { sku: 'y' }] },
  { id: 'b', items: [] },
  { id: 'c' },
  { id: 'd', items: [{ sku: 'z', price: 2 }] },
];

test('each element of a list is a row beside what it has in common with the others of its record', () => {
  const { masked: made } = masked(ORDERS);
  assert.deepEqual(linesOf(made.rows), ['a', 'b', 'c', 'd']);
  const [items, restricted] = made.several?.further ?? [];
  assert.equal(made.several?.table, 'public.orders');
  assert.deepEqual(
    [items?.table, items?.columns, items?.records],
    ['public.items', ['id', 'line', 'sku', 'price'], [0, 0, 3]],
  );
  assert.deepEqual(linesOf(items?.rows), ['a\t0\tx\t1', 'a\t1\ty\t\\N', 'd\t0\tz\t2']);
  assert.deepEqual(restricted?.records, [0, 1, 2, 3]);
  assert.match(linesOf(restricted?.rows)[0] ?? '', /^a\t[a-z0-9]+_?.*$/);
  assert.ok(!String(restricted?.rows).includes('a@x.org'));
  assert.deepEqual(made.kids, [2]);
});

test('an element that can not be a row rejects its record, and no table gets a row of it', () => {
  const { masked: made } = masked([
    { id: 'a', items: [{ sku: 'x' }, { price: 1 }] },
    { id: 'b', items: [{ sku: 'y' }] },
    { id: 'c', items: 'none' },
    { id: 'd', items: ['scalar'] },
    { id: 'e', items: [null] },
  ]);
  assert.deepEqual(
    made.rejections.map(({ id, code, path }) => [id, code, path]),
    [
      ['message-0', 'missing_field', 'items[*].sku'],
      ['message-2', 'wrong_type', 'items[*]'],
      ['message-3', 'wrong_type', 'items[*].sku'],
      ['message-4', 'missing_field', 'items[*].sku'],
    ],
  );
  assert.deepEqual(linesOf(made.rows), ['b']);
  for (const { records } of made.several?.further ?? []) assert.deepEqual(records, [0]);
});

test('a rejection by a later table takes the rows out of those before it', () => {
  const strict: TablePolicy = { ...RESTRICTED, columns: [column('email', { required: true })] };
  const { masked: made } = masked(ORDERS, [ITEMS, strict]);
  assert.deepEqual(linesOf(made.rows), ['a']);
  assert.deepEqual(made.several?.further[0]?.records, [0, 0]);
});

test('numbers of elements keep the digits that were sent', () => {
  const body = '{"id":"a","items":[{"sku":"x","price":1.50},{"sku":"y","price":12345678901234567890.10}]}';
  const { masked: made } = masked([body]);
  assert.deepEqual(linesOf(made.several?.further[0]?.rows), [
    'a\t0\tx\t1.50',
    'a\t1\ty\t12345678901234567890.10',
  ]);
});

test('what a record without elements lacks of a table that has no row of it is no fault', () => {
  const needy: TablePolicy = { ...ITEMS, columns: [column('customer', { required: true }), ofItem('sku')] };
  const { masked: made } = masked(
    [
      { id: 'a', items: [] },
      { id: 'b', items: [{ sku: 'x' }] },
    ],
    [needy],
  );
  assert.deepEqual(linesOf(made.rows), ['a']);
  assert.deepEqual(
    made.rejections.map(({ path }) => path),
    ['customer'],
  );
});

test('a field that any table takes is known', () => {
  const orders = [ORDERS[0], { id: 'b', items: [{ sku: 'x', colour: 'red' }] }];
  const { masked: made } = masked(orders, [ITEMS, RESTRICTED], { onUnknownField: 'quarantine' });
  assert.deepEqual(
    made.rejections.map(({ id, code }) => [id, code]),
    [['message-1', 'unknown_field']],
  );
});

test('a list that rows are made of is known, though no column takes a thing of its elements', () => {
  const numbers: TablePolicy = { ...ITEMS, columns: [column('id'), line] };
  const bodies = [
    { id: 'a', items: ['x', 'y'] },
    { id: 'b', items: [{ colour: 'red' }] },
  ];
  const { masked: made } = masked(bodies, [numbers], { onUnknownField: 'quarantine' });
  assert.deepEqual(linesOf(made.several?.further[0]?.rows), ['a\t0', 'a\t1']);
  assert.deepEqual(
    made.rejections.map(({ id, code }) => [id, code]),
    [['message-1', 'unknown_field']],
  );
});

test('a body whose rows would be many times as large is too large', () => {
  const wide: TablePolicy = { ...ITEMS, columns: [column('note'), ofItem('sku')] };
  const body = { id: 'a', note: 'n'.repeat(20_000), items: Array.from({ length: 2_000 }, () => ({})) };
  const { masked: made } = masked(
    [body, ORDERS[0], { id: 'm', items: Array.from({ length: 10_001 }, () => ({})) }],
    [wide],
  );
  assert.deepEqual(
    made.rejections.map(({ id, code, path }) => [id, code, path]),
    [
      ['message-0', 'too_large', 'items[*]'],
      ['message-2', 'too_large', 'items[*]'],
    ],
  );
});

test('masked record by record, the tables have the same rows of the same records', async () => {
  const { masker, batch, masked: whole } = masked([...ORDERS, 'no JSON', { id: 'e', items: [{ sku: 'e' }] }]);
  const { masked: joined } = await maskOneByOne(masker, batch, new Set(), async () => {});
  assert.deepEqual(joined.several, whole.several);
});
