import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type TestContext, after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { FaultProxy } from '../../src/proof/fault-proxy.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { eventually } from '../support/queue.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const HUNG = fileURLToPath(new URL('../support/hung.js', import.meta.url));
const DDL = `create table public.${PIPELINE} (event_id varchar(32) not null, device varchar(256) not null)`;
const DEPENDENCIES = {
  Redis: { variable: 'REDIS_URL', says: 'redis_unavailable' },
  Postgres: { variable: 'DATABASE_URL', says: 'postgres_unavailable' },
  SQS: { variable: 'AWS_ENDPOINT_URL_SQS', says: 'sqs_unavailable' },
} as const;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

/** A proxy before what a variable of the deployment names, and that variable with the proxy in it. */
async function proxyTo(t: TestContext, deployment: Deployment, variable: string) {
  const url = new URL(deployment.environment[variable] ?? '');
  const proxy = await FaultProxy.start(Number(url.port));
  t.after(() => proxy.stop());
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  return { proxy, env: { [variable]: variable.startsWith('AWS') ? url.origin : url.href } };
}

describe('a process', { concurrency: true }, () => {
  test('whose client hangs while new connections are answered is not alive, says why, and ends with 1; an outage does it nothing', async (t) => {
    const deployment = await stack.deployment();
    const { proxy, env } = await proxyTo(t, deployment, 'DATABASE_URL');
    const child = spawn(process.execPath, ['--enable-source-maps', HUNG, deployment.configFile], {
      env: { ...deployment.environment, ...env, PATH: process.env['PATH'] },
    });
    t.after(() => child.kill('SIGKILL'));
    const lines: string[] = [];
    createInterface(child.stderr).on('line', (line) => lines.push(line));
    const ended = once(child, 'close');
    const [port] = (await once(createInterface(child.stdout), 'line')) as [string];
    const livez = async (): Promise<string> => {
      const answer = await fetch(`http://127.0.0.1:${port}/livez`);
      return `${answer.status} ${await answer.text()}`;
    };
    assert.equal(await livez(), '200 ok\n');

    await proxy.set({ kind: 'black_hole' });
    // Several times its limit: that nothing happens is the point.
    await delay(6_000);
    assert.deepEqual([await livez(), isRunning(child)], ['200 ok\n', true]);
    await proxy.set({ kind: 'pass' });
    await eventually(
      async () => proxy.connections,
      (count) => count > 0,
    );
    await delay(1_000);
    assert.deepEqual([await livez(), isRunning(child)], ['200 ok\n', true]);

    assert.ok(proxy.silence() > 0, 'there was nothing to silence');
    await eventually(livez, (answer) => answer === '503 hung: statements\n', 15_000);
    assert.deepEqual(await ended, [1, null], lines.join('\n'));
    const events = lines.map((line) => JSON.parse(line) as { event: string; loops?: unknown });
    assert.deepEqual(
      events.map(({ event }) => event),
      ['hung', 'hard_stop', 'overrun'],
    );
    assert.deepEqual(events[0]?.loops, ['statements']);
  });

  for (const [name, { variable, says }] of Object.entries(DEPENDENCIES)) {
    test(`ends its start with 3 when ${name} accepts connections and never answers`, async (t) => {
      const deployment = await stack.deployment({ file: { startup_timeout: '4s' } });
      const { proxy, env } = await proxyTo(t, deployment, variable);
      await proxy.set({ kind: 'black_hole' });
      const startedAt = performance.now();
      const { code, stderr } = await deployment.cli.spawn(['run', 'all'], { env }).ended;
      assert.equal(code, 3, stderr);
      const tookMs = performance.now() - startedAt;
      assert.ok(tookMs < 30_000, `it took ${Math.round(tookMs)} ms`);
      assert.match(stderr, says === 'sqs_unavailable' ? /SQS queue|ReceiveMessage|GetQueue/ : /answer|reach/);
    });
  }

  test('whose connections to Redis and SQS fall silent goes on over new ones by itself', async (t) => {
    const deployment = await stack.deployment({
      ddl: DDL,
      pipeline: {
        schedule: 'continuous',
        columns: SMALL_COLUMNS,
        source: { sqs: { wait_time: '2s', visibility_timeout: '10s' } },
      },
    });
    const [redis, sqs] = await Promise.all([
      proxyTo(t, deployment, 'REDIS_URL'),
      proxyTo(t, deployment, 'AWS_ENDPOINT_URL_SQS'),
    ]);
    const all = deployment.cli.spawn(['run', 'all'], { env: { ...redis.env, ...sqs.env } });
    const table = `public.${PIPELINE}`;
    await deployment.send(smallEvents(100, 0).bodies);
    await deployment.countUntil(table, (count) => count === 100);
    assert.ok(redis.proxy.silence() > 2 && sqs.proxy.silence() > 2, 'there was nothing to silence');
    await deployment.send(smallEvents(100, 0).bodies);
    const startedAt = performance.now();
    await deployment.countUntil(table, (count) => count === 200, 60_000);
    t.diagnostic(`it went on after ${Math.round(performance.now() - startedAt)} ms`);
    await eventually(
      () => deployment.depth(),
      ({ visible, inFlight, delayed }) => visible + inFlight + delayed === 0,
      60_000,
    );
    assert.ok(all.isRunning, all.stderr);
    all.signal('SIGTERM');
    assert.equal((await all.ended).code, 0, all.stderr);
    assert.ok(!all.log.all.some((line) => line['event'] === 'hung' || line['event'] === 'overrun'));
  });
});

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}
