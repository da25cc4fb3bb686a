import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { inspect } from 'node:util';
import type { ErrorCode } from '../../src/errors.js';
import { type PostgresPoolOptions, createPool } from '../../src/load/connection.js';
import { batchOf, goodRows, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

const CANARY = 'c4naryq7zx';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

/** Asserts the code, and that no part of the error quotes the batch's values. */
function saying(code: ErrorCode, text = /./): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof Error && 'code' in error);
    assert.equal(error.code, code, inspect(error));
    assert.match(error.message, text);
    const everything =
      inspect(error, { depth: 9, showHidden: true }) + JSON.stringify(error) + (error.stack ?? '');
    assert.doesNotMatch(everything, new RegExp(CANARY));
    return true;
  };
}

const secretBatch = () =>
  batchOf({ rows: [...goodRows('a', 2), { id: CANARY, values: [CANARY, '1', CANARY] }] });

interface Fault {
  readonly name: string;
  readonly sql: (database: string) => string;
  readonly code: ErrorCode;
  readonly text?: RegExp;
  readonly pool?: Partial<PostgresPoolOptions>;
}

const faults: readonly Fault[] = [
  {
    name: 'the table is missing',
    sql: () => 'drop table events',
    code: 'table_unfit',
    text: /public\.events.*42P01/,
  },
  {
    name: 'a column is missing',
    sql: () => 'alter table events drop column note',
    code: 'table_unfit',
    text: /42703/,
  },
  {
    name: "maskline's schema is missing",
    sql: () => 'drop schema maskline cascade',
    code: 'schema_outdated',
    text: /maskline migrate/,
  },
  {
    name: 'the database is read-only',
    sql: (database) => `alter database ${database} set default_transaction_read_only = on`,
    code: 'postgres_unavailable',
    text: /25006/,
  },
  {
    name: 'a statement takes too long',
    sql: () => `create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(30); return new; end';
                create trigger slow before insert on events for each row execute function slow()`,
    code: 'statement_timeout',
    text: /public\.events.*statement_timeout.*57014/,
    pool: { statementTimeoutMs: 200 },
  },
  {
    name: 'a trigger fails by a fault of its own',
    sql: () => `create function broken() returns trigger language plpgsql as 'begin perform nowhere(new.note); return new; end';
                create trigger broken before insert on events for each row execute function broken()`,
    code: 'table_unfit',
    text: /42883/,
  },
  {
    name: 'a row error arises in our own tables',
    sql: () => 'alter table maskline.loads add constraint never check (received < 0)',
    code: 'contention',
  },
];

for (const fault of faults) {
  test(`${fault.name}: ${fault.code}; nothing is written or quarantined, and mended, the same batch commits`, async () => {
    const { url, another, close } = await openSink(server);
    await rowsOf(url, fault.sql(new URL(url).pathname.slice(1)));
    const sink = another({ pool: createPool({ url, applicationName: 'test', ...fault.pool }) });
    await assert.rejects(sink.commit(secretBatch()), saying(fault.code, fault.text));
    if (fault.code !== 'schema_outdated') {
      assert.deepEqual(await rowsOf(url, 'select count(*)::int as n from maskline.ledger'), [{ n: 0 }]);
      assert.deepEqual(await rowsOf(url, 'select count(*)::int as n from maskline.quarantine'), [{ n: 0 }]);
    }
    await close();
  });
}

test('a lock held by somebody else is contention to a loader, and an outage to an ingester', async () => {
  const { url, another, close } = await openSink(server);
  const sink = another({ pool: createPool({ url, applicationName: 'test', lockTimeoutMs: 100 }) });
  const batch = secretBatch();
  await withConnection(url, async (client) => {
    await client.query('begin; lock table events');
    await assert.rejects(sink.commit(batch), saying('contention', /55P03/));
    await client.query('lock table maskline.loads');
    await assert.rejects(sink.fates([batch.batchId]), saying('postgres_unavailable', /55P03/));
    await client.query('rollback');
  });
  assert.equal((await sink.commit(batch))?.loaded, 3);
  await close();
});

test('the loader role of the documentation can do all that a loader does, and nothing else', async () => {
  const { url, another, close } = await openSink(server);
  await rowsOf(
    url,
    `create role loader login password 'secret';
     grant usage on schema maskline to loader;
     grant insert on events, maskline.quarantine to loader;
     grant insert, select on maskline.ledger, maskline.loads to loader`,
  );
  const own = new URL(url);
  own.username = 'loader';
  own.password = 'secret';
  const sink = another({ pool: createPool({ url: own.href, applicationName: 'loader' }) });
  const bad = ['x', 'y'].map((id) => ({ id, values: ['x', CANARY, null] }));
  const report = await sink.commit(
    batchOf({ rows: [...goodRows('a', 3), ...bad], rejections: [{ id: 'r' }] }),
  );
  assert.deepEqual([report?.loaded, report?.quarantined, report?.copies], [3, 3, 3]);
  await rowsOf(url, 'revoke insert on events from loader');
  await assert.rejects(sink.commit(secretBatch()), saying('permission_denied', /public\.events/));
  for (const sql of [
    'delete from maskline.ledger',
    'update maskline.loads set held = null',
    'select from events',
  ]) {
    await assert.rejects(rowsOf(own.href, sql), { code: '42501' });
  }
  await close();
});

test('no server, a wrong password, no such database, an unreadable URL: each is told apart, and no secret is quoted', async () => {
  const url = await server.database();
  const changed = (change: (url: URL) => void): string => {
    const copy = new URL(url);
    change(copy);
    return copy.href;
  };
  const cases: readonly [string, ErrorCode][] = [
    [changed((u) => (u.port = '1')), 'postgres_unavailable'],
    [changed((u) => (u.hostname = 'no-such-host.invalid')), 'postgres_unavailable'],
    [changed((u) => (u.password = CANARY)), 'permission_denied'],
    [changed((u) => (u.pathname = '/absent')), 'table_unfit'],
    [changed((u) => (u.search = '?sslmode=verify-full')), 'config_invalid'],
    [changed((u) => (u.search = '?sslmode=verify-full&sslrootcert=/absent.pem')), 'config_invalid'],
  ];
  for (const [broken, code] of cases) {
    const attempt = async (): Promise<void> => {
      const pool = createPool({ url: broken, applicationName: 'test' });
      try {
        await pool.query('select 1');
      } finally {
        await pool.close();
      }
    };
    await assert.rejects(attempt(), saying(code));
  }
  assert.throws(
    () => createPool({ url: `postgres://${CANARY}:x@[bad/`, applicationName: 'test' }),
    saying('config_invalid'),
  );
});

test('a statement on a closed pool is canceled', async () => {
  const pool = createPool({ url: server.server.url, applicationName: 'test' });
  await Promise.all([pool.close(), pool.close()]);
  await assert.rejects(pool.query('select 1'), saying('canceled'));
});

test('every session has the limits that keep a frozen loader from holding others up', async () => {
  const pool = createPool({ url: server.server.url, applicationName: 'maskline-load' });
  const names = [
    'statement_timeout',
    'lock_timeout',
    'idle_in_transaction_session_timeout',
    'tcp_keepalives_idle',
    'tcp_keepalives_interval',
    'tcp_keepalives_count',
    'TimeZone',
    'application_name',
  ];
  const { rows } = await pool.query<{ all: string[] }>(
    'select array(select current_setting(name) from unnest($1::text[]) with ordinality as t (name, i) order by i) as all',
    [names],
  );
  assert.deepEqual(rows[0]?.all, ['1min', '5s', '10s', '5', '5', '3', 'UTC', 'maskline-load']);
  await pool.close();
});
