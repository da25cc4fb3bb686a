import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertHas } from '../support/cli.js';
import { SMALL_COLUMNS } from '../support/events.js';
import { PIPELINE, type Stack, startStack } from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
const DDL = `create table ${TABLE} (event_id varchar(32), device varchar(256))`;
const BODY = '{"event_id":"x","device":"d"}';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const pipeline = {
  schedule: '* * * * * *',
  batch: { max_messages: 100, linger: '500ms' },
  columns: SMALL_COLUMNS,
};

test('a table that vanishes stops the pipeline, names the cause, and gives its messages back at once', async () => {
  const deployment = await stack.deployment({ ddl: DDL, pipeline });
  const all = deployment.cli.spawn(['run', 'all']);
  await all.waitFor('started');
  await deployment.query(`alter table ${TABLE} rename to gone`);
  await deployment.send([BODY]);
  const { code, stderr } = await all.ended;
  assert.equal(code, 2, stderr);
  for (const part of ['pipeline_stopped', TABLE, '42P01'])
    assert.ok(stderr.includes(part), `${part} in ${stderr}`);
  assert.equal((await deployment.depth()).visible, 1);
  assertHas((await deployment.runs())[0], { state: 'failed', received: 1, released: 1 });
  assert.equal(await deployment.count('maskline.ledger'), 0);
  assert.equal(
    await deployment.count('maskline.quarantine'),
    0,
    'a deployment error is no fault of the record',
  );
  await deployment.query(`alter table gone rename to ${PIPELINE}`);
  const drained = await deployment.cli.run(['drain']);
  assert.equal(drained.code, 0, drained.stderr);
  assert.equal(await deployment.count(TABLE), 1);
});

test('a worker that stops for good fails its batch first, so that the ingester elsewhere lets it go', async () => {
  const deployment = await stack.deployment({ ddl: DDL, pipeline });
  const workers = [deployment.cli.spawn(['run', 'transform']), deployment.cli.spawn(['run', 'load'])];
  await Promise.all(workers.map((worker) => worker.waitFor('started')));
  await deployment.send([BODY]);
  const drain = deployment.cli.spawn(['drain', '--ingest-only']);
  // After the drain has looked at the table, and before the batch, which lingers, comes to it.
  await deployment.countUntil('maskline.runs', (count) => count === 1);
  await deployment.query(`alter table ${TABLE} rename to gone`);
  assert.equal((await workers[1]?.ended)?.code, 2);
  const { code, stdout } = await drain.ended;
  assert.equal(code, 1);
  assert.match(stdout, /"state":"failed".*"released":1/);
  workers[0]?.signal('SIGTERM');
  assert.equal((await workers[0]?.ended)?.code, 0);
});

test('a pipeline without a schedule is left alone by `run`, and taken by `drain`', async () => {
  const { schedule: _none, ...unscheduled } = pipeline;
  const deployment = await stack.deployment({ ddl: DDL, pipeline: unscheduled });
  const all = deployment.cli.spawn(['run', 'all']);
  await all.waitFor('no_schedule');
  await deployment.send([BODY]);
  const drained = await deployment.cli.run(['drain', '--ingest-only']);
  assert.equal(drained.code, 0, drained.stderr);
  assert.equal(await deployment.count(`maskline.runs where trigger = 'schedule'`), 0);
  assert.equal(await deployment.count(TABLE), 1, 'its workers work all the same');
  all.signal('SIGTERM');
  assert.equal((await all.ended).code, 0);
});

test('a paused schedule starts nothing until it is resumed', async () => {
  const deployment = await stack.deployment({ ddl: DDL, pipeline });
  const paused = await deployment.cli.run(['schedule', 'pause', PIPELINE, '--reason', 'month end']);
  assert.equal(paused.code, 0, paused.stderr);
  await deployment.send([BODY]);
  const all = deployment.cli.spawn(['run', 'all']);
  await all.waitFor('started');
  // Two slots come and go, of which nothing tells.
  const [row] = await deployment.query('select now()::text as now');
  const later = `(select where now() > '${String(row?.['now'])}'::timestamptz + interval '2500 ms') as later`;
  await deployment.countUntil(later, (count) => count === 1);
  assert.equal(await deployment.count('maskline.schedules where last_started_at is not null'), 0);
  assert.equal(await deployment.count('maskline.ledger'), 0);
  const resumed = await deployment.cli.run(['schedule', 'resume', PIPELINE]);
  assert.equal(resumed.code, 0, resumed.stderr);
  await deployment.countUntil(TABLE, (count) => count === 1);
  all.signal('SIGTERM');
  assert.equal((await all.ended).code, 0);
});
