import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { freePort } from '../../src/embedded/free-port.js';
import { pm2For, scaleReloadAndStop } from '../support/pm2-roles.js';
import { eventually } from '../support/queue.js';
import { prepareSmallEvents } from '../support/same-end.js';
import { type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

describe('under pm2', () => {
  let stack: Stack;
  before(async () => {
    stack = await startStack();
  });
  after(() => stack.stop());

  test('20,000 messages end once each while transform is scaled to 3 and to 1, all is reloaded, stopped and started', () =>
    scaleReloadAndStop(stack, 'redis'));

  test('what only people can mend is not tried again; a crash is; and no two processes share a port', async () => {
    const { deployment } = await prepareSmallEvents(stack, 1);
    const first = await freePort(3);
    // A PORT of the shell is for the admin page alone.
    const pm2 = pm2For(deployment, {
      PORT: String(first),
      MASKLINE_TRANSFORM_INSTANCES: '2',
      MASKLINE_TRANSFORM_PORT: String(first + 1),
    });
    try {
      await pm2.start();
      const listening = (role: string): readonly number[] =>
        [...pm2.output(role).matchAll(/"event":"listening".*?"port":(\d+)/g)].map(([, port]) => Number(port));
      assert.deepEqual(listening('admin'), [first]);
      assert.deepEqual(
        [...listening('transform')].sort((a, b) => a - b),
        [first + 1, first + 2],
      );
      for (const role of ['ingest', 'load']) assert.deepEqual(listening(role), []);

      const load = (await pm2.list()).find(({ name }) => name === 'maskline-load');
      assert.ok(load);
      process.kill(load.pid, 'SIGKILL');
      const again = await eventually(
        async () => (await pm2.list()).find(({ name }) => name === 'maskline-load'),
        (each) => each?.status === 'online' && each.restarts === 1,
        30_000,
      );
      assert.notEqual(again?.pid, load.pid);

      deployment.configure((config) => ({ ...config, nonsense: true }));
      await pm2.run('reload', 'maskline-ingest');
      // pm2 gives a process that does not get ready so long, and then reports its end when it comes.
      const codes = await eventually(
        () =>
          pm2
            .exits()
            .filter(({ process }) => process.startsWith('maskline-ingest'))
            .map(({ code }) => code),
        (ended) => ended.length > 1,
        30_000,
      );
      assert.deepEqual(codes, [0, 2]);
      assert.match(pm2.output('ingest'), /nonsense/);
      const ended = (await pm2.list()).find(({ name }) => name === 'maskline-ingest');
      assert.deepEqual({ pid: ended?.pid, exitCode: ended?.exitCode }, { pid: 0, exitCode: 2 });
    } finally {
      await pm2.kill();
    }
  });

  test('a number of instances that is none is refused', async () => {
    const { deployment } = await prepareSmallEvents(stack, 1);
    const pm2 = pm2For(deployment, { MASKLINE_LOAD_INSTANCES: 'many' });
    try {
      await assert.rejects(pm2.start(), /MASKLINE_LOAD_INSTANCES must be a number/);
    } finally {
      await pm2.kill();
    }
  });
});
