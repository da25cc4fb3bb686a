import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { BatchReport, MaskedBatch } from '../../src/batch.js';
import type { LoadTarget } from '../../src/load/upsert.js';
import { NOON, type TestRejection, type TestRow, type TestSink, batchOf, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres } from '../support/postgres.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

// The order of insertion is on record; `n` is refused below zero, and `name` beyond ten characters.
const EVENTS =
  'create table public.events (at bigint generated always as identity, name varchar(10), n integer check (n >= 0), note text)';

/** A message of a FIFO group: what became of it in `transform`, or what the table will say. */
interface Sent {
  readonly id: string;
  readonly group: string | null;
  readonly is?: 'good' | 'rejected' | 'refused';
  readonly sentAt?: number;
}

/** A batch of messages in this order, one record each. */
function fifoBatch(sent: readonly Sent[]): MaskedBatch {
  const groups = [...new Set(sent.flatMap(({ group }) => group ?? []))];
  const rows: (TestRow & { readonly at: number })[] = [];
  const rejections: TestRejection[] = [];
  for (const [message, { id, is = 'good', sentAt = NOON }] of sent.entries()) {
    if (is === 'rejected') rejections.push({ id, sentAt, message });
    else rows.push({ id, sentAt, at: message, values: [id, is === 'refused' ? '-1' : '1', null] });
  }
  const batch = batchOf({ rows, rejections, messages: sent.length });
  return {
    ...batch,
    keys: batch.keys.map((key, line) => ({ ...key, message: rows[line]?.at ?? 0 })),
    groups: sent.map(({ group }) => (group === null ? null : groups.indexOf(group))),
  };
}

async function stored({ url }: TestSink): Promise<readonly string[]> {
  return (await rowsOf(url, 'select name from public.events order by at')).map((row) => String(row['name']));
}

async function quarantined({ url }: TestSink): Promise<readonly string[]> {
  const rows = await rowsOf(url, 'select record_id from maskline.quarantine order by record_id');
  return rows.map((row) => String(row['record_id']));
}

async function held({ url }: TestSink, { batchId }: MaskedBatch): Promise<unknown> {
  const [row] = await rowsOf(url, `select held from maskline.loads where batch_id = '${batchId}'`);
  return row?.['held'];
}

function counts(report: BatchReport | null): readonly (number | undefined)[] {
  return [report?.received, report?.loaded, report?.duplicates, report?.quarantined, report?.released];
}

async function withSink(
  fifo: 'skip' | 'block',
  work: (it: TestSink) => Promise<void>,
  target: Partial<LoadTarget> = {},
  ddl = EVENTS,
): Promise<void> {
  const it = await openSink(server, ddl, { fifo, target: { schema: 'public', table: 'events', ...target } });
  try {
    await work(it);
  } finally {
    await it.close();
  }
}

const TWO_GROUPS: readonly Sent[] = [
  { id: 'a1', group: 'a' },
  { id: 'b1', group: 'b' },
  { id: 'a2', group: 'a', is: 'rejected' },
  { id: 'a3', group: 'a' },
  { id: 'b2', group: 'b' },
  { id: 'a4', group: 'a', is: 'rejected' },
  { id: 'x1', group: null, is: 'rejected' },
  { id: 'x2', group: null },
];

test('skip: a rejected message is quarantined and its group goes on', () =>
  withSink('skip', async (it) => {
    const batch = fifoBatch(TWO_GROUPS);
    assert.deepEqual(counts(await it.sink.commit(batch)), [8, 5, 0, 3, 0]);
    assert.deepEqual(await stored(it), ['a1', 'b1', 'a3', 'b2', 'x2']);
    assert.deepEqual(await quarantined(it), ['a2', 'a4', 'x1']);
    assert.deepEqual(await held(it, batch), []);
  }));

test('block: a rejected message and all later ones of its group are held, no other is', () =>
  withSink('block', async (it) => {
    const batch = fifoBatch(TWO_GROUPS);
    const report = await it.sink.commit(batch);
    assert.deepEqual(counts(report), [8, 4, 0, 1, 3]);
    assert.deepEqual(report?.blocked, [{ messageId: 'a2', code: 'missing_field' }]);
    assert.deepEqual(await stored(it), ['a1', 'b1', 'b2', 'x2']);
    assert.deepEqual(await quarantined(it), ['x1']);
    assert.deepEqual(await held(it, batch), [2, 3, 5]);
    // When the cause is mended, they come again and are loaded behind what went before.
    const again = fifoBatch(['a2', 'a3', 'a4'].map((id) => ({ id, group: 'a' })));
    assert.deepEqual(counts(await it.sink.commit(again)), [3, 3, 0, 0, 0]);
    assert.deepEqual(await stored(it), ['a1', 'b1', 'b2', 'x2', 'a2', 'a3', 'a4']);
  }));

test('block: what the table refuses holds its group as well, be it one row or many', async () => {
  for (const refused of [['a2'], ['a2', 'b3', 'c1', 'c2']]) {
    await withSink('block', async (it) => {
      const sent = ['a', 'b', 'c'].flatMap((group) =>
        [1, 2, 3]
          .map((n) => `${group}${n}`)
          .map((id): Sent => ({ id, group, is: refused.includes(id) ? 'refused' : 'good' })),
      );
      const batch = fifoBatch(sent);
      const report = await it.sink.commit(batch);
      const first = refused.filter((id, at) => at === refused.findIndex((other) => other[0] === id[0]));
      const isHeld = ({ id }: Sent): boolean => first.some((stop) => stop[0] === id[0] && id >= stop);
      const expected = sent.filter((one) => !isHeld(one)).map(({ id }) => id);
      assert.deepEqual(await stored(it), expected);
      assert.deepEqual(await quarantined(it), []);
      assert.deepEqual(
        await held(it, batch),
        sent.flatMap((one, at) => (isHeld(one) ? [at] : [])),
      );
      assert.deepEqual(
        report?.blocked,
        first.map((messageId) => ({ messageId, code: 'refused_23514' })),
      );
      assert.deepEqual(counts(report), [9, expected.length, 0, 0, 9 - expected.length]);
    });
  }
});

test('block: a rejected message that was settled before holds nobody', () =>
  withSink('block', async (it) => {
    await it.another({ fifo: 'skip' }).commit(fifoBatch([{ id: 'a1', group: 'a', is: 'rejected' }]));
    const report = await it.sink.commit(
      fifoBatch([
        { id: 'a1', group: 'a', is: 'rejected' },
        { id: 'a2', group: 'a' },
      ]),
    );
    assert.deepEqual(counts(report), [2, 1, 1, 0, 0]);
    assert.deepEqual(await stored(it), ['a2']);
  }));

test('block: of a message of many records, one that is rejected holds all', () =>
  withSink('block', async (it) => {
    const batch = fifoBatch([
      { id: 'a1', group: 'a' },
      { id: 'a2#0', group: 'a' },
      { id: 'a2#1', group: 'a', is: 'rejected' },
      { id: 'a3', group: 'a' },
    ]);
    // The second and the third record are of one message.
    const groups = [0, 0, 0];
    const place = (message: number): number => (message > 1 ? message - 1 : message);
    const report = await it.sink.commit({
      ...batch,
      messages: 3,
      groups,
      keys: batch.keys.map((key) => ({ ...key, message: place(key.message) })),
      rejections: batch.rejections.map((rejection) => ({ ...rejection, message: place(rejection.message) })),
    });
    assert.deepEqual(counts(report), [4, 1, 0, 0, 3]);
    assert.deepEqual(await stored(it), ['a1']);
    assert.deepEqual(await held(it, batch), [1, 2]);
  }));

test('skip: rows of a group go in in its order, also when the table refuses many, and times and ids go against it', () =>
  withSink('skip', async (it) => {
    // The ids of one group descend, and so do its times: only the batch knows the order.
    const sent = Array.from({ length: 40 }, (_, at): Sent => ({
      id: `a${99 - at}`,
      group: 'a',
      is: at % 10 === 3 ? 'refused' : 'good',
      sentAt: NOON - at,
    }));
    const report = await it.sink.commit(fifoBatch(sent));
    assert.deepEqual(counts(report), [40, 36, 0, 4, 0]);
    assert.equal(report?.copies, 4);
    assert.deepEqual(
      await stored(it),
      sent.filter(({ is }) => is === 'good').map(({ id }) => id),
    );
  }));

test('an upsert keeps the last of a group by its order, whatever the times of sending say', () =>
  withSink(
    'skip',
    async (it) => {
      const batch = fifoBatch([
        { id: 'm1', group: 'a', sentAt: NOON + 5 },
        { id: 'm2', group: 'a', sentAt: NOON + 4 },
      ]);
      const rows = batchOf({
        rows: [
          { id: 'm1', sentAt: NOON + 5, values: ['key', '1', 'first'] },
          { id: 'm2', sentAt: NOON + 4, values: ['key', '2', 'second'] },
        ],
      }).rows;
      await it.sink.commit({ ...batch, rows });
      assert.deepEqual(await rowsOf(it.url, 'select note from public.events'), [{ note: 'second' }]);
    },
    { upsert: { keys: ['name'], newestBy: null } },
    'create table public.events (name varchar(10) primary key, n integer, note text)',
  ));
