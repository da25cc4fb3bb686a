import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '../../src/clock.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { type Pruned, prune } from '../../src/load/prune.js';
import { startMaintenance } from '../../src/roles/maintenance.js';
import { startPresence } from '../../src/roles/presence.js';
import { type LogFields } from '../../src/ops/log-fields.js';
import { batchOf, goodRows, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';
import { Seen, eventually } from '../support/queue.js';

const DAY_MS = 86_400_000;
const RETENTION = { ledgerMs: 15 * DAY_MS, runsMs: 90 * DAY_MS, replayedQuarantineMs: 30 * DAY_MS };

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

/** RFC 9562: 48 bits of time, version, and whatever tells ids apart. */
function idAt(daysAgo: number, n = 0): string {
  const time = (Date.now() - daysAgo * DAY_MS).toString(16).padStart(12, '0').slice(-12);
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

const ago = (days: number): string => new Date(Date.now() - days * DAY_MS).toISOString();

async function open(): Promise<{ readonly url: string; readonly pool: PostgresPool }> {
  const url = await server.migratedDatabase();
  return { url, pool: createPool({ url, applicationName: 'test' }) };
}

async function addRun(url: string, days: number, state = 'succeeded', n = 0): Promise<string> {
  const id = idAt(days, n);
  const finished = state === 'running' ? null : ago(days);
  await rowsOf(
    url,
    `insert into maskline.runs (run_id, pipeline, trigger, state, started_at, heartbeat_at, finished_at)
     values ($1, 'logins', 'schedule', $2, $3, $3, $4)`,
    [id, state, ago(days), finished],
  );
  return id;
}

async function addLoad(url: string, days: number, runId: string, n = 0): Promise<string> {
  const id = idAt(days, n);
  await rowsOf(
    url,
    `insert into maskline.loads (batch_id, run_id, pipeline, state, received, released, received_at)
     values ($1, $2, 'logins', 'released', 1, 1, $3)`,
    [id, runId, ago(days)],
  );
  return id;
}

async function ids(url: string, table: string, column: string): Promise<readonly unknown[]> {
  const rows = await rowsOf(url, `select ${column} as id from maskline.${table} order by 1`);
  return rows.map((row) => row['id']);
}

async function partitions(url: string): Promise<readonly unknown[]> {
  const rows = await rowsOf(
    url,
    `select relid::regclass::text as name from pg_partition_tree('maskline.ledger') where isleaf order by 1`,
  );
  return rows.map((row) => row['name']);
}

const partitionOf = (daysAgo: number): string => `ledger_${ago(daysAgo).slice(0, 10).replaceAll('-', '')}`;

/** A database in which something of each kind is past its retention, and something is not. */
async function aged(): Promise<{
  readonly url: string;
  readonly pool: PostgresPool;
  readonly kept: { readonly runs: readonly string[]; readonly loads: readonly string[] };
}> {
  const { url, pool } = await open();
  const day = (n: number): string => ago(n).slice(0, 10);
  await rowsOf(url, `select maskline.ensure_ledger_partitions($1::date, $2::date)`, [day(18), day(17)]);
  await rowsOf(
    url,
    `insert into maskline.ledger (pipeline, sent_at, key, record_id, batch_id, outcome)
     select 'logins', sent_at, convert_to(n::text, 'UTF8'), n::text, gen_random_uuid(), 'loaded'
       from unnest($1::timestamptz[]) with ordinality as t (sent_at, n)`,
    [[ago(18), ago(17), ago(17), ago(200), ago(100), ago(14), ago(1)]],
  );
  const old = await addRun(url, 100);
  await addLoad(url, 100, old, 1);
  await addLoad(url, 100, old, 2);
  // Its run was never on record.
  await addLoad(url, 95, idAt(95, 9), 3);
  const young = await addRun(url, 89);
  const running = await addRun(url, 120, 'running');
  // A run that ended long ago, though one of its batches is young.
  const odd = await addRun(url, 93);
  const kept = [await addLoad(url, 120, running), await addLoad(url, 89, young), await addLoad(url, 2, odd)];
  await rowsOf(
    url,
    `insert into maskline.quarantine
       (id, pipeline, record_id, message_id, batch_id, code, kind, sealed, kid, sent_at, quarantined_at, replayed_at)
     select gen_random_uuid(), 'logins', 'r', 'm', gen_random_uuid(), 'bad_ip', 'raw', '', 1, $1, $1, replayed_at
       from unnest($2::timestamptz[]) as t (replayed_at)`,
    [ago(200), [ago(31), ago(29), null]],
  );
  await rowsOf(
    url,
    `insert into maskline.processes (id, role, owner, version, seen_at)
     select gen_random_uuid(), 'load', 'h:1', '1', seen_at from unnest($1::timestamptz[]) as t (seen_at)`,
    [[ago(2), ago(0)]],
  );
  return { url, pool, kept: { runs: [young, running, odd].sort(), loads: kept.sort() } };
}

const EXPECTED: Pruned = {
  ledger_partitions: 2,
  ledger_rows: 2,
  loads: 3,
  runs: 1,
  quarantine: 1,
  processes: 1,
  ledger_partitions_left: 0,
};

test('what is past its retention goes, in steps of any size; what is younger, running or open stays', async () => {
  const { url, pool, kept } = await aged();
  const dry = await prune(pool, RETENTION, { clock: systemClock, dryRun: true });
  assert.deepEqual(dry, EXPECTED, 'a dry run counts the same');
  assert.equal((await ids(url, 'loads', 'batch_id')).length, 6, 'and deletes nothing');
  const pruned = await prune(pool, RETENTION, { clock: systemClock, batchRows: 2 });
  assert.deepEqual(pruned, EXPECTED);
  assert.deepEqual(await ids(url, 'runs', 'run_id'), kept.runs);
  assert.deepEqual(await ids(url, 'loads', 'batch_id'), kept.loads);
  assert.deepEqual(await ids(url, 'ledger', 'record_id'), ['6', '7']);
  const left = await partitions(url);
  for (const days of [17, 18]) assert.ok(!left.includes(`maskline.${partitionOf(days)}`));
  assert.ok(
    left.includes(`maskline.${partitionOf(15)}`),
    'a day that began within the retention stays whole',
  );
  const entries = await rowsOf(
    url,
    'select replayed_at is null as open from maskline.quarantine order by replayed_at',
  );
  assert.deepEqual(entries, [{ open: false }, { open: true }]);
  assert.equal((await ids(url, 'processes', 'id')).length, 1);
  const again = await prune(pool, RETENTION, { clock: systemClock });
  assert.deepEqual(Object.values(again ?? {}), [0, 0, 0, 0, 0, 0, 0], 'again, there is nothing left');
  await pool.close();
});

test('who may execute the functions can prune, without any right on a table', async () => {
  const { url, pool } = await aged();
  const name = `operator_${Date.now()}`;
  await rowsOf(
    url,
    `create role ${name} login password 'x'; grant usage on schema maskline to ${name};
     grant execute on function maskline.count_prunable(text, timestamptz),
       maskline.prune(text, timestamptz, integer), maskline.drop_ledger_partition(timestamptz) to ${name}`,
  );
  const own = new URL(url);
  own.username = name;
  own.password = 'x';
  const operator = createPool({ url: own.href, applicationName: 'test' });
  assert.deepEqual(await prune(operator, RETENTION, { clock: systemClock }), EXPECTED);
  await assert.rejects(operator.query('select maskline.process_gone($1)', [idAt(0)]), {
    code: 'permission_denied',
  });
  await Promise.all([operator.close(), pool.close()]);
});

test('whatever the retention, what is younger than a day and decides about repeats stays', async () => {
  const { pool } = await open();
  for (const kind of ['ledger_partitions', 'ledger_rows', 'loads', 'runs']) {
    const young = pool.query(`select maskline.prune($1, now() - interval '23 hours', 10)`, [kind]);
    await assert.rejects(young, /22023/);
    const counted = pool.query(`select maskline.count_prunable($1, now() - interval '23 hours')`, [kind]);
    await assert.rejects(counted, /22023/);
  }
  await assert.rejects(pool.query('select maskline.drop_ledger_partition(now())'), /22023/);
  await pool.close();
});

test('a ledger that is never free is left for the next time, loaders hardly wait, and a second pruner goes away', async () => {
  const { url, pool } = await aged();
  const slept = new Seen<number>();
  const clock: Clock = {
    ...systemClock,
    sleep: async (ms) => slept.push(ms),
  };
  await withConnection(url, async (loader) => {
    await loader.query('begin');
    await loader.query('lock table maskline.ledger in row exclusive mode');
    const first = prune(pool, RETENTION, { clock });
    await slept.take(1);
    assert.equal(await prune(pool, RETENTION, { clock: systemClock }), null, 'another is at it');
    const before = Date.now();
    // Another loader, while the pruner asks for its lock again and again.
    await rowsOf(
      url,
      `insert into maskline.ledger (pipeline, sent_at, key, record_id, batch_id, outcome)
       values ('logins', now(), 'x', 'x', gen_random_uuid(), 'loaded')`,
    );
    assert.ok(Date.now() - before < 2_000);
    assert.deepEqual(await first, { ...EXPECTED, ledger_partitions: 0, ledger_partitions_left: 2 });
    await loader.query('rollback');
  });
  assert.equal((await prune(pool, RETENTION, { clock: systemClock }))?.ledger_partitions, 2);
  await pool.close();
});

test('a batch whose records or fate may be forgotten is refused as expired; one with a fate is done, however old', async () => {
  const memory = { ledgerMs: RETENTION.ledgerMs, runsMs: RETENTION.runsMs };
  const { url, sink, another, close } = await openSink(server);
  const careful = another({ memory });
  const old = batchOf({
    rows: goodRows('a', 1).map((row) => ({ ...row, sentAt: Date.now() - 14.6 * DAY_MS })),
  });
  await assert.rejects(careful.commit(old), { code: 'expired', message: new RegExp(old.batchId) });
  const rejected = batchOf({ rejections: [{ id: 'r', sentAt: Date.now() - 14.6 * DAY_MS }] });
  await assert.rejects(careful.commit(rejected), { code: 'expired' });
  const waited = batchOf({ batchId: idAt(89.6), rows: goodRows('b', 1) });
  await assert.rejects(careful.commit(waited), { code: 'expired' });
  assert.deepEqual(await rowsOf(url, 'select from events'), [], 'nothing was written');
  // In time, both are loaded.
  const fresh = batchOf({
    rows: goodRows('c', 1).map((row) => ({ ...row, sentAt: Date.now() - 14.4 * DAY_MS })),
  });
  assert.equal((await careful.commit(fresh))?.loaded, 1);
  assert.equal((await careful.commit(batchOf({ batchId: idAt(89.4), rows: goodRows('d', 1) })))?.loaded, 1);
  // Its fate is known, so there is nothing to be told apart.
  await sink.commit(old);
  assert.equal(await careful.commit(old), null);
  await close();
});

test('a committed batch keeps when its oldest message was sent', async () => {
  const { url, sink, close } = await openSink(server);
  const [first, second] = [Date.now() - 5_000, Date.now() - 9_000];
  await sink.commit(
    batchOf({
      rows: goodRows('a', 1).map((row) => ({ ...row, sentAt: first })),
      rejections: [{ id: 'r', sentAt: second }],
    }),
  );
  const [row] = await rowsOf(url, 'select oldest_sent_at from maskline.loads');
  assert.deepEqual(row, { oldest_sent_at: new Date(second) });
  await close();
});

test('maintenance runs at once, and one that falls into an outage is made up for; presence outlasts it too', async () => {
  const own = await startTestPostgres();
  try {
    const url = await own.migratedDatabase();
    const pool = createPool({ url, applicationName: 'test' });
    await rowsOf(url, `drop table maskline.${partitionOf(-7)}`);
    const said = new Seen<LogFields>();
    const waited = new Seen<unknown>();
    const log = { info: (line: LogFields) => said.push(line), warn: (line: LogFields) => said.push(line) };
    const deployment = {
      clock: systemClock,
      config: { retention: RETENTION },
      log,
      owner: 'host:1',
      onWait: (error: unknown) => waited.push(error),
    };
    const presence = startPresence(deployment, pool, { role: 'load', pipelines: ['logins'] });
    const present = (): Promise<readonly unknown[]> =>
      rowsOf(url, 'select role, owner, pipelines from maskline.processes');
    await eventually(present, (rows) => rows.length === 1);
    assert.deepEqual(await present(), [{ role: 'load', owner: 'host:1', pipelines: ['logins'] }]);
    // The server goes down under it: idle connections are cut.
    const down = own.server.restart({ mode: 'immediate' });
    const maintenance = startMaintenance(deployment, pool);
    await down;
    const [line] = await said.take(1, ({ event }) => event === 'maintenance');
    assert.deepEqual(line?.counts, {
      ledger_partitions_made: 1,
      target_partitions_made: 0,
      ...EXPECTED,
      ledger_partitions: 0,
      ledger_rows: 0,
      loads: 0,
      runs: 0,
      quarantine: 0,
      processes: 0,
    });
    await Promise.all([presence.stop(), maintenance.stop()]);
    assert.deepEqual(await present(), [], 'a clean stop takes the process off the record');
    await pool.close();
  } finally {
    await own.stop();
  }
});
