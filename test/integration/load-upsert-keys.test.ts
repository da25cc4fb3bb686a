import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { eraseColumn } from '../../src/load/erasure.js';
import { remaskRows } from '../../src/load/remask.js';
import { orContention } from '../../src/load/remask-upsert.js';
import { readCatalog } from '../../src/load/target-catalog.js';
import type { LoadTarget } from '../../src/load/upsert.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

// Tokens stand for what keys make: s1.x under the old key is s2.x under the new.
const OLD_AND_NEW = `
  insert into public.people values
    ('s1.a', 1, 'a, old key'), ('s2.a', 2, 'a, new key'),
    ('s1.b', 5, 'b, old key, sent later'), ('s2.b', 4, 'b, new key'),
    ('s1.c', 1, 'c, old key only'), ('s2.d', 1, 'd, new key only'),
    ('s1.e', null, 'e, old key, of no time'), ('s2.e', 1, 'e, new key'),
    ('s1.f', 1, 'f, old key'), ('s2.f', null, 'f, new key, of no time')`;
const PLAIN = 'create table public.people (who text primary key, n integer, note text)';
const PARTITIONED = `
  create table public.people (who text, n integer, note text, region text default 'x', primary key (who, region))
    partition by list (region);
  create table public.people_x partition of public.people for values in ('x');
  create table public.people_y partition of public.people for values in ('y');
  insert into public.people values ('s1.a', 9, 'a of y', 'y')`;

async function remask(pool: PostgresPool, keys: readonly string[], newestBy: string | null) {
  const target: LoadTarget = { schema: 'public', table: 'people', upsert: { keys, newestBy } };
  return remaskRows(pool, {
    pipeline: 'people',
    target,
    rate: 1e6,
    dryRun: false,
    clock: systemClock,
    signal: new AbortController().signal,
    attempt: (step) => step(),
    prepare: async () => undefined,
    remask: {
      fromKid: 1,
      toKid: 2,
      columns: [{ name: 'who', isList: false, kind: 'siv' }],
      kidColumns: [],
      vaultTokens: () => [],
      change: (rows) => rows.map(({ cells }) => cells.map((cell) => String(cell).replace('s1.', 's2.'))),
    },
  });
}

for (const [name, ddl, keys] of [
  ['a table', PLAIN, ['who']],
  ['a partitioned table', PARTITIONED, ['region', 'who']],
] as const) {
  test(`remask of a masked key keeps one row of each, the newer one: ${name}`, async () => {
    for (const newestBy of ['n', null]) {
      const url = await server.migratedDatabase();
      await rowsOf(url, `${ddl}; ${OLD_AND_NEW}`);
      const pool = createPool({ url, applicationName: 'test' });
      try {
        const { unopened, left } = await remask(pool, keys, newestBy);
        assert.deepEqual([unopened, left], [0, 0]);
        const rows = await rowsOf(
          url,
          `select who, note from public.people where note <> 'a of y' order by who`,
        );
        assert.deepEqual(rows, [
          { who: 's2.a', note: 'a, new key' },
          { who: 's2.b', note: newestBy === null ? 'b, new key' : 'b, old key, sent later' },
          { who: 's2.c', note: 'c, old key only' },
          { who: 's2.d', note: 'd, new key only' },
          { who: 's2.e', note: 'e, new key' },
          { who: 's2.f', note: newestBy === null ? 'f, new key, of no time' : 'f, old key' },
        ]);
      } finally {
        await pool.close();
      }
    }
  });
}

test('an erasure that empties columns deletes the row whose key it is', async () => {
  const url = await server.migratedDatabase();
  await rowsOf(
    url,
    `create table public.people (who text, n integer, note text); create unique index on public.people (who);
     insert into public.people values ('s1.a', 1, 's1.a'), ('s1.b', 1, 's1.a')`,
  );
  const pool = createPool({ url, applicationName: 'test' });
  const target: LoadTarget = {
    schema: 'public',
    table: 'people',
    upsert: { keys: ['who'], newestBy: null },
  };
  try {
    const { table: catalog } = await readCatalog(pool, target);
    assert.ok(catalog);
    const place = {
      pipeline: 'people',
      target,
      catalog,
      origin: { messageId: null, batchId: null },
      erasure: null,
      mode: 'null',
    } as const;
    const forms = [{ stored: 's1.a', kid: null }];
    const actions = await withConnection(url, async (client) => {
      const columns = ['who', 'note'].map((name) => ({ name, forms, isClear: false, kidColumn: null }));
      return (await Promise.all(columns.map((column) => eraseColumn(client, place, column)))).flat();
    });
    assert.deepEqual(
      actions.map(({ column, action, rows }) => [column, action, rows]),
      [
        ['who', 'delete', 1],
        ['note', 'null', 2],
      ],
    );
  } finally {
    await pool.close();
  }
});

test('a key that a loader has taken just before is contention, which the next try resolves', async () => {
  const url = await server.migratedDatabase();
  await rowsOf(url, `${PLAIN}; ${OLD_AND_NEW}`);
  const target: LoadTarget = {
    schema: 'public',
    table: 'people',
    upsert: { keys: ['who'], newestBy: null },
  };
  await withConnection(url, async (client) => {
    const take = () => client.query(`update public.people set who = 's2.a' where who = 's1.a'`);
    await assert.rejects(orContention(target, take()), (error) => {
      assert.ok(error instanceof PipelineError);
      assert.equal(error.code, 'contention');
      assert.doesNotMatch(error.message, /s2\.a/);
      return true;
    });
    await assert.rejects(orContention({ ...target, upsert: null }, take()), { name: 'RowRefused' });
  });
});
