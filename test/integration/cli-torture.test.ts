import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PIPELINE, type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const LIMIT = { limitMs: 300_000 };
const BODY = JSON.stringify({ user_id: 'u', device_type: 'ios', ip: '192.0.2.7', device_id: 'd' });

describe('torture of a deployment that is named', () => {
  test('is refused where it looks like production, and nothing is sent', async () => {
    const deployment = await stack.deployment();
    await deployment.query(
      `insert into public.${PIPELINE} (user_id, masked_ip, masked_device_id) values ('somebody', 'x', 'y')`,
    );
    await deployment.send([BODY]);
    const env = { DATABASE_URL: deployment.database.replace('127.0.0.1', 'localhost') };
    const { code, stderr } = await deployment.cli.run(['-c', deployment.configFile, 'torture'], { env });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /table public\.user_logins holds 1 rows; queue .* holds 1 messages/);
    assert.match(stderr, /--yes-really/);
    assert.deepEqual(await deployment.depth(), { visible: 1, inFlight: 0, delayed: 0 });
  });

  test('is refused where a server is elsewhere', async () => {
    const deployment = await stack.deployment();
    const { code, stderr } = await deployment.cli.run(['-c', deployment.configFile, 'torture'], {
      env: { REDIS_URL: 'redis://redis.example:6379' },
    });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /the queue is not on this machine/);
  });

  test('kills the processes that it started, and finds every message where it belongs', async () => {
    const deployment = await stack.deployment();
    const args = ['-c', deployment.configFile, 'torture', '--messages', '600', '--kills', '4', '--seed', '3'];
    const { code, rows, stderr } = await deployment.cli.run(args, LIMIT);
    const [report] = rows;
    assert.equal(code, report?.['verdict'] === 'passed' ? 0 : 1, stderr);
    const { verdict, lost, twice, leaked, misplaced, wrong, problems, messages } = report ?? {};
    assert.deepEqual(
      { lost, twice, leaked, misplaced, wrong, problems, messages },
      { lost: 0, twice: 0, leaked: 0, misplaced: 0, wrong: 0, problems: [], messages: 600 },
      stderr,
    );
    // Which of the two it is depends on the speed of the machine; that all is right does not.
    assert.ok(verdict === 'passed' || verdict === 'invalid');
    const rowsThere = await deployment.count(`public.${PIPELINE}`);
    const entries = await deployment.count('maskline.quarantine');
    assert.equal(rowsThere + entries, 600);
    assert.ok(entries > 0);
    assert.deepEqual(await deployment.depth(), { visible: 0, inFlight: 0, delayed: 0 });
  });
});

describe('torture', () => {
  test('says what is wrong with its options', async () => {
    const deployment = await stack.deployment();
    for (const args of [
      ['--kills', '0'],
      ['--backend', 'kafka'],
      ['--profile', 'gentle'],
    ]) {
      const { code, stderr } = await deployment.cli.run(['torture', ...args]);
      assert.equal(code, 2, stderr);
    }
  });
});
