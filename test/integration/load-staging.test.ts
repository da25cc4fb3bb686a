import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { LoadTarget } from '../../src/load/upsert.js';
import { openStaging } from '../../src/load/staging.js';
import { NOON, type TestSink, batchOf, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const TARGET: LoadTarget = { schema: 'public', table: 'events', upsert: { keys: ['name'], newestBy: 'n' } };
const DDL = 'create table public.events (name varchar(10) primary key, n integer, note text)';

let records = 0;
async function load({ sink }: TestSink, name: string, n: string, note = 'x'): Promise<void> {
  records += 1;
  const report = await sink.commit(
    batchOf({ rows: [{ id: `m${records}`, sentAt: NOON, values: [name, n, note] }] }),
  );
  assert.equal(report?.loaded, 1);
}

/** The tables that sessions keep to stage rows in. */
const staged = ({ url }: TestSink): Promise<readonly unknown[]> =>
  rowsOf(
    url,
    `select oid::int, relname from pg_class where relname like 'maskline_staged%' and relkind = 'r' order by oid`,
  );

test('batch after batch, a session stages its rows in one table, so that the catalog does not grow', async () => {
  const it = await openSink(server, DDL, { target: TARGET });
  try {
    await load(it, 'a', '1');
    const first = await staged(it);
    assert.equal(first.length, 1);
    for (let n = 2; n <= 30; n += 1) await load(it, n % 2 === 0 ? 'a' : 'b', String(n));
    assert.deepEqual(await staged(it), first);
    const rows = await rowsOf(it.url, 'select name, n from public.events order by name');
    assert.deepEqual(rows, [
      { name: 'a', n: 30 },
      { name: 'b', n: 29 },
    ]);
  } finally {
    await it.close();
  }
});

test('a column that has become wider is staged as it is now', async () => {
  const it = await openSink(server, DDL, { target: TARGET });
  try {
    await load(it, 'a', '1');
    await rowsOf(it.url, 'alter table public.events alter n type bigint, alter name type varchar(20)');
    await load(it, 'longer than ten', '3000000000');
    await rowsOf(it.url, 'drop table public.events');
    await rowsOf(it.url, DDL);
    await load(it, 'b', '2');
    assert.deepEqual(await rowsOf(it.url, 'select name, n from public.events'), [{ name: 'b', n: 2 }]);
  } finally {
    await it.close();
  }
});

test("a type of the user's own is held by no staging, and can be dropped while loaders are at work", async () => {
  const ddl = `create type public.mood as enum ('good', 'bad');
    create table public.events (name varchar(10) primary key, n integer, note public.mood)`;
  const it = await openSink(server, ddl, { target: TARGET });
  try {
    await load(it, 'a', '1', 'good');
    await load(it, 'a', '2', 'bad');
    assert.deepEqual(await staged(it), []);
    await rowsOf(it.url, 'alter table public.events alter note type text; drop type public.mood');
    await load(it, 'a', '3', 'neither');
  } finally {
    await it.close();
  }
});

test('a staging is empty at its beginning, also for the second of one transaction, and after a rollback', async () => {
  const url = await server.migratedDatabase();
  await withConnection(url, async (client) => {
    await client.query(DDL);
    const rowsIn = async (): Promise<number> => {
      const table = await openStaging(client, TARGET, ['name', 'n']);
      const { rows } = await client.query<{ n: number }>(`select count(*)::int as n from ${table}`);
      await client.query(`insert into ${table} values ('x', 1), ('y', 2)`);
      return rows[0]?.n ?? -1;
    };
    for (const end of ['commit', 'rollback', 'commit']) {
      await client.query('begin');
      assert.deepEqual([await rowsIn(), await rowsIn()], [0, 0]);
      await client.query(end);
    }
  });
});
