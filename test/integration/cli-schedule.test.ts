import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertHas } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

const DDL = `create table public.${PIPELINE} (event_id varchar(32), device varchar(256))`;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = (schedule: unknown): Promise<Deployment> =>
  stack.deployment({
    ddl: DDL,
    pipeline: {
      columns: SMALL_COLUMNS,
      batch: { linger: '100ms' },
      ...(schedule === null ? {} : { schedule }),
    },
  });

/** Epoch ms of a column of the schedule's row. */
async function noted(deployment: Deployment, column: string): Promise<number | null> {
  const [row] = await deployment.query(`select ${column} as at from maskline.schedules`);
  return row?.['at'] instanceof Date ? row['at'].getTime() : null;
}

test('list shows each schedule with its next run, pause and breaker', async () => {
  const deployment = await deploymentOf({ cron: '30 9 * * *', timezone: 'Asia/Tokyo' });
  const [row] = (await deployment.cli.run(['schedule', 'list'])).rows;
  const next = String(row?.['next_at']);
  assert.match(next, /T00:30:00\.000Z$/, '09:30 in Tokyo, all year round');
  assert.ok(Date.parse(next) > Date.now() && Date.parse(next) <= Date.now() + 86_400_000);
  assertHas(row, {
    pipeline: PIPELINE,
    schedule: '30 9 * * *',
    timezone: 'Asia/Tokyo',
    paused_at: null,
    reason: null,
    last_started_at: null,
    last_succeeded_at: null,
    breaker: 'closed',
    breaker_since: null,
    breaker_reason: null,
  });
  await deployment.cli.run(['schedule', 'pause', '--all', '--reason', 'a move']);
  await deployment.query(
    `insert into maskline.breaker (pipeline, state, reason) values ('${PIPELINE}', 'open', 'too many')`,
  );
  const [held] = (await deployment.cli.run(['schedule', 'list'])).rows;
  assertHas(held, { next_at: null, reason: 'a move', breaker: 'open', breaker_reason: 'too many' });
  assert.equal((await deployment.cli.run(['schedule', 'resume', '--all'])).code, 0);
  const [resumed] = (await deployment.cli.run(['schedule', 'list'])).rows;
  assertHas(resumed, {
    next_at: next,
    paused_at: null,
    reason: null,
    breaker: 'closed',
    breaker_reason: null,
  });
});

test('pause and resume want a name or --all, and not both', async () => {
  const deployment = await deploymentOf('* * * * *');
  for (const args of [[], ['--all', PIPELINE], ['nobody']]) {
    const { code, stderr } = await deployment.cli.run(['schedule', 'pause', ...args]);
    assert.equal(code, 2, stderr);
  }
  assert.equal(await deployment.count('maskline.schedules'), 0);
});

test('next tells the coming slots in UTC and in the zone of the schedule, across its change of clocks', async () => {
  const deployment = await deploymentOf({ cron: '0 12 1 1,7 *', timezone: 'Europe/Berlin' });
  const { rows } = await deployment.cli.run(['schedule', 'next', '-n', '4']);
  assert.equal(rows.length, 4);
  for (const row of rows) {
    const isWinter = String(row['at']).slice(5, 7) === '01';
    assert.equal(String(row['at']).slice(5), isWinter ? '01-01T11:00:00.000Z' : '07-01T10:00:00.000Z');
    assert.equal(String(row['local']).slice(5), isWinter ? '01-01 12:00:00 UTC+1' : '07-01 12:00:00 UTC+2');
  }
  const times = rows.map((row) => Date.parse(String(row['at'])));
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
  assert.ok((times[0] ?? 0) > Date.now());
  const none = await (await deploymentOf(null)).cli.run(['schedule', 'next']);
  assert.deepEqual([none.code, none.rows.length], [0, 0]);
  assert.match(none.stderr, /no schedule/);
});

test('run does one run now, as `manual`, and notes when it began and that it ended well', async () => {
  const deployment = await deploymentOf('0 0 1 1 *');
  await deployment.send(smallEvents(20, 20).bodies);
  const before = Date.now();
  const { code, rows, stderr } = await deployment.cli.run(['schedule', 'run', PIPELINE]);
  assert.equal(code, 0, stderr);
  assertHas(rows[0], { trigger: 'manual', state: 'succeeded', received: 20, loaded: 19, quarantined: 1 });
  const started = (await noted(deployment, 'last_started_at')) ?? 0;
  const succeeded = (await noted(deployment, 'last_succeeded_at')) ?? 0;
  assert.ok(before <= started && started <= succeeded && succeeded <= Date.now());
  assert.equal(new Date(succeeded).toISOString(), rows[0]?.['started_at'], 'the time that it began');
});

test('run respects a pause and an open breaker, says how to go on, and receives nothing', async () => {
  const deployment = await deploymentOf('0 0 1 1 *');
  await deployment.send(['{"event_id":"x","device":"d"}']);
  await deployment.cli.run(['schedule', 'pause', PIPELINE, '--reason', 'a move']);
  const paused = await deployment.cli.run(['schedule', 'run', PIPELINE]);
  assert.equal(paused.code, 1);
  assert.match(paused.stderr, /it is paused \(a move\).*schedule resume/);
  await deployment.cli.run(['schedule', 'resume', PIPELINE]);
  await deployment.query(
    `insert into maskline.breaker (pipeline, state, reason) values ('${PIPELINE}', 'open', 'too many')`,
  );
  const open = await deployment.cli.run(['schedule', 'run', PIPELINE]);
  assert.equal(open.code, 1);
  assert.match(open.stderr, /its breaker is open \(too many\).*schedule resume/);
  assert.equal((await deployment.depth()).visible, 1);
  assert.equal(await deployment.count('maskline.runs'), 0);
  assert.equal(await noted(deployment, 'last_started_at'), null);
});

test('a run that found nothing counts as success, one that had to leave something does not', async () => {
  const deployment = await deploymentOf('* * * * * *');
  const ingest = deployment.cli.spawn(['run', 'all']);
  await deployment.countUntil('maskline.schedules where last_succeeded_at is not null', (n) => n === 1);
  ingest.signal('SIGTERM');
  await ingest.ended;
  assert.equal(await deployment.count('maskline.runs'), 0, 'empty ticks write no run');
  await deployment.query('update maskline.schedules set last_succeeded_at = null');
  await deployment.send(smallEvents(20, 30).bodies);
  assert.equal((await deployment.cli.run(['drain', '--max', '5'])).code, 0);
  assert.equal(await noted(deployment, 'last_succeeded_at'), null, 'what --max left may be older');
  assert.equal((await deployment.cli.run(['drain'])).code, 0);
  assert.notEqual(await noted(deployment, 'last_succeeded_at'), null);
});

test('prune counts the same dry and in earnest, prints one object, and says when another is at it', async () => {
  const deployment = await deploymentOf('* * * * *');
  await deployment.query(
    `insert into maskline.processes (id, role, owner, version, seen_at)
     values (gen_random_uuid(), 'load', 'gone:1', '1', now() - interval '2 days')`,
  );
  const dry = await deployment.cli.run(['prune', '--dry-run']);
  assert.equal(dry.code, 0, dry.stderr);
  assertHas(dry.rows[0], { dry_run: true, processes: 1, ledger_partitions: 0 });
  assert.equal(await deployment.count('maskline.processes'), 1);
  const pruned = await deployment.cli.run(['prune']);
  assertHas(pruned.rows[0], { ...dry.rows[0], dry_run: false });
  assert.equal(await deployment.count('maskline.processes'), 0);
});
