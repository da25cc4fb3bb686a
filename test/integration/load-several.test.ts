import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { BatchReport, FurtherRows, MaskedBatch } from '../../src/batch.js';
import { encodeField } from '../../src/copy-text.js';
import type { SinkTarget } from '../../src/load/sections.js';
import { asMasked } from '../../src/masking/masked.js';
import { NOON, type TestRow, type TestSink, batchOf, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres } from '../support/postgres.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const DDL = `
  create table public.events (name varchar(10) primary key, n integer check (n >= 0), note text);
  create table public.items (
    name varchar(10) references public.events, line integer, sku varchar(6), primary key (name, line));
  create table public.restricted (name varchar(10) primary key, seen date)`;

const ITEMS: SinkTarget = {
  target: { schema: 'public', table: 'items' },
  paths: new Map([['sku', 'items[*].sku']]),
};
const RESTRICTED: SinkTarget = { target: { schema: 'public', table: 'restricted' }, paths: new Map() };

/** An order, its items' SKUs, and how it is refused, if it is. */
interface Order {
  readonly id: string;
  readonly skus: readonly (string | null)[];
  readonly n?: string;
  readonly seen?: string;
  readonly sentAt?: number;
}

function sectionOf(
  table: string,
  columns: readonly string[],
  rows: readonly (readonly [record: number, ...values: (string | null)[]])[],
): FurtherRows {
  const line = (values: readonly (string | null)[]): string =>
    `${values.map((value) => (value === null ? '\\N' : encodeField(value))).join('\t')}\n`;
  return {
    table,
    columns,
    records: rows.map(([record]) => record),
    rows: asMasked(Buffer.from(rows.map(([, ...values]) => line(values)).join(''))),
  };
}

function ordersOf(orders: readonly Order[], rest: Partial<MaskedBatch> = {}): MaskedBatch {
  const rows: readonly TestRow[] = orders.map(({ id, n = '1', sentAt }) => ({
    id,
    ...(sentAt === undefined ? {} : { sentAt }),
    values: [id, n, null],
  }));
  const items = orders.flatMap(({ id, skus }, record) =>
    skus.map((sku, line) => [record, id, String(line), sku] as const),
  );
  const seen = orders.map(({ id, seen: on = '2025-01-01' }, record) => [record, id, on] as const);
  const further = [
    sectionOf('public.items', ['name', 'line', 'sku'], items),
    sectionOf('public.restricted', ['name', 'seen'], seen),
  ];
  return { ...batchOf({ rows }), several: { table: 'public.events', further }, ...rest };
}

async function stored({ url }: TestSink): Promise<Readonly<{ [table: string]: readonly string[] }>> {
  const texts = async (sql: string): Promise<readonly string[]> =>
    (await rowsOf(url, sql)).map((row) => Object.values(row).join('/'));
  return {
    events: await texts('select name from public.events order by name'),
    items: await texts('select name, line, sku from public.items order by name, line'),
    restricted: await texts('select name from public.restricted order by name'),
    ledger: await texts('select record_id, outcome from maskline.ledger order by record_id'),
    quarantine: await texts('select record_id, code, path from maskline.quarantine order by record_id'),
  };
}

function counts(report: BatchReport | null): readonly (number | undefined)[] {
  return [report?.received, report?.loaded, report?.duplicates, report?.quarantined];
}

async function withSink(
  work: (it: TestSink) => Promise<void>,
  further: readonly SinkTarget[] = [ITEMS, RESTRICTED],
): Promise<void> {
  const it = await openSink(server, DDL, { further });
  try {
    await work(it);
  } finally {
    await it.close();
  }
}

test('a record has its rows in all tables, and one ledger entry; one of an empty list is loaded without', () =>
  withSink(async (it) => {
    const report = await it.sink.commit(
      ordersOf([
        { id: 'a', skus: ['x', 'y'] },
        { id: 'b', skus: [] },
        { id: 'c', skus: ['z'] },
      ]),
    );
    assert.deepEqual(counts(report), [3, 3, 0, 0]);
    assert.deepEqual(report?.furtherRows, { 'public.items': 3, 'public.restricted': 3 });
    assert.deepEqual(await stored(it), {
      events: ['a', 'b', 'c'],
      items: ['a/0/x', 'a/1/y', 'c/0/z'],
      restricted: ['a', 'b', 'c'],
      ledger: ['a/loaded', 'b/loaded', 'c/loaded'],
      quarantine: [],
    });
    const noted = await rowsOf(it.url, 'select further_rows from maskline.loads');
    assert.deepEqual(noted, [{ further_rows: { 'public.items': 3, 'public.restricted': 3 } }]);
  }));

test('a record that comes again has no rows in any table twice', () =>
  withSink(async (it) => {
    await it.sink.commit(ordersOf([{ id: 'a', skus: ['x', 'y'] }]));
    const again = ordersOf([
      { id: 'a', skus: ['x', 'y'] },
      { id: 'b', skus: ['z'] },
    ]);
    const report = await it.sink.commit(again);
    assert.deepEqual([...counts(report), report?.copies], [2, 1, 1, 0, 1]);
    assert.deepEqual(report?.furtherRows, { 'public.items': 1, 'public.restricted': 1 });
    assert.deepEqual((await stored(it))['items'], ['a/0/x', 'a/1/y', 'b/0/z']);
  }));

test('a row that any table refuses rejects the whole record, be it one record or several', () =>
  withSink(async (it) => {
    const one = await it.sink.commit(
      ordersOf([
        { id: 'a', skus: ['x'] },
        { id: 'b', skus: ['y', 'too long'] },
      ]),
    );
    assert.deepEqual([...counts(one), one?.copies], [2, 1, 0, 1, 2]);
    const many = await it.sink.commit(
      ordersOf([
        { id: 'c', skus: ['x'], n: '-1' },
        { id: 'd', skus: ['x', 'too long', 'y'] },
        { id: 'e', skus: ['x'], seen: 'never' },
        { id: 'f', skus: [null] },
        { id: 'a', skus: ['again'] },
      ]),
    );
    assert.deepEqual([...counts(many), many?.copies], [5, 1, 1, 3, 3]);
    assert.deepEqual(many?.furtherRows, { 'public.items': 1, 'public.restricted': 1 });
    assert.deepEqual(await stored(it), {
      events: ['a', 'f'],
      items: ['a/0/x', 'f/0/'],
      restricted: ['a', 'f'],
      ledger: ['a/loaded', 'b/quarantined', 'c/quarantined', 'd/quarantined', 'e/quarantined', 'f/loaded'],
      quarantine: [
        'b/refused_22001/items[*].sku',
        'c/refused_23514/',
        'd/refused_22001/items[*].sku',
        'e/refused_22007/',
      ],
    });
  }));

test('what is sealed of a refused record holds its rows in all tables', () =>
  withSink(async (it) => {
    await it.sink.commit(ordersOf([{ id: 'b', skus: ['y', 'too long'] }]));
    const [row] = await rowsOf(
      it.url,
      "select kind, convert_from(sealed, 'UTF8') as sealed from maskline.quarantine",
    );
    assert.equal(row?.['kind'], 'masked');
    const expected = [
      'public.events\t1',
      'name\tn\tnote',
      'b\t1\t\\N',
      'public.items\t2',
      'name\tline\tsku',
      'b\t0\ty',
      'b\t1\ttoo long',
      'public.restricted\t1',
      'name\tseen',
      'b\t2025-01-01\n',
    ];
    assert.equal(String(row?.['sealed']).split('|')[1], expected.join('\n'));
  }));

test('tables that overwrite and tables that add stand side by side, also one by one', () =>
  withSink(
    async (it) => {
      const first = ordersOf([{ id: 'a', skus: ['x', 'y'] }]);
      await it.sink.commit(first);
      const { several } = first;
      const rowsOfOrder = (id: string, message: string, sku: string, seen: string): Order => ({
        id: message,
        skus: [sku],
        n: id,
        seen,
      });
      // The same order by another message: its items overwrite by (name, line); events would refuse its name.
      const later = ordersOf([
        rowsOfOrder('2', 'm1', 'new', '2025-02-02'),
        rowsOfOrder('3', 'm2', 'toolong', '2025-02-02'),
        rowsOfOrder('-4', 'm3', 'ok', '2025-02-02'),
      ]);
      const items = sectionOf(
        'public.items',
        ['name', 'line', 'sku'],
        [
          [0, 'a', '0', 'new'],
          [1, 'a', '1', 'toolong'],
          [2, 'a', '1', 'ok'],
        ],
      );
      const further = [items, ...(several?.further.slice(2) ?? [])];
      const report = await it.sink.commit({ ...later, several: { table: 'public.events', further } });
      assert.deepEqual([...counts(report), report?.copies], [3, 1, 0, 2, 3]);
      const { events, items: after } = await stored(it);
      assert.deepEqual(events, ['a', 'm1']);
      assert.deepEqual(after, ['a/0/new', 'a/1/y']);
    },
    [
      { ...ITEMS, target: { ...ITEMS.target, upsert: { keys: ['name', 'line'], newestBy: null } } },
      RESTRICTED,
    ],
  ));

test('within a FIFO group that waits, a row that a further table refuses holds the group', async () => {
  const it = await openSink(server, DDL, { further: [ITEMS, RESTRICTED], fifo: 'block' });
  try {
    const batch = ordersOf(
      [
        { id: 'a', skus: ['x'] },
        { id: 'b', skus: ['too long'] },
        { id: 'c', skus: ['z'] },
      ],
      { groups: [0, 0, 0] },
    );
    const report = await it.sink.commit(batch);
    assert.deepEqual([report?.loaded, report?.released], [1, 2]);
    assert.deepEqual((await stored(it))['items'], ['a/0/x']);
  } finally {
    await it.close();
  }
});

test('rows for a table that is not among the targets are loaded nowhere', () =>
  withSink(
    async (it) => {
      await assert.rejects(it.sink.commit(ordersOf([{ id: 'a', skus: ['x'] }])), {
        code: 'table_unfit',
        message: /holds rows for table public\.restricted/,
      });
      assert.deepEqual((await stored(it))['events'], []);
    },
    [ITEMS],
  ));

test('rows of records that another table is to have are loaded nowhere', () =>
  withSink(async (it) => {
    const { several, ...batch } = ordersOf([{ id: 'a', skus: ['x'] }]);
    const [items] = several?.further ?? [];
    assert.ok(items);
    for (const other of [
      { ...batch, several: { table: 'public.restricted', further: [items] } },
      { ...batch, several: { table: 'public.events', further: [{ ...items, table: 'public.events' }] } },
    ])
      await assert.rejects(it.sink.commit(other), { code: 'table_unfit', message: /holds rows for table/ });
    assert.deepEqual((await stored(it))['ledger'], []);
  }));

test('the tables are told by their names, in whatever order they are configured', () =>
  withSink(
    async (it) => {
      await it.sink.commit(ordersOf([{ id: 'a', skus: ['x'], sentAt: NOON }]));
      const { items, restricted } = await stored(it);
      assert.deepEqual([items, restricted], [['a/0/x'], ['a']]);
    },
    [RESTRICTED, ITEMS],
  ));
