import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { uuidv7 } from 'uuidv7';
import { encodeField } from '../../src/copy-text.js';
import { PipelineError } from '../../src/errors.js';
import { recordBaselines } from '../../src/load/baseline.js';
import { createPool } from '../../src/load/connection.js';
import { prove } from '../../src/load/prove.js';
import { Replay } from '../../src/load/replay.js';
import { createTarget, planTarget } from '../../src/load/target-plan.js';
import { type TargetSpec, checkTarget, targetSpec } from '../../src/load/target.js';
import type { LoadTarget } from '../../src/load/upsert.js';
import { asMasked } from '../../src/masking/masked.js';
import { NOON, type TestRow, type TestSink, batchOf, openSink } from '../support/load.js';
import { column } from '../support/masking.js';
import { type TestPostgres, rowsOf, startTestPostgres } from '../support/postgres.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

// `n` is what orders in these tests.
const ORDERS = 'create table public.events (name varchar(10) primary key, n integer, note text)';
const LAST: LoadTarget = {
  schema: 'public',
  table: 'events',
  upsert: { keys: ['name'], newestBy: null },
};
const NEWEST: LoadTarget = { ...LAST, upsert: { keys: ['name'], newestBy: 'n' } };
const PATHS = new Map([
  ['name', 'user.name'],
  ['n', 'count'],
  ['note', 'note'],
]);

let records = 0;
/** A record of its own: the key, what orders, and a note; `ms` after noon. */
function row(name: string, n: number | null, note: string | null, ms = 0): TestRow {
  records += 1;
  return { id: `m${records}`, sentAt: NOON + ms, values: [name, n === null ? null : String(n), note] };
}

async function open(target: LoadTarget, ddl = ORDERS): Promise<TestSink> {
  return openSink(server, ddl, { target });
}

async function stored({ url }: TestSink): Promise<readonly (readonly unknown[])[]> {
  const rows = await rowsOf(url, 'select name, n, note from public.events order by name, n, note');
  return rows.map((each) => [each['name'], each['n'], each['note']]);
}

test('of a batch, the row of a key that was sent last stays; of one moment, the last of the batch', async () => {
  const it = await open(LAST);
  try {
    const report = await it.sink.commit(
      batchOf({
        rows: [
          row('a', 1, 'sent last', 20),
          row('a', 2, 'sent first', 10),
          row('b', 1, 'first of the batch', 5),
          row('b', 2, 'last of the batch', 5),
          row('c', 1, 'alone'),
        ],
      }),
    );
    assert.deepEqual(
      [report?.received, report?.loaded, report?.duplicates, report?.quarantined, report?.copies],
      [5, 5, 0, 0, 1],
    );
    assert.deepEqual(await stored(it), [
      ['a', 1, 'sent last'],
      ['b', 2, 'last of the batch'],
      ['c', 1, 'alone'],
    ]);
    const ledger = await rowsOf(
      it.url,
      `select count(*)::int as n from maskline.ledger where outcome = 'loaded'`,
    );
    assert.deepEqual(ledger, [{ n: 5 }]);
  } finally {
    await it.close();
  }
});

test('without newest_by, what is committed last stays, however old it is', async () => {
  const it = await open(LAST);
  try {
    await it.sink.commit(batchOf({ rows: [row('a', 2, 'new', 1_000)] }));
    await it.sink.commit(batchOf({ rows: [row('a', 1, 'old', 0)] }));
    assert.deepEqual(await stored(it), [['a', 1, 'old']]);
  } finally {
    await it.close();
  }
});

test('with newest_by, an older record never overwrites a newer one, in whatever order batches are committed', async () => {
  const it = await open(NEWEST);
  try {
    await it.sink.commit(
      batchOf({ rows: [row('a', 5, 'five'), row('b', null, 'of no time'), row('c', 1, 'one')] }),
    );
    const report = await it.sink.commit(
      batchOf({
        rows: [
          row('a', 4, 'four', 9_000),
          row('a', null, 'of no time', 9_001),
          row('b', 1, 'one'),
          row('c', 1, 'one again'),
          row('c', 0, 'nought', 9_000),
        ],
      }),
    );
    assert.equal(report?.loaded, 5);
    assert.deepEqual(await stored(it), [
      ['a', 5, 'five'],
      ['b', 1, 'one'],
      ['c', 1, 'one again'],
    ]);
  } finally {
    await it.close();
  }
});

test('a record that was settled before overwrites nothing when it is delivered again', async () => {
  const it = await open(LAST);
  try {
    const first = row('a', 1, 'first');
    await it.sink.commit(batchOf({ rows: [first] }));
    await it.sink.commit(batchOf({ rows: [row('a', 2, 'second')] }));
    const again = await it.sink.commit(batchOf({ rows: [first, row('b', 1, 'other')] }));
    assert.deepEqual([again?.loaded, again?.duplicates], [1, 1]);
    assert.deepEqual(await stored(it), [
      ['a', 2, 'second'],
      ['b', 1, 'other'],
    ]);
  } finally {
    await it.close();
  }
});

test('a table of nothing but keys takes each once', async () => {
  const it = await openSink(server, 'create table public.events (name text, n integer, unique (n, name))', {
    target: { ...LAST, upsert: { keys: ['name', 'n'], newestBy: null } },
  });
  try {
    const rows = ['a', 'a', 'b'].map((name) => ({ ...row(name, 1, null), values: [name, '1'] }));
    for (const part of [rows.slice(0, 2), rows.slice(1)]) {
      await it.sink.commit(batchOf({ columns: ['name', 'n'], rows: part }));
    }
    const found = await rowsOf(it.url, 'select name from public.events order by name');
    assert.deepEqual(found, [{ name: 'a' }, { name: 'b' }]);
  } finally {
    await it.close();
  }
});

test('a refused row is quarantined and leaves the one before it; the others are merged', async (t) => {
  const cases = [
    {
      name: 'one that is too long',
      bad: ['x'.repeat(11), '1', null],
      code: 'refused_22001',
      path: 'user.name',
    },
    { name: 'one of another type', bad: ['z', 'much', null], code: 'refused_22P02', path: 'count' },
    { name: 'one that a CHECK refuses', bad: ['a', '-1', 'bad'], code: 'refused_23514', path: null },
    {
      name: 'one without a value that must be there',
      bad: ['a', '9', null],
      code: 'refused_23502',
      path: 'note',
    },
    {
      name: 'one that meets another unique key',
      bad: ['a', '9', 'taken'],
      code: 'refused_23505',
      path: null,
    },
  ] as const;
  const ddl = `create table public.events (name varchar(10) primary key, n integer check (n >= 0), note text not null);
    create unique index on public.events (note); insert into public.events values ('old', 1, 'taken')`;
  for (const { name, bad, code, path } of cases) {
    for (const count of [1, 3]) {
      await t.test(`${name}, ${count} of them`, async () => {
        const it = await open(LAST, ddl);
        try {
          const refused = Array.from({ length: count }, (_, i) => ({
            ...row('', 0, null, 50 + i),
            values: bad,
          }));
          const report = await it.sink.commit(
            batchOf({
              rows: [row('a', 1, 'first', 1), row('a', 2, 'second', 2), ...refused, row('b', 1, 'b', 60)],
            }),
          );
          assert.deepEqual([report?.loaded, report?.quarantined], [3, count]);
          const kept = await rowsOf(it.url, 'select code, path, kind from maskline.quarantine');
          assert.deepEqual(
            kept,
            Array.from({ length: count }, () => ({ code, path, kind: 'masked' })),
          );
          assert.deepEqual(await stored(it), [
            ['a', 2, 'second'],
            ['b', 1, 'b'],
            ['old', 1, 'taken'],
          ]);
        } finally {
          await it.close();
        }
      });
    }
  }
});

test('rows one by one end as all at once: 30 batches, with and without newest_by, against a model', async () => {
  // A linear congruential generator (Numerical Recipes), so that a failure can be repeated.
  let state = 20_261_121;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  for (const target of [LAST, NEWEST]) {
    const it = await open(target, ORDERS.replace('note text', `note text check (note <> 'bad')`));
    const model = new Map<string, { readonly n: number | null; readonly note: string }>();
    try {
      for (let b = 0; b < 15; b += 1) {
        const rows = Array.from({ length: 12 }, () =>
          row(
            `k${random(5)}`,
            random(4) === 0 ? null : random(6),
            random(5) === 0 && b % 2 === 1 ? 'bad' : `v${random(1e6)}`,
            random(4),
          ),
        );
        const good = rows.filter((each) => each.values[2] !== 'bad');
        const sorted = good
          .map((each, i) => ({ each, i }))
          .sort((x, y) => (x.each.sentAt ?? 0) - (y.each.sentAt ?? 0) || x.i - y.i);
        for (const { each } of sorted) {
          const [name, n, note] = each.values;
          const mine = { n: n === null ? null : Number(n), note: note ?? '' };
          const there = model.get(name ?? '');
          const isBehind =
            target === NEWEST && there && there.n !== null && (mine.n === null || mine.n < there.n);
          if (!isBehind) model.set(name ?? '', mine);
        }
        const report = await it.sink.commit(batchOf({ rows }));
        // A row that the table would refuse, and that another of its batch goes before, never gets there.
        assert.equal((report?.loaded ?? 0) + (report?.quarantined ?? 0), rows.length);
        assert.ok((report?.quarantined ?? 0) <= rows.length - good.length);
        const expected = [...model]
          .map(([name, { n, note }]) => [name, n, note])
          .sort((x, y) => String(x[0]).localeCompare(String(y[0]), 'en'));
        assert.deepEqual(await stored(it), expected, `batch ${b}`);
      }
    } finally {
      await it.close();
    }
  }
});

test('loaders that overwrite the same rows in opposite order at once neither deadlock nor lose a newer row', async () => {
  const it = await open(NEWEST);
  try {
    const sinks = [it.sink, it.another({ target: NEWEST }), it.another({ target: NEWEST })];
    const names = Array.from({ length: 200 }, (_, i) => `k${i}`);
    const rounds = Array.from({ length: 5 }, (_, round) =>
      sinks.map((sink, s) => {
        const ordered = s % 2 === 0 ? names : names.toReversed();
        return sink.commit(
          batchOf({ rows: ordered.map((name) => row(name, (round * 7 + s * 5) % 17, `${round}.${s}`)) }),
        );
      }),
    );
    for (const report of await Promise.all(rounds.flat())) assert.equal(report?.loaded, 200);
    const ns = await rowsOf(it.url, 'select n, count(*)::int as rows from public.events group by n');
    assert.deepEqual(ns, [{ n: 16, rows: 200 }]);
    assert.doesNotMatch(await server.log(), /deadlock/);
  } finally {
    await it.close();
  }
});

test('a trigger that drops rows stops the batch, however its rows go in', async () => {
  const trigger = (when: string): string => `${ORDERS};
    alter table public.events add check (note <> 'bad');
    create function swallow() returns trigger language plpgsql as $$ begin return null; end $$;
    create trigger swallow before ${when} on public.events for each row when (new.note = 'gone') execute function swallow()`;
  for (const [when, target] of [
    ['insert', LAST],
    ['update', LAST],
    ['update', NEWEST],
  ] as const) {
    for (const bad of [0, 2]) {
      const it = await open(target, trigger(when));
      try {
        await it.sink.commit(batchOf({ rows: [row('a', 1, 'there'), row('old', 5, 'newer')] }));
        const rows = [
          row('a', 2, 'gone'),
          row(when === 'insert' ? 'b' : 'a', 2, 'gone', 1),
          row('old', 9, 'other'),
        ];
        const refused = Array.from({ length: bad }, (_, i) => row(`bad${i}`, 1, 'bad'));
        await assert.rejects(it.sink.commit(batchOf({ rows: [...rows, ...refused] })), (error) => {
          assert.ok(error instanceof PipelineError);
          assert.equal(error.code, 'row_count_differs');
          return true;
        });
        assert.equal((await stored(it)).find(([name]) => name === 'a')?.[2], 'there');
      } finally {
        await it.close();
      }
    }
  }
});

test('a replay overwrites as its records were sent, and only what is not newer', async () => {
  const it = await open(NEWEST, `${ORDERS}; alter table public.events add check (note <> 'bad')`);
  try {
    await it.sink.commit(batchOf({ rows: [row('a', 3, 'three')] }));
    await it.sink.commit(batchOf({ rejections: ['x', 'y', 'z', 'w'].map((id) => ({ id })) }));
    const entries = await rowsOf(it.url, 'select id from maskline.quarantine order by record_id');
    const values = [
      ['a', '2', 'older'],
      ['b', '1', 'sent last'],
      ['b', '1', 'sent first'],
      ['c', '1', 'bad'],
    ];
    const lines = values.map((cells) => `${cells.map(encodeField).join('\t')}\n`);
    const report = await new Replay(
      { pool: it.pool, target: NEWEST, paths: PATHS },
      {
        batchId: uuidv7(),
        runId: uuidv7(),
        pipeline: 'logins',
        receivedAt: NOON,
        policySha256: 'ab'.repeat(32),
        kids: [1],
        columns: ['name', 'n', 'note'],
        ids: entries.map(({ id }) => String(id)),
        sentAts: [NOON, NOON + 2, NOON + 1, NOON],
        rows: asMasked(Buffer.from(lines.join(''))),
        stays: [],
        unopened: [],
      },
    ).commit();
    assert.deepEqual([report.loaded, report.quarantined], [3, 1]);
    assert.deepEqual(await stored(it), [
      ['a', 3, 'three'],
      ['b', 1, 'sent last'],
    ]);
  } finally {
    await it.close();
  }
});

test('rows of a partitioned table are overwritten in whatever partition they are', async () => {
  const ddl = `create table public.events (name varchar(10), n integer, note text, primary key (name, n)) partition by range (n);
    create table public.low partition of public.events for values from (0) to (10);
    create table public.high partition of public.events for values from (10) to (20)`;
  const it = await openSink(server, ddl, {
    target: { ...LAST, upsert: { keys: ['name', 'n'], newestBy: null } },
  });
  try {
    await it.sink.commit(batchOf({ rows: [row('a', 1, 'old'), row('a', 11, 'old')] }));
    const report = await it.sink.commit(
      batchOf({ rows: [row('a', 1, 'new'), row('a', 11, 'new'), row('a', 21, 'nowhere')] }),
    );
    assert.deepEqual([report?.loaded, report?.quarantined, report?.codes], [2, 1, { refused_23514: 1 }]);
    assert.deepEqual(await stored(it), [
      ['a', 1, 'new'],
      ['a', 11, 'new'],
    ]);
  } finally {
    await it.close();
  }
});

const SHOP: TargetSpec = {
  ...targetSpec(
    {
      columns: [
        column('order_id', { required: true, maxLength: 20 }),
        column('state', { maxLength: 20 }),
        column('changed_at', { type: 'timestamptz' }),
      ],
    },
    {
      schema: 'shop',
      table: 'orders',
      create: true,
      upsert: { keys: ['order_id'], newestBy: 'changed_at' },
      grants: [
        { right: 'select', role: 'shop_analyst' },
        { right: 'update', role: 'shop_analyst' },
      ],
    },
  ),
};

test('create: true gives the table its key and the roles their rights, once', async () => {
  const url = await server.database();
  await rowsOf(url, 'create role shop_analyst');
  const pool = createPool({ url, applicationName: 'test' });
  try {
    const ran = await createTarget(pool, SHOP);
    assert.deepEqual(ran.slice(2), [
      'grant usage on schema "shop" to "shop_analyst"',
      'grant select on "shop"."orders" to "shop_analyst"',
      'grant update on "shop"."orders" to "shop_analyst"',
    ]);
    assert.deepEqual(await createTarget(pool, SHOP), []);
    assert.deepEqual(await checkTarget(pool, SHOP), []);
    const rights = await rowsOf(
      url,
      `select privilege_type as p from information_schema.role_table_grants where grantee = 'shop_analyst' order by 1`,
    );
    assert.deepEqual(
      rights.map(({ p }) => p),
      ['SELECT', 'UPDATE'],
    );
    const nobody = { ...SHOP, grants: [{ right: 'select', role: 'nobody_here' }] } as const;
    await assert.rejects(planTarget(pool, nobody), (error) => {
      assert.ok(error instanceof PipelineError);
      assert.equal(error.code, 'table_unfit');
      assert.match(
        error.message,
        /shop\.orders name roles that this server has not: nobody_here; create them/,
      );
      return true;
    });
  } finally {
    await pool.close();
  }
});

test('a check names the unique index and the rights that overwriting needs, and the loader loads once it has them', async () => {
  const url = await server.migratedDatabase();
  await rowsOf(
    url,
    `create role shop_loader login password 'test'; grant usage on schema public, maskline to shop_loader;
     grant select, insert on all tables in schema maskline to shop_loader;
     grant execute on all functions in schema maskline to shop_loader;
     create table public.events (name varchar(10), n integer, note text, secret text);
     create unique index on public.events (name) where n > 0; create unique index on public.events (name, n);
     grant insert on public.events to shop_loader`,
  );
  const asLoader = new URL(url);
  asLoader.username = 'shop_loader';
  asLoader.password = 'test';
  const pool = createPool({ url: asLoader.href, applicationName: 'test' });
  const spec = targetSpec(
    {
      columns: [
        column('name', { required: true, maxLength: 10 }),
        column('n', { type: 'integer' }),
        column('note'),
      ],
    },
    { ...NEWEST, create: false },
  );
  try {
    const found = (await checkTarget(pool, spec)).map(({ severity, message }) => `${severity}: ${message}`);
    assert.deepEqual(found, [
      'error: public.events has no unique index of just (name) that is valid, without WHERE and not deferrable, which `mode: upsert` needs; run: create unique index on "public"."events" ("name")',
      'error: `mode: upsert` needs the right to UPDATE on public.events (n, note), which this role lacks; grant it',
      'error: `mode: upsert` needs the right to SELECT on public.events (name, n, note), which this role lacks; grant it',
    ]);
    assert.equal((await checkTarget(pool, spec, 'looks')).length, 1);
    const [step] = await planTarget(pool, spec);
    assert.equal(step?.automatic, false);
    await rowsOf(
      url,
      `${step?.sql ?? ''}; grant update (n, note), select (name, n, note) on public.events to shop_loader`,
    );
    assert.deepEqual(await checkTarget(pool, spec), []);
    const it = await openSink(server, ORDERS, { target: NEWEST, pool });
    try {
      await it.sink.commit(batchOf({ rows: [row('a', 1, 'x'), row('a', 2, 'y')] }));
      const bad = ['toolonganame', '1', null];
      const rows = [
        row('a', 3, 'z'),
        row('b', 0, 'b'),
        { ...row('', 0, null), values: bad },
        { ...row('', 0, null), values: bad },
      ];
      const report = await it.sink.commit(batchOf({ rows }));
      assert.deepEqual([report?.loaded, report?.quarantined], [2, 2]);
    } finally {
      await it.close();
    }
    const rows = await rowsOf(url, 'select name, n, note from public.events order by name');
    assert.deepEqual(rows, [
      { name: 'a', n: 3, note: 'z' },
      { name: 'b', n: 0, note: 'b' },
    ]);
  } finally {
    await pool.close();
  }
});

test('prove takes overwritten rows for right, and names a row that no record wrote', async () => {
  const it = await open(LAST, ORDERS);
  const columns = [
    column('name', { required: true, source: { kind: 'meta', name: 'message_id' } }),
    column('n', { type: 'integer' }),
    column('note'),
  ];
  const sha256 = batchOf({}).policySha256;
  const target = { ...LAST, upsert: { keys: ['note'], newestBy: null } };
  const proven = { name: 'logins', policySha256: sha256, target };
  const proof = async () => {
    const retention = { ledgerMs: 15 * 86_400_000, runsMs: 90 * 86_400_000 };
    const [one] = await prove(it.pool, { pipelines: [proven], since: null, retention });
    return one;
  };
  try {
    await rowsOf(it.url, 'create unique index on public.events (note)');
    await recordBaselines(it.pool, { name: 'logins', policy: { columns, sha256 }, target });
    const sink = it.another({ target });
    for (const id of ['p1', 'p2', 'p3']) {
      await sink.commit(batchOf({ rows: [{ id, values: [id, '1', id === 'p3' ? 'other' : 'same'] }] }));
    }
    const clean = await proof();
    assert.deepEqual(
      [clean?.totals['row_missing'], clean?.totals['row_count_differs'], clean?.totals['row_unknown']],
      [undefined, undefined, undefined],
    );
    assert.equal(clean?.checked.target_rows, 2);
    assert.match(clean?.unchecked.find(({ what }) => what === 'target')?.why ?? '', /mode: upsert/);
    await rowsOf(it.url, `insert into public.events values ('stranger', 1, 'x')`);
    const dirty = await proof();
    const unknown = dirty?.differences.filter(({ kind }) => kind === 'row_unknown');
    assert.deepEqual(
      unknown?.map(({ record_id }) => record_id),
      ['stranger'],
    );
  } finally {
    await it.close();
  }
});

test('a table that can only be counted may have fewer rows than were loaded, never more', async () => {
  const it = await open(LAST);
  const sha256 = batchOf({}).policySha256;
  const columns = [column('name', { required: true }), column('n', { type: 'integer' }), column('note')];
  const differences = async (): Promise<readonly string[]> => {
    const retention = { ledgerMs: 15 * 86_400_000, runsMs: 90 * 86_400_000 };
    const pipelines = [{ name: 'logins', policySha256: sha256, target: LAST }];
    const [one] = await prove(it.pool, { pipelines, since: null, retention });
    return Object.keys(one?.totals ?? {}).filter((kind) => kind.startsWith('row_'));
  };
  try {
    await recordBaselines(it.pool, { name: 'logins', policy: { columns, sha256 }, target: LAST });
    await it.sink.commit(batchOf({ rows: [row('a', 1, 'x'), row('a', 2, 'y'), row('b', 2, 'y')] }));
    assert.deepEqual(await differences(), []);
    await rowsOf(it.url, `insert into public.events select 's' || i from generate_series(1, 2) i`);
    assert.deepEqual(await differences(), ['row_count_differs']);
  } finally {
    await it.close();
  }
});
