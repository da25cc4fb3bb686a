import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { createPool } from '../../src/load/connection.js';
import { type LeaseBook, createLeaseBook } from '../../src/load/leases.js';
import { Lease, type Turn } from '../../src/roles/lease.js';
import { assertHas } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { startHere } from '../support/role-here.js';
import { type Deployment, PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = (schedule: unknown): Promise<Deployment> =>
  stack.deployment({
    ddl: `create table ${TABLE} (event_id varchar(32), device varchar(256))`,
    pipeline: {
      columns: SMALL_COLUMNS,
      batch: { linger: '50ms' },
      // A poll that a stop has to cut may take messages along.
      source: { sqs: { wait_time: '1s' } },
      schedule,
    },
  });

/** As if the holder had said nothing for longer than it may. */
const expire = (deployment: Deployment): Promise<unknown> =>
  deployment.query(`update maskline.schedules set lease_until = now() - interval '1 second'`);

describe('the lease of an exclusive pipeline', () => {
  const claim = (owner: string) => ({ pipeline: PIPELINE, id: systemClock.id(), owner });

  async function withBook(work: (book: LeaseBook, deployment: Deployment) => Promise<void>): Promise<void> {
    const deployment = await deploymentOf('0 0 1 1 *');
    const pool = createPool({ url: deployment.database, applicationName: 'test' });
    try {
      await work(createLeaseBook(pool), deployment);
    } finally {
      await pool.close();
    }
  }

  test('has one holder, whoever asks at once; who asks learns who it is', async () => {
    await withBook(async (book) => {
      const claims = Array.from({ length: 8 }, (_, index) => claim(`host:${index}`));
      const answers = await Promise.all(claims.map((each) => book.take(each)));
      const winners = claims.filter((_, index) => answers[index]?.state === 'taken');
      assert.equal(winners.length, 1);
      const again = await book.take(claim('late:1'));
      assert.deepEqual(again, { state: 'held', owner: winners[0]?.owner });
    });
  });

  test('is given back by its holder alone, and expires by the clock of the database', async () => {
    await withBook(async (book, deployment) => {
      const [first, second] = [claim('a:1'), claim('b:1')];
      await book.take(first);
      await book.release(second);
      assert.equal((await book.take(second)).state, 'held');
      assert.equal(await book.renew(first), true);
      await expire(deployment);
      // One that is late has it still, for as long as nobody else took it.
      assert.equal(await book.renew(first), true);
      await expire(deployment);
      assert.equal((await book.take(second, { ifExpired: true })).state, 'taken');
      assert.equal(await book.renew(first), false);
      await book.release(first);
      assert.equal((await book.take(first)).state, 'held');
      await book.release(second);
      assert.deepEqual(await book.take(first, { ifExpired: true }), { state: 'free' }, 'its work is done');
      assert.equal((await book.take(first)).state, 'taken');
    });
  });

  test('goes to who stands by when its holder is silent, who learns of it; not when the work is done', async () => {
    await withBook(async (book, deployment) => {
      let wake: () => void = () => undefined;
      const clock = {
        ...systemClock,
        sleep: (_: number, signal?: AbortSignal) =>
          new Promise<void>((resolve) => {
            wake = resolve;
            signal?.addEventListener('abort', () => resolve());
          }),
      };
      const waits: string[] = [];
      const lease = (owner: string, beats = clock): Lease =>
        new Lease(
          {
            book,
            clock: beats,
            owner,
            onStandBy: (holder) => waits.push(holder),
            onWait: (error) => assert.fail(String(error)),
          },
          PIPELINE,
        );
      const never = new AbortController().signal;
      const looked = async (standing: Lease): Promise<void> => {
        while (!standing.isStandingBy) await new Promise((resolve) => setImmediate(resolve));
      };
      // GIVEN a holder that is frozen: it renews nothing
      let thaw: () => void = () => undefined;
      const frozen = {
        ...clock,
        sleep: () => new Promise<void>((resolve) => (thaw = resolve)),
      };
      const held = (await lease('a:1', frozen).turn(never, 'once')) as Turn;
      const other = lease('b:1');
      const taken = other.turn(never, 'once');
      await looked(other);
      assert.deepEqual(waits, ['a:1']);
      // WHEN it has been silent for too long
      await expire(deployment);
      wake();
      // THEN the other has the turn, and the first hears of it when it goes on
      const turn = (await taken) as Turn;
      const lost = new Promise((resolve) => held.lost.addEventListener('abort', resolve));
      thaw();
      await lost;
      // WHEN the second has done its work, a third that waits for it has none
      const third = lease('c:1');
      const none = third.turn(never, 'once');
      await looked(third);
      await turn.end();
      wake();
      assert.equal(await none, null);
      await held.end();
    });
  });
});

test('of two ingesters of an exclusive pipeline one drains; `drain` is told who, and receives nothing', async () => {
  const deployment = await deploymentOf({ cron: 'continuous', exclusive: true });
  const first = await startHere(deployment, 'all', { owner: 'first:1' });
  try {
    const { bodies } = smallEvents(300, 0);
    await deployment.send(bodies.slice(0, 100));
    await deployment.countUntil(TABLE, (rows) => rows === 100);
    const second = await startHere(deployment, 'all', { owner: 'second:1' });
    try {
      assertHas(await second.waitFor('standing_by'), { pipeline: PIPELINE, owner: 'first:1' });
      await deployment.send(bodies.slice(100, 200));
      await deployment.countUntil(TABLE, (rows) => rows === 200);
      const owners = await deployment.query('select distinct owner from maskline.runs');
      assert.deepEqual(owners, [{ owner: 'first:1' }]);

      const drain = await deployment.cli.run(['drain']);
      assert.equal(drain.code, 1);
      assert.match(drain.stderr, /user_logins is exclusive, and first:1 drains it: nothing was received/);

      // WHEN the first stops, it gives the turn back, and the second goes on
      await first.stop();
      await deployment.send(bodies.slice(200));
      await deployment.countUntil(TABLE, (rows) => rows === 300);
    } finally {
      await second.stop();
    }
    assertAddsUp(await deployment.runs());
    // Nobody has it now.
    assert.equal((await deployment.cli.run(['drain'])).code, 0);
  } finally {
    await first.stop();
  }
});

test('a pause of the schedule holds `run` and `schedule run`, not `drain`, and is no problem to `status`', async () => {
  const today = new Date().getUTCDay();
  const pause = [0, 1].map((days) => ({
    from: '00:00',
    to: '24:00',
    days: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'][(today + days) % 7],
  }));
  const deployment = await deploymentOf({ cron: '* * * * * *', pause });
  await deployment.send(smallEvents(20, 0).bodies);
  await deployment.query(
    `insert into maskline.schedules (pipeline, last_started_at, last_succeeded_at)
     values ('${PIPELINE}', now() - interval '3 hours', now() - interval '3 hours')`,
  );
  const all = await startHere(deployment, 'all');
  try {
    const refused = await deployment.cli.run(['schedule', 'run', PIPELINE]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /its schedule has a pause now; nothing was run\. It goes on at 2/);
    const status = await deployment.cli.run(['status', '--check']);
    assert.equal(status.code, 0, status.stdout);
    const [listed] = (await deployment.cli.run(['schedule', 'list'])).rows;
    assert.ok(Date.parse(String(listed?.['paused_until'])) > Date.now() + 3_600_000);
    assert.equal(listed?.['next_at'], listed?.['paused_until'], 'what it holds up is made up for then');
    assert.equal(await deployment.count('maskline.runs'), 0);
  } finally {
    await all.stop();
  }
  const drained = await deployment.cli.run(['drain']);
  assertHas(drained.rows[0], { state: 'succeeded', loaded: 20 });
});
