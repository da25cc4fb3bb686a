import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { concurrencyOf } from '../../src/roles/workers.js';
import type { CliProcess } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { withConnection } from '../support/postgres.js';
import { eventually } from '../support/queue.js';
import { type Deployment, PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const COUNT = 8_000;
const EVENTS = smallEvents(COUNT, 200);
/** A fault must hit work that is under way: some rows are in, most are not. */
const BEGUN = COUNT / 20;
/** A wiped Redis takes longest: 30 s until a batch counts as missing, and 30 s until SQS shows its messages again. */
const LIMIT_MS = 180_000;
const TABLE = `public.${PIPELINE}`;
const LOADS_AT_ONCE = concurrencyOf({ concurrency: { transform: null, load: null } }, null).load;

/** Without a unique key: a row that came twice must show. */
const DDL = `create table ${TABLE} (event_id varchar(32) not null, device varchar(256) not null)`;

/** A deployment with all events in its queue, and the ids of the bad ones. */
async function underWay(stack: Stack): Promise<{ deployment: Deployment; badIds: readonly string[] }> {
  const deployment = await stack.deployment({
    ddl: DDL,
    pipeline: {
      schedule: '* * * * * *',
      source: { sqs: { visibility_timeout: '8s' } },
      batch: { max_messages: 500, linger: '100ms' },
      columns: SMALL_COLUMNS,
    },
  });
  const ids = await deployment.send(EVENTS.bodies);
  return { deployment, badIds: EVENTS.badAt.map((at) => ids[at] ?? '').sort() };
}

/** Loaders that wait for a lock. */
const WAITING = `pg_stat_activity where application_name = 'maskline-all' and wait_event_type = 'Lock' and query like 'copy%'`;

function run({ cli }: Deployment): CliProcess {
  return cli.spawn(['run', 'all'], { limitMs: LIMIT_MS });
}

/** Resolves when the work has begun, and makes sure that it has not ended. */
async function midway(deployment: Deployment): Promise<void> {
  const rows = await deployment.countUntil(TABLE, (count) => count > BEGUN);
  assert.ok(rows < COUNT / 2, `too late for a fault: ${rows} of ${COUNT} rows are in`);
  const { inFlight } = await deployment.depth();
  assert.ok(inFlight > 0, 'nothing is in flight');
}

/** All is settled: every id once, in the table or in quarantine; SQS empty; what ended adds up. */
async function assertSameEnd(
  deployment: Deployment,
  badIds: readonly string[],
  processes: readonly CliProcess[],
): Promise<void> {
  await deployment.countUntil('maskline.ledger', (count) => count >= COUNT, LIMIT_MS);
  await eventually(
    () => deployment.depth(),
    ({ visible, inFlight, delayed }) => visible + inFlight + delayed === 0,
    LIMIT_MS,
  );
  for (const each of processes) {
    assert.ok(each.isRunning, `it ended: ${each.stderr}`);
    each.signal('SIGTERM');
  }
  for (const each of processes) assert.equal((await each.ended).code, 0, each.stderr);
  const rows = await deployment.query(`select event_id from ${TABLE} order by event_id collate "C"`);
  assert.deepEqual(
    rows.map((row) => row['event_id']),
    EVENTS.goodIds,
  );
  const quarantined = await deployment.query(
    `select message_id, code, path from maskline.quarantine order by message_id collate "C"`,
  );
  assert.deepEqual(
    quarantined,
    badIds.map((message_id) => ({ message_id, code: 'missing_field', path: 'device' })),
  );
  const runs = await deployment.runs();
  const ended = runs.filter((each) => each['state'] !== 'abandoned');
  assert.ok(ended.length > 0);
  assertAddsUp(ended);
  // What each batch says of itself agrees with what is there.
  const [sums] = await deployment.query(
    `select sum(loaded)::int as loaded, sum(quarantined)::int as quarantined from maskline.loads where state = 'committed'`,
  );
  assert.deepEqual(sums, { loaded: EVENTS.goodIds.length, quarantined: badIds.length });
}

describe('8,000 messages end once each, in the table or in quarantine,', { concurrency: 2 }, () => {
  let stack: Stack;
  const stacks: Stack[] = [];
  const ownStack = async (): Promise<Stack> => {
    const own = await startStack();
    stacks.push(own);
    return own;
  };
  before(async () => {
    stack = await ownStack();
  });
  after(async () => {
    await Promise.all(stacks.map((each) => each.stop()));
  });

  test('when Redis is wiped in the middle', async () => {
    const own = await ownStack();
    const { deployment, badIds } = await underWay(own);
    const all = run(deployment);
    await midway(deployment);
    const redis = new Redis(own.redis.url);
    await withConnection(deployment.database, async (client) => {
      // Loading waits for this lock, so that batches wait in Redis, whatever the speed of the machine.
      await client.query(`begin; lock table ${TABLE} in exclusive mode`);
      const queue = `${deployment.prefix}:load.${PIPELINE}`;
      // One that waits behind those that are being loaded; any is in the list for a moment.
      await eventually(
        async () => [await redis.llen(`${queue}:active`), await redis.llen(`${queue}:wait`)],
        ([active = 0, waiting = 0]) => active >= LOADS_AT_ONCE && waiting > 0,
      );
      await redis.flushall();
      await client.query('rollback');
    });
    await redis.quit();
    await assertSameEnd(deployment, badIds, [all]);
    assert.ok(
      all.log.all.some((line) => line['event'] === 'batch_let_go'),
      'no batch was lost with Redis: the fault did not bite',
    );
  });

  test('when the process is killed in the middle and started again', async () => {
    const { deployment, badIds } = await underWay(stack);
    const first = run(deployment);
    await midway(deployment);
    await first.kill();
    const left = COUNT - (await deployment.count('maskline.ledger'));
    assert.ok(left > 0, 'all was settled before the kill');
    await assertSameEnd(deployment, badIds, [run(deployment)]);
  });

  test('when two processes work at the same queue', async () => {
    const { deployment, badIds } = await underWay(stack);
    const both = [run(deployment), run(deployment)];
    await assertSameEnd(deployment, badIds, both);
    const [owners] = await deployment.query(
      'select count(distinct owner)::int as n from maskline.runs where loaded > 0',
    );
    assert.deepEqual(owners, { n: 2 }, 'both had a share in it');
  });

  test('when Postgres crashes in the middle, and all goes on by itself', async () => {
    const own = await ownStack();
    const { deployment, badIds } = await underWay(own);
    const all = run(deployment);
    await midway(deployment);
    let crashed = false;
    await withConnection(deployment.database, async (client) => {
      // A COPY that waits for this lock is under way, whatever the speed of the machine.
      await client.query(`begin; lock table ${TABLE} in exclusive mode`);
      await deployment.countUntil(WAITING, (count) => count > 0);
      await own.postgres.server.restart({ mode: 'immediate' });
      crashed = true;
    }).catch(() => undefined);
    assert.ok(crashed, 'no COPY was found under way');
    await assertSameEnd(deployment, badIds, [all]);
    const said = all.log.all.filter((line) => line['event'] === 'outage_waiting');
    assert.ok(
      said.some((line) => line['code'] === 'postgres_unavailable'),
      'nobody noticed: the fault did not bite',
    );
    assert.deepEqual(
      all.log.all.filter((line) => line['event'] === 'job_failed'),
      [],
      'an outage spends no attempts',
    );
  });
});
