import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StatusWatch } from '../../src/ops/admin/status-watch.js';
import type { Status } from '../../src/ops/status.js';
import { gate } from '../support/queue.js';
import { statusOf } from '../support/status.js';

test('who asks while a look is under way, or within a second of it, gets that one', async () => {
  let now = 0;
  let looks = 0;
  const slow = gate();
  const watch = new StatusWatch(
    async () => {
      looks += 1;
      await slow.opened;
      return statusOf();
    },
    () => now,
  );
  const together = [watch.read(), watch.read()];
  now = 60_000;
  together.push(watch.read());
  slow.open();
  const [first, ...others] = await Promise.all(together);
  assert.ok(others.every((other) => other === first));
  assert.equal(looks, 1, 'one look, however long it takes');
  now += 999;
  await watch.read();
  assert.equal(looks, 1);
  now += 1;
  await watch.read();
  assert.equal(looks, 2);
});

test('a look that fails is told to those who asked for it, and the next one is taken a second later', async () => {
  let now = 0;
  let looks = 0;
  const watch = new StatusWatch(
    () => {
      looks += 1;
      return looks === 1 ? Promise.reject(new Error('away')) : Promise.resolve(statusOf());
    },
    () => now,
  );
  await assert.rejects(watch.read(), /away/);
  now = 1_000;
  assert.equal((await watch.read()).status.healthy, true);
});

test('what is away has been so since it was first seen to be, until it is back', async () => {
  let now = 0;
  let ok = false;
  const collect = (): Promise<Status> =>
    Promise.resolve(
      statusOf({ dependencies: [{ name: 'queue', ok, code: ok ? null : 'redis_unavailable' }] }),
    );
  const watch = new StatusWatch(collect, () => now);
  const since = async (at: number): Promise<number | undefined> => {
    now = at;
    return (await watch.read()).awaySince.get('queue');
  };
  assert.equal(await since(5_000), 5_000);
  assert.equal(await since(90_000), 5_000);
  ok = true;
  assert.equal(await since(95_000), undefined);
  ok = false;
  assert.equal(await since(99_000), 99_000);
});

test('it looks without being asked, and stops at once, also in the middle of a look', async () => {
  const looked = gate();
  const watch = new StatusWatch(() => {
    looked.open();
    return new Promise(() => undefined);
  });
  watch.start();
  await looked.opened;
  await watch.stop();
  await watch.stop();
});
