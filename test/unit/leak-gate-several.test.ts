import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Batch, FurtherRows, MaskedBatch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { compileLeakGate } from '../../src/masking/leak-gate.js';
import { compileMasker } from '../../src/masking/mask.js';
import { asMasked } from '../../src/masking/masked.js';
import type { ColumnPolicy, ColumnSpec, TablePolicy } from '../../src/masking/methods.js';
import { batchOf, column, policyOf, testKeyring, token } from '../support/masking.js';

/** A column of `LIST[*].NAME`. */
function ofElement(list: string, name: string, options: Partial<ColumnSpec> = {}): ColumnSpec {
  const steps = [{ each: true }, { member: name }] as const;
  const path = `${list}[*].${name}`;
  return column(name, { path, source: { kind: 'path', name: list, steps, within: 1 }, ...options });
}

function listOf(table: string, list: string, columns: readonly ColumnSpec[]): TablePolicy {
  return { table, columns, each: { path: `${list}[*]`, place: { name: list, steps: [{ each: true }] } } };
}

const ITEMS = listOf('public.items', 'items', [
  column('id'),
  ofElement('items', 'serial', { mask: token('siv') }),
  ofElement('items', 'note'),
]);
const PAYMENTS = listOf('public.payments', 'payments', [ofElement('payments', 'memo')]);
const POLICY = policyOf(
  [column('id'), column('remark'), column('email', { mask: token('siv', { domain: 'mail' }) })],
  { several: { table: 'public.orders', further: [ITEMS, PAYMENTS] } },
);

type Body = Readonly<{ [name: string]: unknown }>;

function masked(bodies: readonly Body[], policy: ColumnPolicy = POLICY): [Batch, MaskedBatch] {
  const batch = batchOf(bodies.map((body) => JSON.stringify(body)));
  return [batch, compileMasker(policy, testKeyring(), systemClock).mask(batch).masked];
}

/** What the gate says of a batch, or null when it lets it pass. */
function said([batch, rows]: [Batch, MaskedBatch], policy: ColumnPolicy = POLICY): string | null {
  try {
    compileLeakGate(policy, systemClock).check(batch, rows);
    return null;
  } catch (error) {
    assert.ok(error instanceof PipelineError && error.code === 'leak_found', String(error));
    return error.message;
  }
}

const MAIL = 'ann.example@mail.test';
const SERIAL = 'SN-83-71-55';

test('rows of several tables without a raw value pass, whatever lists there are', () => {
  const bodies = [
    {
      id: 'a',
      email: MAIL,
      items: [{ serial: SERIAL, note: 'blue' }, { serial: 'SN-11-22-33' }],
      payments: [],
    },
    { id: 'b', items: [], payments: [{ memo: 'paid' }, { memo: null }] },
    { id: 'c', items: 'no list' },
    { id: 'd' },
  ];
  const [batch, rows] = masked(bodies);
  assert.equal(rows.rejections.length, 1);
  assert.equal(said([batch, rows]), null);
});

test('what one table masks is found in the rows of another, of any element', () => {
  const filler = { id: 'x', email: 'else@mail.test', items: [{ serial: 'SN-00-12-34', note: 'n' }] };
  const cases: readonly (readonly [Body, RegExp])[] = [
    [
      { email: MAIL, items: [{}, { note: `for ${MAIL}` }] },
      /what email masks is in public\.items\.note \(1 of 2/,
    ],
    [
      { items: [{ serial: SERIAL }, { note: SERIAL }] },
      /what public\.items\.serial masks is in public\.items\.note/,
    ],
    [{ items: [{}, { serial: SERIAL }], remark: SERIAL }, /what public\.items\.serial masks is in remark/],
    [
      { items: [{ serial: SERIAL }], payments: [{ memo: SERIAL }] },
      /serial masks is in public\.payments\.memo/,
    ],
  ];
  for (const [body, expected] of cases) {
    const message = said(masked([filler, body]));
    assert.match(message ?? 'passed', expected);
    assert.ok(!message?.includes(MAIL) && !message?.includes(SERIAL), 'the message quotes nothing');
  }
});

test('an id is found in the further rows of another record, and a shorter value only in those of its own', () => {
  assert.match(said(masked([{ email: MAIL }, { items: [{ note: MAIL }] }])) ?? '', /what email masks/);
  assert.equal(said(masked([{ items: [{ serial: SERIAL }] }, { items: [{ note: SERIAL }] }])), null);
});

test('a kept column of elements that repeats a masked one is found, however short its values are', () => {
  const items = Array.from({ length: 60 }, (_, i) => ({ serial: `s${i}`, note: `S${i}` }));
  assert.match(said(masked([{ items }])) ?? '', /what public\.items\.serial masks is in public\.items\.note/);
  const shifted = items.map(({ serial }, i) => ({ serial, note: `s${(i + 1) % 60}` }));
  assert.equal(said(masked([{ items: shifted }])), null);
  // The same list in two tables: an element is compared with itself.
  const notes = listOf('public.notes', 'items', [ofElement('items', 'note')]);
  const serials = listOf('public.serials', 'items', [ofElement('items', 'serial', { mask: token('hmac') })]);
  const split = policyOf([column('id')], {
    several: { table: 'public.orders', further: [notes, serials] },
  });
  assert.match(
    said(masked([{ id: 'a', items }], split), split) ?? '',
    /what public\.serials\.serial masks is in public\.notes\.note/,
  );
  assert.equal(said(masked([{ id: 'a', items: shifted }], split), split), null);
  // And of a record, with what stands in its rows.
  const people = Array.from({ length: 60 }, (_, i) => ({ email: `u${i}`, items: [{}, { note: `U${i}` }] }));
  assert.match(said(masked(people)) ?? '', /what email masks is in public\.items\.note \(60 of 60 rows\)/);
});

/** The batch with one of its further tables changed. */
function changed(
  rows: MaskedBatch,
  i: number,
  change: (one: FurtherRows) => Partial<FurtherRows>,
): MaskedBatch {
  assert.ok(rows.several);
  const further = rows.several.further.map((one, k) => (k === i ? { ...one, ...change(one) } : one));
  return { ...rows, several: { ...rows.several, further } };
}

test('what is not masked, or not where it should be, stops the batch', () => {
  const [batch, rows] = masked([
    { id: 'a', email: MAIL, items: [{ serial: SERIAL, note: 'n' }] },
    { id: 'b', items: [{ serial: '7', note: 'm' }, { note: 'l' }] },
  ]);
  assert.equal(said([batch, rows]), null);
  const { several } = rows;
  assert.ok(several);
  const [items, payments] = several.further;
  assert.ok(items && payments);
  const raw = items.rows.toString().replace(/s2\.[^\t]*\tm/, '7\tm');
  const { several: _, ...alone } = rows;
  const leaking: readonly (readonly [MaskedBatch, RegExp])[] = [
    [changed(rows, 0, () => ({ rows: asMasked(Buffer.from(raw)) })), /public\.items\.serial is not masked/],
    [changed(rows, 0, () => ({ records: [0, 0, 1] })), /its rows are not those of its messages/],
    [changed(rows, 0, () => ({ records: [0, 1] })), /its rows are not those of its messages/],
    [changed(rows, 1, () => ({ records: [0], rows: asMasked(Buffer.from('x\n')) })), /its rows are not/],
    [changed(rows, 0, () => ({ columns: ['id', 'note', 'serial'] })), /its columns are not the configured/],
    [changed(rows, 1, () => ({ table: 'public.items' })), /its tables are not the configured/],
    [{ ...rows, several: { ...several, table: 'public.others' } }, /its tables are not the configured/],
    [{ ...rows, several: { ...several, further: [items] } }, /its tables are not the configured/],
    [{ ...rows, several: { ...several, further: [payments, items] } }, /its tables are not the configured/],
    [alone, /its tables are not the configured/],
  ];
  for (const [batchOfRows, expected] of leaking)
    assert.match(said([batch, batchOfRows]) ?? 'passed', expected);
  // Nor may a pipeline of one table have rows for others.
  const one = policyOf(POLICY.columns);
  const [oneBatch, oneRows] = masked([{ id: 'a' }], one);
  assert.equal(said([oneBatch, oneRows], one), null);
  assert.match(
    said([oneBatch, { ...oneRows, several }], one) ?? 'passed',
    /its tables are not the configured/,
  );
});

test('a rejection names the list that can be no rows, and no other path', () => {
  const [batch, rows] = masked([{ items: 7 }, {}]);
  assert.equal(rows.rejections[0]?.path, 'items[*]');
  assert.equal(said([batch, rows]), null);
  const [rejection] = rows.rejections;
  assert.ok(rejection);
  const strange = { ...rows, rejections: [{ ...rejection, path: 'items[*].mail' }] };
  assert.match(said([batch, strange]) ?? 'passed', /1 of its rejections/);
});
