import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { uuidv7 } from 'uuidv7';
import { systemClock } from '../../src/clock.js';
import {
  type BaselinePipeline,
  type BaselineState,
  recordBaselines,
  retakeBaselines,
} from '../../src/load/baseline.js';
import { createPool } from '../../src/load/connection.js';
import { prove } from '../../src/load/prove.js';
import { prune } from '../../src/load/prune.js';
import type { ColumnSpec } from '../../src/masking/methods.js';
import { type TestSink, batchOf, goodRows, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres } from '../support/postgres.js';

const DAY_MS = 86_400_000;
const RETENTION = { ledgerMs: 15 * DAY_MS, runsMs: 90 * DAY_MS, replayedQuarantineMs: 30 * DAY_MS };

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

/** A pipeline whose rows say nothing of their message, or, with a column for it, which one it was. */
function pipelineOf(name: string, table = 'events', messageIds: string | null = null): BaselinePipeline {
  const column: ColumnSpec = {
    name: messageIds ?? '',
    path: '$message_id',
    source: { kind: 'meta', name: 'message_id' },
    type: 'text',
    maxLength: null,
    required: false,
    mask: { method: 'keep' },
  };
  const policy = { columns: messageIds === null ? [] : [column], sha256: batchOf({}).policySha256 };
  return { name, policy, target: { schema: 'public', table } };
}

/** Of the only table of a pipeline. */
async function recordBaseline(...given: Parameters<typeof recordBaselines>): Promise<BaselineState> {
  return (await recordBaselines(...given))[0]?.state ?? 'missing';
}

async function retakeBaseline(...given: Parameters<typeof retakeBaselines>): Promise<BaselineState> {
  return (await retakeBaselines(...given))[0]?.state ?? 'missing';
}

/** Commits so many rows as a batch of that pipeline; its run is on record. */
async function load(
  { url, sink }: TestSink,
  pipeline: string,
  count: number,
  batchId = uuidv7(),
): Promise<void> {
  const batch = batchOf({ batchId, pipeline, rows: goodRows(`${pipeline}-${batchId}-`, count) });
  assert.equal((await sink.commit(batch))?.loaded, count);
  await rowsOf(
    url,
    `insert into maskline.runs (run_id, pipeline, trigger, state, started_at, finished_at, received, loaded)
     values ($1, $2, 'drain', 'succeeded', now(), now(), $3, $3)`,
    [batch.runId, pipeline, count],
  );
}

async function counted({ pool }: TestSink, pipeline: BaselinePipeline) {
  const { name, policy, target } = pipeline;
  const [proof] = await prove(pool, {
    pipelines: [{ name, policySha256: policy.sha256, target }],
    since: null,
    retention: RETENTION,
  });
  const { expected = null, found = null } = proof?.differences.at(-1) ?? {};
  return { kinds: Object.keys(proof?.totals ?? {}), expected, found };
}

const NOTHING = { kinds: [], expected: null, found: null };

test('rows from before are no difference, whoever takes the baseline, and how often; rows from then on are', async () => {
  const test = await openSink(server);
  await rowsOf(test.url, "insert into events (name) values ('old'), ('older')");
  await load(test, 'logins', 3);
  const pipeline = pipelineOf('logins');
  const states = await Promise.all([1, 2, 3].map(() => recordBaseline(test.pool, pipeline)));
  assert.deepEqual([...states].sort(), ['known', 'known', 'taken']);
  await load(test, 'logins', 4);
  assert.deepEqual(await counted(test, pipeline), NOTHING);
  await rowsOf(test.url, "delete from events where name = 'old'");
  assert.deepEqual(await counted(test, pipeline), { kinds: ['row_count_differs'], expected: 9, found: 8 });
  assert.equal(await recordBaseline(test.pool, pipeline), 'known');
  assert.deepEqual(
    (await counted(test, pipeline)).kinds,
    ['row_count_differs'],
    'migrating again hides nothing',
  );
  assert.equal(await retakeBaseline(test.pool, pipeline), 'taken');
  assert.deepEqual(await counted(test, pipeline), NOTHING);
  await test.close();
});

test('pipelines that share a table add up together, and one that moves to another table takes only its own along', async () => {
  const test = await openSink(server);
  const [one, other] = [pipelineOf('logins'), pipelineOf('orders')];
  await load(test, 'logins', 3);
  for (const each of [one, other]) assert.equal(await recordBaseline(test.pool, each), 'taken');
  await load(test, 'orders', 5);
  await load(test, 'logins', 2);
  for (const each of [one, other]) assert.deepEqual(await counted(test, each), NOTHING);
  await rowsOf(test.url, 'create table public.others (like events)');
  const moved = pipelineOf('orders', 'others');
  assert.equal(await recordBaseline(test.pool, moved), 'taken');
  for (const each of [one, moved]) assert.deepEqual(await counted(test, each), NOTHING);
  await rowsOf(test.url, "insert into others (name) values ('x')");
  assert.deepEqual(await counted(test, one), NOTHING);
  assert.deepEqual(await counted(test, moved), { kinds: ['row_count_differs'], expected: 0, found: 1 });
  await test.close();
});

test('a table that is not there yet has no baseline, nor has one that may not be read', async () => {
  const test = await openSink(server);
  const pipeline = pipelineOf('logins', 'nowhere');
  assert.equal(await recordBaseline(test.pool, pipeline), 'missing');
  assert.deepEqual(await counted(test, pipeline), NOTHING);
  await rowsOf(
    test.url,
    'alter table events enable row level security; alter table events force row level security',
  );
  const name = `reader_${process.pid}`;
  await rowsOf(
    test.url,
    `create role ${name} login password 'x' in role pg_read_all_data; grant usage on schema maskline to ${name};
     grant all on all tables in schema maskline to ${name}`,
  );
  const own = new URL(test.url);
  own.username = name;
  own.password = 'x';
  const pool = createPool({ url: own.href, applicationName: 'test' });
  const state = await recordBaseline(pool, pipelineOf('logins'));
  await pool.close();
  assert.equal(state, 'unreadable');
  await test.close();
});

test('what is pruned moves into the baseline and leaves its horizon; a longer retention afterwards claims nothing back', async () => {
  const test = await openSink(server, 'create table public.events (name varchar(10), n integer, note text)');
  const pipeline = pipelineOf('logins');
  assert.equal(await recordBaseline(test.pool, pipeline), 'taken');
  await load(test, 'logins', 7);
  await load(test, 'logins', 2);
  // The first batch becomes one of a hundred days ago.
  await rowsOf(
    test.url,
    `create function pg_temp.aged(id uuid) returns uuid language sql as $$
       select (substr(maskline.first_id_at(now() - interval '100 days')::text, 1, 13) || substr(id::text, 14))::uuid $$;
     update maskline.ledger l set sent_at = sent_at - interval '100 days', batch_id = pg_temp.aged(l.batch_id)
       from maskline.loads b where b.batch_id = l.batch_id and b.loaded = 7;
     update maskline.runs set run_id = pg_temp.aged(run_id), started_at = started_at - interval '100 days',
            heartbeat_at = heartbeat_at - interval '100 days', finished_at = finished_at - interval '100 days'
      where loaded = 7;
     update maskline.loads set batch_id = pg_temp.aged(batch_id), run_id = pg_temp.aged(run_id),
            received_at = received_at - interval '100 days', loaded_at = loaded_at - interval '100 days',
            oldest_sent_at = oldest_sent_at - interval '100 days' where loaded = 7`,
  );
  assert.deepEqual(await counted(test, pipeline), NOTHING);
  const pruned = await prune(test.pool, RETENTION, { clock: systemClock });
  assert.deepEqual([pruned?.loads, pruned?.runs, pruned?.ledger_rows], [1, 1, 7]);
  assert.deepEqual(await counted(test, pipeline), NOTHING);
  const long = { ledgerMs: 400 * DAY_MS, runsMs: 400 * DAY_MS };
  const request = {
    pipelines: [{ name: 'logins', policySha256: pipeline.policy.sha256, target: pipeline.target }],
    since: Date.now() - 300 * DAY_MS,
    retention: long,
  };
  const [proof] = await prove(test.pool, request);
  const day = (time: string | undefined): number =>
    Math.round((Date.now() - Date.parse(time ?? '')) / DAY_MS);
  assert.deepEqual([day(proof?.window.from), day(proof?.window.ledger_from)], [90, 15]);
  assert.deepEqual(proof?.totals, {});
  await rowsOf(test.url, 'delete from events where ctid = (select ctid from events limit 1)');
  assert.deepEqual(await counted(test, pipeline), { kinds: ['row_count_differs'], expected: 9, found: 8 });
  await test.close();
});

test('batches from before a policy had the column, and those that the ledger may have forgotten, are counted, not missed', async () => {
  const test = await openSink(
    server,
    'create table public.events (name varchar(10), n integer, note text, id text)',
  );
  await load(test, 'logins', 2);
  const pipeline = pipelineOf('logins', 'events', 'id');
  assert.equal(await recordBaseline(test.pool, pipeline), 'taken');
  const { policySha256 } = batchOf({});
  const batch = batchOf({
    rows: ['a', 'b', 'c'].map((id) => ({ id, values: ['x', '1', null, id] })),
    columns: ['name', 'n', 'note', 'id'],
    policySha256,
  });
  await test.sink.commit(batch);
  const run = `insert into maskline.runs (run_id, pipeline, trigger, state, started_at, received, loaded)
    values ('${batch.runId}', 'logins', 'drain', 'succeeded', now(), 3, 3)`;
  await rowsOf(test.url, run);
  const request = {
    pipelines: [{ name: 'logins', policySha256, target: pipeline.target }],
    since: null,
    retention: RETENTION,
  };
  const [proof] = await prove(test.pool, request);
  assert.deepEqual(proof?.totals, {});
  assert.equal(proof?.checked.target_check, 'rows');
  assert.deepEqual(
    proof?.unchecked.map(({ what, count }) => [what, count]),
    [['target_batches', 1]],
  );
  await rowsOf(
    test.url,
    "delete from events where id = 'b'; delete from maskline.ledger where record_id = 'c'",
  );
  const [differs] = await prove(test.pool, request);
  const found = differs?.differences.map(({ kind, record_id = null }) => [kind, record_id]);
  assert.deepEqual(found, [
    ['ledger_differs', null],
    ['row_missing', 'b'],
    ['row_unknown', null],
  ]);
  await test.close();
});
