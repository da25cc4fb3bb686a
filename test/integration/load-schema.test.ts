import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { uuidv7 } from 'uuidv7';
import { type RunReport, noCounts } from '../../src/batch.js';
import { PipelineError } from '../../src/errors.js';
import { createPool } from '../../src/load/connection.js';
import { ensureLedgerPartitions } from '../../src/load/ledger.js';
import { checkSchema, migrate, migrationStatus } from '../../src/load/migrate.js';
import { hasStageStopped, processGone, processSeen, processStops } from '../../src/load/processes.js';
import { createRunLog, listRuns, showRun } from '../../src/load/runs.js';
import { createScheduleLog } from '../../src/load/schedules.js';
import { NOON, batchOf, goodRows, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

const MIGRATIONS = [
  '0001_core',
  '0002_ledger-partitions',
  '0003_load-one-by-one',
  '0004_operations',
  '0005_quarantine',
  '0006_proof',
  '0007_remask',
  '0008_reveal-and-vault',
  '0009_upsert',
  '0010_target-partitions',
  '0011_leases',
  '0012_process-stops',
  '0013_replayed-rows',
  '0014_several-tables',
  '0015_partitions-of-several',
  '0016_proof-of-several-tables',
  '0017_notices',
];
/** 15 days back, today, 7 ahead. */
const PARTITIONS = 23;
const DAY_MS = 86_400_000;

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const day = (offset: number): string => new Date(Date.now() + offset * DAY_MS).toISOString().slice(0, 10);
const partition = (offset: number): string => `ledger_${day(offset).replaceAll('-', '')}`;

test('four migrations at once: each step runs once, and all four succeed', async () => {
  const url = await server.database();
  const results = await Promise.all([1, 2, 3, 4].map(() => migrate(url)));
  assert.deepEqual(results.flatMap((result) => result.migrations).sort(), MIGRATIONS);
  assert.equal(
    results.reduce((sum, result) => sum + result.partitions, 0),
    PARTITIONS,
  );
  const parts = await rowsOf(
    url,
    `select relid::regclass::text as name from pg_partition_tree('maskline.ledger') where isleaf order by 1`,
  );
  const expected = Array.from({ length: PARTITIONS }, (_, i) => `maskline.${partition(i - 15)}`);
  assert.deepEqual(
    new Set(parts.map((part) => part['name'])),
    new Set([...expected, 'maskline.ledger_default']),
  );
  assert.deepEqual(await migrate(url), { migrations: [], sql: '', partitions: 0 });
});

test('a dry run tells the SQL and changes nothing', async () => {
  const url = await server.database();
  const { migrations, sql } = await migrate(url, { dryRun: true });
  assert.deepEqual(migrations, MIGRATIONS);
  assert.match(sql, /create table maskline\.ledger/);
  assert.deepEqual(await rowsOf(url, `select to_regnamespace('maskline') as there`), [{ there: null }]);
  await migrate(url);
  assert.deepEqual(await migrate(url, { dryRun: true }), { migrations: [], sql: '', partitions: 0 });
});

test('a missing or older schema is outdated and names the remedy; a newer one serves older processes', async () => {
  const url = await server.database();
  const pool = createPool({ url, applicationName: 'test' });
  assert.deepEqual(await migrationStatus(pool), { applied: [], pending: MIGRATIONS, newer: [] });
  await assert.rejects(checkSchema(pool), {
    code: 'schema_outdated',
    message: /is missing; run `maskline migrate`/,
  });
  await migrate(url);
  await checkSchema(pool);
  await rowsOf(url, `insert into maskline.migrations (name, run_on) values ('9999_future', now())`);
  await checkSchema(pool);
  assert.deepEqual((await migrationStatus(pool)).newer, ['9999_future']);
  await rowsOf(url, `delete from maskline.migrations where name in ('0003_load-one-by-one', '9999_future')`);
  await assert.rejects(checkSchema(pool), { code: 'schema_outdated', message: /lacks 0003_load-one-by-one/ });
  await pool.close();
});

test('an owner who may make no schemas can migrate one that was made for it', async () => {
  const url = await server.database();
  const name = `owner_only_${Date.now()}`;
  await rowsOf(url, `create role ${name} login password 'x'; create schema maskline authorization ${name}`);
  const own = new URL(url);
  own.username = name;
  own.password = 'x';
  assert.deepEqual((await migrate(own.href)).migrations, MIGRATIONS);
});

test('partitions are made by parallel callers without the rights to make them, and only once', async () => {
  const url = await server.database();
  await migrate(url);
  await rowsOf(url, `drop table maskline.${partition(3)}, maskline.${partition(4)}`);
  const name = `ingest_${Date.now()}`;
  await rowsOf(
    url,
    `create role ${name} login password 'x'; grant usage on schema maskline to ${name};
     grant execute on function maskline.ensure_ledger_partitions(date, date) to ${name}`,
  );
  const own = new URL(url);
  own.username = name;
  own.password = 'x';
  const pool = createPool({ url: own.href, applicationName: 'test' });
  const made = await Promise.all([1, 2, 3, 4].map(() => ensureLedgerPartitions(pool)));
  assert.deepEqual(
    [...made].sort((a, b) => a - b),
    [0, 0, 0, 2],
  );
  await pool.close();
});

test('a record whose day has no partition is known as a duplicate, before and after the partition is made', async () => {
  const { url, pool, sink, close } = await openSink(server);
  const sentAt = NOON + 3 * DAY_MS;
  const row = { id: 'early', sentAt, values: ['x', '1', null] };
  await rowsOf(
    url,
    `drop table maskline.ledger_${new Date(sentAt).toISOString().slice(0, 10).replaceAll('-', '')}`,
  );
  assert.equal((await sink.commit(batchOf({ rows: [row] })))?.loaded, 1);
  assert.equal((await sink.commit(batchOf({ rows: [row] })))?.duplicates, 1);
  assert.equal(await ensureLedgerPartitions(pool), 1);
  assert.deepEqual(await rowsOf(url, 'select count(*)::int as n from only maskline.ledger_default'), [
    { n: 0 },
  ]);
  assert.equal((await sink.commit(batchOf({ rows: [row] })))?.duplicates, 1);
  await close();
});

test('a record under way to the default partition while its own is attached is tried again, not quarantined', async () => {
  const { url, sink, close } = await openSink(server);
  const sentAt = NOON + 3 * DAY_MS;
  const name = `ledger_${new Date(sentAt).toISOString().slice(0, 10).replaceAll('-', '')}`;
  await rowsOf(url, `drop table maskline.${name}`);
  const batch = batchOf({ rows: [{ id: 'early', sentAt, values: ['x', '1', null] }] });
  await withConnection(url, async (client) => {
    await client.query('begin');
    await client.query('select maskline.ensure_ledger_partitions($1, $1)', [
      new Date(sentAt).toISOString().slice(0, 10),
    ]);
    const committed = sink.commit(batch).catch((error: unknown) => {
      assert.ok(error instanceof PipelineError && error.code === 'contention');
      return sink.commit(batch);
    });
    await waitsForLock(url);
    await client.query('commit');
    const report = await committed;
    assert.equal(report?.loaded, 1);
  });
  assert.deepEqual(
    await rowsOf(url, 'select tableoid::regclass::text as part, outcome from maskline.ledger'),
    [{ part: `maskline.${name}`, outcome: 'loaded' }],
  );
  await close();
});

async function waitsForLock(url: string): Promise<void> {
  await withConnection(url, async (client) => {
    while (
      (await client.query("select from pg_stat_activity where wait_event_type = 'Lock'")).rowCount === 0
    );
  });
}

const runOf = (run: Partial<RunReport> = {}): RunReport => ({
  runId: uuidv7(),
  pipeline: 'logins',
  trigger: 'drain',
  state: 'running',
  startedAt: NOON,
  finishedAt: null,
  ...noCounts,
  ...run,
});

test('a run is opened, kept alive, closed with its report, and listed with its batches', async () => {
  const { pool, sink, close } = await openSink(server);
  const log = createRunLog(pool);
  const run = runOf();
  await log.open(run, 'host:1');
  await log.open(run, 'host:1');
  await log.heartbeat(run.runId, { received: 2, loaded: 1, duplicates: 1, quarantined: 0, released: 0 });
  const [going] = await listRuns(pool, { limit: 10 });
  assert.deepEqual(
    [going?.state, going?.received, going?.owner, going?.finished_at],
    ['running', 2, 'host:1', null],
  );
  const counts = { received: 7, loaded: 3, duplicates: 2, quarantined: 1, released: 1 };
  await log.close({ ...run, ...counts, state: 'succeeded', finishedAt: NOON + 1_500 });
  await sink.commit(batchOf({ runId: run.runId, receivedAt: NOON + 5, rows: goodRows('a', 3) }));
  await sink.letGo([{ ...batchOf({ runId: run.runId }), records: 4, receivedAt: NOON + 2 }]);
  const shown = await showRun(pool, run.runId);
  assert.deepEqual(
    { ...shown, batches: shown?.batches.length, heartbeat_at: '' },
    {
      run_id: run.runId,
      pipeline: 'logins',
      trigger: 'drain',
      state: 'succeeded',
      owner: 'host:1',
      started_at: new Date(NOON).toISOString(),
      heartbeat_at: '',
      finished_at: new Date(NOON + 1_500).toISOString(),
      ...counts,
      batches: 2,
    },
  );
  const [released, committed] = shown?.batches ?? [];
  assert.deepEqual(
    [
      released?.state,
      released?.released,
      released?.loaded_at,
      committed?.state,
      committed?.loaded,
      committed?.kids,
    ],
    ['released', 4, null, 'committed', 3, [1]],
  );
  assert.equal(committed?.received_at, new Date(NOON + 5).toISOString());
  assert.equal(await showRun(pool, 'nonsense'), null);
  await close();
});

test('runs are listed latest first, by pipeline, state and time', async () => {
  const { pool, close } = await openSink(server);
  const log = createRunLog(pool);
  const runs = [0, 1, 2, 3].map((i) => runOf({ startedAt: NOON + i, pipeline: i % 2 ? 'odd' : 'even' }));
  for (const run of runs) await log.close({ ...run, state: 'failed', finishedAt: NOON + 9 });
  const ids = async (filter: object): Promise<unknown> =>
    (await listRuns(pool, { limit: 10, ...filter })).map((row) =>
      runs.findIndex((run) => run.runId === row.run_id),
    );
  assert.deepEqual(await ids({}), [3, 2, 1, 0]);
  assert.deepEqual(await ids({ limit: 2 }), [3, 2]);
  assert.deepEqual(await ids({ pipelines: ['odd'] }), [3, 1]);
  assert.deepEqual(await ids({ since: NOON + 2, states: ['failed', 'running'] }), [3, 2]);
  assert.deepEqual(await ids({ states: ['succeeded'] }), []);
  await close();
});

test('only a run whose owner has been silent is abandoned, and its late report still counts', async () => {
  const { url, pool, close } = await openSink(server);
  const log = createRunLog(pool);
  const [silent, alive, foreign] = [runOf(), runOf(), runOf({ pipeline: 'other' })];
  for (const run of [silent, alive, foreign]) await log.open(run, 'x');
  await rowsOf(url, `update maskline.runs set heartbeat_at = now() - interval '11 min' where run_id <> $1`, [
    alive.runId,
  ]);
  assert.equal(await log.abandonStale('logins', 600_000), 1);
  assert.equal(await log.abandonStale('logins', 600_000), 0);
  await log.heartbeat(silent.runId, { ...noCounts, received: 5 });
  const state = async (run: RunReport): Promise<unknown> => (await showRun(pool, run.runId))?.state;
  assert.deepEqual(
    [await state(silent), await state(alive), await state(foreign)],
    ['abandoned', 'running', 'running'],
  );
  assert.equal((await showRun(pool, silent.runId))?.received, 0);
  await log.close({ ...silent, state: 'failed', finishedAt: NOON });
  assert.equal(await state(silent), 'failed');
  await close();
});

test('a schedule remembers its last start and its pause; a breaker its first reason, until resumed', async () => {
  const { pool, close } = await openSink(server);
  const log = createScheduleLog(pool);
  const fresh = {
    pausedAt: null,
    reason: null,
    lastStartedAt: null,
    lastSucceededAt: null,
    resumedAt: null,
    turnOf: null,
  };
  assert.deepEqual(await log.read('p'), { pipeline: 'p', ...fresh });
  await log.started('p', NOON + 5);
  await log.started('p', NOON);
  assert.equal(await log.lastStartedAt('p'), NOON + 5);
  await log.succeeded('p', NOON + 4);
  await log.succeeded('p', NOON);
  await log.pause('p', 'holiday');
  await log.started('p', NOON + 9);
  const paused = await log.read('p');
  assert.deepEqual(
    [typeof paused.pausedAt, paused.reason, paused.lastStartedAt],
    ['number', 'holiday', NOON + 5],
  );
  assert.equal((await log.breaker('p')).state, 'closed');
  await log.openBreaker('p', 'first');
  await log.openBreaker('p', 'second');
  const open = await log.breaker('p');
  assert.deepEqual([open.state, open.reason], ['open', 'first']);
  await log.resume('p');
  const { resumedAt, ...resumed } = await log.read('p');
  assert.ok(resumedAt !== null && Math.abs(resumedAt - Date.now()) < 60_000);
  assert.deepEqual(resumed, {
    pipeline: 'p',
    pausedAt: null,
    reason: null,
    lastStartedAt: NOON + 5,
    lastSucceededAt: NOON + 4,
    turnOf: null,
  });
  assert.equal((await log.breaker('p')).state, 'closed');
  await log.openBreaker('p', 'third');
  assert.equal((await log.breaker('p')).reason, 'third');
  // Names without a row are as fresh ones, and the order is that of the question.
  const all = await log.readAll(['q', 'p']);
  assert.deepEqual(
    all.map(({ schedule, breaker }) => [schedule.pipeline, schedule.lastStartedAt, breaker.state]),
    [
      ['q', null, 'closed'],
      ['p', NOON + 5, 'open'],
    ],
  );
  await close();
});

test('a stage has stopped when all who work on it have said so; who is silent otherwise, or works elsewhere, does not count', async () => {
  const url = await server.migratedDatabase();
  const pool = createPool({ url, applicationName: 'test' });
  const stop = { code: 'table_unfit', message: 'no table', since: NOON } as const;
  const seen = async (role: string, pipelines = ['p']): Promise<string> => {
    const id = uuidv7();
    await processSeen(pool, { id, role, owner: 'host:1', version: '1', pipelines });
    return id;
  };
  const silent = (id: string) =>
    pool.query(`update maskline.processes set seen_at = now() - interval '31 seconds' where id = $1`, [id]);
  const expect = async (wished: boolean, why: string): Promise<void> =>
    assert.equal(await hasStageStopped(pool, 'p', 30_000), wished, why);
  try {
    await expect(false, 'nobody is there');
    const [one, other] = [await seen('load'), await seen('load')];
    await seen('transform');
    for (const id of [await seen('ingest'), await seen('admin')]) await processStops(pool, id, { p: stop });
    await expect(false, 'both loaders work');
    await processStops(pool, one, { p: stop });
    await expect(false, 'the other loader works');
    await processStops(pool, other, { q: stop });
    await expect(false, 'the other has stopped another pipeline');
    await silent(other);
    await expect(true, 'who is silent does not work');
    const elsewhere = await seen('load', ['q']);
    await expect(true, 'who serves other pipelines does not work on this one');
    await silent(one);
    await expect(true, 'the last that was heard of the stage is that it stopped');
    const all = await seen('all');
    await expect(false, 'a process of all stages loads, too');
    await processStops(pool, all, { p: stop });
    await expect(true, 'that one has stopped as well');
    for (const id of [one, all]) await processStops(pool, id, {});
    await expect(false, 'it goes on');
    for (const id of [one, other, all, elsewhere]) await processGone(pool, id);
    await expect(false, 'there are no loaders any more, and none has stopped it');
  } finally {
    await pool.close();
  }
});
