import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { inspect } from 'node:util';
import type { BatchReport } from '../../src/batch.js';
import { type TestRow, batchOf, goodRows, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres } from '../support/postgres.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const ROWS = 1_000;
/** No error, whatever the kind, may quote this. */
const CANARY = 'c4naryq7zx';

interface Kind {
  readonly name: string;
  readonly ddl: string;
  /** Values of bad row `i`. */
  readonly bad: (i: number) => readonly (string | null)[];
  readonly sqlstate: string;
  readonly path: string | null;
  /** False when the server checks it after the COPY and can name no line, which saves the second attempt. */
  readonly namesLine?: boolean;
}

const events = (extra = ''): string =>
  `create table public.events (name varchar(10), n integer, note text${extra})`;

const kinds: readonly Kind[] = [
  {
    name: 'a value too long for its column',
    ddl: events(),
    bad: () => [`${CANARY}toolong`, '1', null],
    sqlstate: '22001',
    path: 'user.name',
  },
  {
    name: 'a value too long for the varchar behind a domain',
    ddl: `create domain short as varchar(10); create table public.events (name short, n integer, note text)`,
    bad: () => [`${CANARY}toolong`, '1', null],
    sqlstate: '22001',
    path: 'user.name',
  },
  {
    name: 'a value that is not of the type',
    ddl: events(),
    bad: () => ['x', CANARY, null],
    sqlstate: '22P02',
    path: 'count',
  },
  {
    name: 'a number out of range',
    ddl: events(),
    bad: () => ['x', '2147483648', CANARY],
    sqlstate: '22003',
    path: 'count',
  },
  {
    name: 'a failed CHECK',
    ddl: events(', check (n >= 0)'),
    bad: () => ['x', '-1', CANARY],
    sqlstate: '23514',
    path: null,
  },
  {
    name: 'NULL in a NOT NULL column',
    ddl: events(', check (true)').replace('n integer', 'n integer not null'),
    bad: () => ['x', null, CANARY],
    sqlstate: '23502',
    path: 'count',
  },
  {
    name: 'a unique key that is taken',
    ddl: `${events(', unique (note)')}; insert into public.events select 'old', i, '${CANARY}' || i from generate_series(0, 999) i`,
    bad: (i) => ['x', '1', `${CANARY}${i}`],
    sqlstate: '23505',
    path: null,
  },
  {
    name: 'an exclusion constraint',
    ddl: `${events(', exclude using gist (box(point(n, n), point(n, n)) with &&)')}; insert into public.events values ('o', -5)`,
    bad: () => ['x', '-5', CANARY],
    sqlstate: '23P01',
    path: null,
  },
  {
    name: 'a trigger that raises',
    ddl: `${events()};
      create function veto() returns trigger language plpgsql as $$
        begin if new.n < 0 then raise exception 'no: %', new.note; end if; return new; end $$;
      create trigger veto before insert on public.events for each row execute function veto()`,
    bad: () => ['x', '-1', CANARY],
    sqlstate: 'P0001',
    path: null,
  },
  {
    name: 'a foreign key',
    ddl: `create table public.known (n integer primary key); insert into public.known select generate_series(0, 999);
      ${events(', foreign key (n) references public.known')}`,
    bad: () => ['x', '-1', CANARY],
    sqlstate: '23503',
    path: null,
    namesLine: false,
  },
  {
    name: 'a deferred constraint',
    ddl: `create table public.known (n integer primary key); insert into public.known select generate_series(0, 999);
      ${events(', foreign key (n) references public.known deferrable initially deferred')}`,
    bad: () => ['x', '-1', CANARY],
    sqlstate: '23503',
    path: null,
    namesLine: false,
  },
  {
    name: 'no partition that takes the row',
    ddl: `${events()} partition by range (n); create table public.some partition of public.events for values from (0) to (1000)`,
    bad: () => ['x', '-1', CANARY],
    sqlstate: '23514',
    path: null,
  },
  {
    name: 'a value too large for its index',
    ddl: `${events()}; create index on public.events (note)`,
    // Digits that don't compress: an index entry may have 2,704 bytes.
    bad: (i) => [
      'x',
      '1',
      Array.from({ length: 9_000 }, (_, k) => (((k + i) * 2_654_435_761) % 65_521).toString(36)).join(''),
    ],
    sqlstate: '54000',
    path: null,
  },
];

function withBad(kind: Kind, isBad: (i: number) => boolean): readonly TestRow[] {
  return goodRows('k', ROWS).map((row, i) => (isBad(i) ? { ...row, values: kind.bad(i) } : row));
}

function assertLeakless(report: BatchReport | null): void {
  assert.doesNotMatch(inspect(report, { depth: 9 }), new RegExp(CANARY));
}

for (const kind of kinds) {
  test(`${kind.name}: that row alone is quarantined, with its SQLSTATE and path, and all others are loaded`, async () => {
    const { url, sink, close } = await openSink(server, kind.ddl);
    const [old] = await rowsOf(url, 'select count(*)::int as n from events');
    const batch = batchOf({ rows: withBad(kind, (i) => i === 617) });
    const report = await sink.commit(batch);
    assertLeakless(report);
    assert.deepEqual(
      [report?.loaded, report?.quarantined, report?.duplicates, report?.codes],
      [ROWS - 1, 1, 0, { [`refused_${kind.sqlstate}`]: 1 }],
    );
    assert.equal(report?.copies, 2);
    const [entry, ...more] = await rowsOf(url, 'select * from maskline.quarantine');
    assert.equal(more.length, 0);
    assert.deepEqual(
      [
        entry?.['record_id'],
        entry?.['code'],
        entry?.['path'],
        entry?.['kind'],
        entry?.['kid'],
        entry?.['batch_id'],
      ],
      ['k617', `refused_${kind.sqlstate}`, kind.path, 'masked', 7, batch.batchId],
    );
    const line = kind
      .bad(617)
      .map((v) => v ?? '\\N')
      .join('\t');
    assert.equal(String(entry?.['sealed']), `${String(entry?.['id'])}|name\tn\tnote\n${line}\n`);
    assert.deepEqual(
      await rowsOf(url, 'select record_id from maskline.ledger where outcome = $$quarantined$$'),
      [{ record_id: 'k617' }],
    );
    assert.equal(
      ((await rowsOf(url, 'select count(*)::int as n from events'))[0]?.['n'] as number) -
        (old?.['n'] as number),
      ROWS - 1,
    );
    await close();
  });

  test(`${kind.name}, in half of 1,000 rows: three COPYs at most, each good row loaded, each bad one quarantined once`, async () => {
    const { url, sink, close } = await openSink(server, kind.ddl);
    const [old] = await rowsOf(url, 'select count(*)::int as n from events');
    const isBad = (i: number): boolean => i % 2 === 1;
    const report = await sink.commit(
      batchOf({ rows: withBad(kind, isBad), rejections: [{ id: 'rejected' }] }),
    );
    assertLeakless(report);
    assert.deepEqual(
      [report?.received, report?.loaded, report?.quarantined],
      [ROWS + 1, ROWS / 2, ROWS / 2 + 1],
    );
    assert.equal(report?.copies, kind.namesLine === false ? 2 : 3);
    const entries = await rowsOf(
      url,
      'select record_id, code, path from maskline.quarantine where kind = $$masked$$',
    );
    assert.deepEqual(
      new Set(entries.map((entry) => entry['record_id'])),
      new Set(
        Array.from({ length: ROWS }, (_, i) => i)
          .filter(isBad)
          .map((i) => `k${i}`),
      ),
    );
    assert.ok(
      entries.every((entry) => entry['code'] === `refused_${kind.sqlstate}` && entry['path'] === kind.path),
    );
    assert.deepEqual(
      await rowsOf(url, 'select outcome, count(*)::int as n from maskline.ledger group by 1 order by 1'),
      [
        { outcome: 'loaded', n: ROWS / 2 },
        { outcome: 'quarantined', n: ROWS / 2 + 1 },
      ],
    );
    const [now] = await rowsOf(url, 'select count(*)::int as n from events');
    assert.equal((now?.['n'] as number) - (old?.['n'] as number), ROWS / 2);
    await close();
  });
}

test('one bad row behind duplicates is found by its line: two COPYs, and its neighbours are loaded', async () => {
  const { url, sink, close } = await openSink(server);
  await sink.commit(batchOf({ rows: goodRows('known', 3) }));
  const bad = { id: 'bad', values: ['x', CANARY, null] };
  const rows = [...goodRows('known', 3), ...goodRows('a', 2), ...goodRows('a', 1), bad, ...goodRows('b', 2)];
  const report = await sink.commit(batchOf({ rows }));
  assert.deepEqual([report?.loaded, report?.duplicates, report?.quarantined, report?.copies], [4, 4, 1, 2]);
  assert.deepEqual(await rowsOf(url, 'select record_id from maskline.quarantine'), [{ record_id: 'bad' }]);
  await close();
});

test('all rows refused: all are quarantined, none loaded, in three COPYs', async () => {
  const { sink, close } = await openSink(server);
  const rows = goodRows('k', 200).map((row) => ({ ...row, values: ['x', CANARY, null] }));
  const report = await sink.commit(batchOf({ rows }));
  assert.deepEqual([report?.loaded, report?.quarantined, report?.copies], [0, 200, 3]);
  await close();
});

test('a refused record that comes again is a duplicate, by every path', async () => {
  const { url, sink, close } = await openSink(server);
  const bad = (id: string): TestRow => ({ id, values: ['x', 'nan', null] });
  await sink.commit(batchOf({ rows: [bad('one'), ...goodRows('g', 2)] }));
  await sink.commit(batchOf({ rows: [bad('two'), bad('three'), ...goodRows('h', 2)] }));
  const all = [
    bad('one'),
    bad('two'),
    bad('three'),
    bad('four'),
    bad('five'),
    ...goodRows('g', 3),
    ...goodRows('h', 2),
  ];
  const again = await sink.commit(batchOf({ rows: [...all, ...all], rejections: [{ id: 'one' }] }));
  assert.deepEqual([again?.received, again?.loaded, again?.quarantined, again?.duplicates], [21, 1, 2, 18]);
  const ids = await rowsOf(url, 'select record_id as id from maskline.quarantine order by 1');
  assert.deepEqual(
    ids.map((row) => row['id']),
    ['five', 'four', 'one', 'three', 'two'],
  );
  await close();
});

test('values load the same by the last path as by COPY: nothing is cut, padded, rounded otherwise or reread', async () => {
  const types = [
    'varchar(5)',
    'char(4)',
    'numeric(5,2)',
    'bit varying(3)',
    'jsonb',
    'timestamptz',
    'inet',
    'boolean',
    'text[]',
    'bytea',
    '"char"',
  ];
  const columns = types.map((_, i) => `c${i}`);
  const ddl = `create table public.events (id integer generated always as identity, ${columns.map((c, i) => `${c} ${types[i]}`).join(', ')})`;
  const values = [
    'ab  ',
    'ab',
    '123.456',
    '101',
    '{"a": "\\\\u00e9\\n"}',
    '2026-01-02 03:04:05.6+02',
    '10.0.0.1/8',
    't',
    '{a,"b c"}',
    '\\x00ff',
    'é',
  ];
  const bad = values.map((value, i) => (i === 0 ? 'longer than five' : value));
  const seen: unknown[] = [];
  for (const broken of [0, 2]) {
    const { url, sink, close } = await openSink(server, ddl);
    const rows = [
      { id: 'ok', values },
      ...Array.from({ length: broken }, (_, i) => ({ id: `bad${i}`, values: bad })),
    ];
    const report = await sink.commit(batchOf({ columns, rows }));
    assert.deepEqual([report?.loaded, report?.copies], [1, broken === 0 ? 1 : 3]);
    seen.push(await rowsOf(url, `select ${columns.map((c) => `${c}::text`).join(', ')} from events`));
    await close();
  }
  assert.deepEqual(seen[1], seen[0]);
});

test('odd names of table and columns are quoted on every path', async () => {
  const columns = ['a "b"', 'select', 'ü\tx'];
  const ddl = `create schema "My Schema"; create table "My Schema"."ta""ble" ("a ""b""" integer, "select" text, "ü\tx" text)`;
  const { url, another, close } = await openSink(server, ddl);
  const sink = another({
    target: { schema: 'My Schema', table: 'ta"ble' },
    paths: new Map([['a "b"', 'path']]),
  });
  const rows = [
    { id: '1', values: ['1', 's', 'u'] },
    ...['2', '3'].map((id) => ({ id, values: ['x', 's', 'u'] })),
  ];
  const report = await sink.commit(batchOf({ columns, rows }));
  assert.deepEqual([report?.loaded, report?.quarantined, report?.copies], [1, 2, 3]);
  const entries = await rowsOf(
    url,
    'select distinct path, sealed from maskline.quarantine where record_id = $$2$$',
  );
  assert.equal(entries[0]?.['path'], 'path');
  assert.match(String(entries[0]['sealed']), /\|a "b"\tselect\tü\\tx\nx\ts\tu\n$/);
  await close();
});

test("a value that imitates the server's context can't get its neighbour quarantined", async () => {
  const { url, sink, close } = await openSink(server);
  const liar = ['x', '1\nCOPY events, line 1, column name: ', null];
  const report = await sink.commit(batchOf({ rows: [...goodRows('good', 3), { id: 'liar', values: liar }] }));
  assert.deepEqual([report?.loaded, report?.quarantined], [3, 1]);
  assert.deepEqual(await rowsOf(url, 'select record_id from maskline.quarantine'), [{ record_id: 'liar' }]);
  await close();
});

test("rows that exclude each other: the first in the ledger's order stays, the other is quarantined", async () => {
  const { url, sink, close } = await openSink(server, events(', unique (note)'));
  const rows = ['a', 'b', 'c'].map((id) => ({ id, values: ['x', '1', 'same'] }));
  const report = await sink.commit(batchOf({ rows }));
  assert.deepEqual([report?.loaded, report?.quarantined], [1, 2]);
  assert.deepEqual(await rowsOf(url, 'select record_id from maskline.ledger where outcome = $$loaded$$'), [
    { record_id: 'a' },
  ]);
  await close();
});

test('a trigger that drops rows without an error stops the pipeline, and nothing is written', async () => {
  const ddl = `${events()};
    create function drop_it() returns trigger language plpgsql as $$ begin return case when new.n < 0 then null else new end; end $$;
    create trigger drop_it before insert on public.events for each row execute function drop_it()`;
  const { url, sink, close } = await openSink(server, ddl);
  const dropped = { id: 'd', values: ['x', '-1', CANARY] };
  const bad = ['e', 'f'].map((id) => ({ id, values: ['x', CANARY, null] }));
  for (const rows of [
    [dropped, ...goodRows('g', 3)],
    [dropped, ...bad, ...goodRows('g', 3)],
  ]) {
    await assert.rejects(sink.commit(batchOf({ rows })), (error: Error) => {
      assert.equal('code' in error && error.code, 'row_count_differs');
      assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), new RegExp(CANARY));
      return true;
    });
  }
  for (const table of ['events', 'maskline.ledger', 'maskline.loads', 'maskline.quarantine']) {
    assert.deepEqual(await rowsOf(url, `select count(*)::int as n from ${table}`), [{ n: 0 }]);
  }
  await close();
});

test('no key to seal refused rows with: nothing is written, and the batch can be tried again', async () => {
  const { PipelineError } = await import('../../src/errors.js');
  const { url, sink, another, close } = await openSink(server);
  const locked = another({
    sealer: {
      seal: () => {
        throw new PipelineError('key_unavailable', 'no quarantine key');
      },
    },
  });
  const batch = batchOf({ rows: [...goodRows('g', 2), { id: 'bad', values: ['x', 'y', null] }] });
  await assert.rejects(locked.commit(batch), { code: 'key_unavailable' });
  assert.deepEqual(await rowsOf(url, 'select count(*)::int as n from maskline.ledger'), [{ n: 0 }]);
  assert.equal((await sink.commit(batch))?.loaded, 2);
  await close();
});
