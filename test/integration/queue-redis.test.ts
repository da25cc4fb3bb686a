import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { PipelineError } from '../../src/errors.js';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import type { EmbeddedRedis } from '../../src/embedded/redis.js';
import type { QueueEvent } from '../../src/queue/attempts.js';
import { type BullQueueOptions, createBullQueue } from '../../src/queue/bullmq.js';
import { batchCodec } from '../../src/queue/payload.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import { Seen, batchOf, eventually, gate, testSealer } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';

/** What callers are promised: an answer or an error within about this. */
const CALL_LIMIT_MS = 5_500;
/** After the server is back. */
const REJOIN_LIMIT_MS = 2_000;

let server: EmbeddedRedis;
let queues: BatchQueue<Batch>[] = [];
let children: ChildProcess[] = [];
let events: Seen<QueueEvent>;

function open(overrides: Partial<BullQueueOptions<Batch>> = {}): BatchQueue<Batch> {
  const queue = createBullQueue({
    url: server.url,
    backend: 'redis',
    prefix: 'integration',
    name: 'transform.logins',
    codec: batchCodec,
    sealer: testSealer(),
    clock: systemClock,
    keepFailed: { count: 10, ageS: 60 },
    onEvent: (event) => events.push(event),
    ...overrides,
  });
  queues.push(queue);
  return queue;
}

async function redis<T>(work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(server.url);
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
}

/** A process that takes batches and never finishes them. */
function spawnWorker(): { readonly child: ChildProcess; readonly taken: Seen<string> } {
  const script = fileURLToPath(new URL('../support/queue-worker.js', import.meta.url));
  const args = [script, server.url, 'integration', 'transform.logins'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const taken = new Seen<string>();
  child.stdout.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString().split('\n')) if (line) taken.push(line);
  });
  return { child, taken };
}

async function timed(work: Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work;
  return performance.now() - from;
}

describe('a queue on Redis', () => {
  beforeEach(async () => {
    server = await startTestRedis({ appendOnly: true });
    events = new Seen();
  });

  afterEach(async () => {
    await Promise.all(queues.map((queue) => queue.close()));
    for (const child of children) child.kill('SIGKILL');
    [queues, children] = [[], []];
    await server.stop();
  });

  test('with the default settings, what a killed worker held is taken over within 20 s', async () => {
    const { child, taken } = spawnWorker();
    const batches = [batchOf(['{"a":1}']), batchOf(['{"a":2}'])];
    const queue = open();
    for (const batch of batches) await queue.add(batch);
    await taken.take(2);
    const died = once(child, 'exit');
    child.kill('SIGKILL');
    await died;
    const seen = new Seen<string>();
    const from = performance.now();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    await seen.take(2, undefined, 25_000);
    assert.ok(performance.now() - from <= 20_000, `took ${Math.round(performance.now() - from)} ms`);
    assert.deepEqual([...seen.all].sort(), batches.map((batch) => batch.batchId).sort());
    assert.equal(events.all.filter((event) => event.kind === 'taken_over').length, 2);
  });

  test('Redis is killed and restarted: calls fail fast meanwhile, then worker and producer go on by themselves', async () => {
    const [seen, held, hold] = [new Seen<string>(), batchOf(['{}']), gate()];
    const [producer, worker] = [open(), open()];
    worker.process(
      async ({ batchId }) => {
        seen.push(batchId);
        if (batchId === held.batchId) await hold.opened;
      },
      { concurrency: 2 },
    );
    await producer.add(held);
    await seen.take(1);
    await server.kill();
    const failing = assert.rejects(producer.add(batchOf(['{}'])), { code: 'redis_unavailable' });
    assert.ok((await timed(failing)) < CALL_LIMIT_MS);
    await server.restart();
    const back = performance.now();
    const batch = batchOf(['{}']);
    await eventually(
      () =>
        producer.add(batch).then(
          () => true,
          () => false,
        ),
      (added) => added,
    );
    await seen.take(1, (id) => id === batch.batchId);
    const took = performance.now() - back;
    assert.ok(took < REJOIN_LIMIT_MS, `took ${Math.round(took)} ms`);
    hold.open();
    await eventually(
      () => producer.states([held.batchId]),
      ([state]) => state === 'absent',
    );
    assert.equal(seen.all.filter((id) => id === held.batchId).length, 1);
  });

  test('a batch that is finished while Redis is away is finished when it is back', async () => {
    const [seen, hold, batch] = [new Seen<string>(), gate(), batchOf(['{}'])];
    const queue = open();
    queue.process(
      async ({ batchId }) => {
        seen.push(batchId);
        await hold.opened;
      },
      { concurrency: 1 },
    );
    await queue.add(batch);
    await seen.take(1);
    await server.kill();
    hold.open();
    await events.take(1, (event) => event.kind === 'trouble');
    await server.restart();
    const gone = () =>
      queue.states([batch.batchId]).then(
        ([state]) => state === 'absent',
        () => false,
      );
    await eventually(gone, (is) => is);
    assert.equal(seen.all.length, 1);
  });

  test('Redis is away at the start: calls fail fast, and all goes on when it comes', async () => {
    const seen = new Seen<string>();
    await server.kill();
    const queue = open();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    for (const call of [() => queue.add(batchOf(['{}'])), () => queue.states(['x']), () => queue.backlog()]) {
      const took = await timed(
        assert.rejects(call(), { code: 'redis_unavailable', message: /ECONNREFUSED/ }),
      );
      assert.ok(took < CALL_LIMIT_MS, `took ${Math.round(took)} ms`);
    }
    await server.restart();
    const batch = batchOf(['{}']);
    const added = () =>
      queue.add(batch).then(
        () => true,
        () => false,
      );
    await eventually(added, (is) => is);
    assert.deepEqual(await seen.take(1), [batch.batchId]);
    assert.equal(seen.all.length, 1);
  });

  test('a soft stop ends also while Redis is away', async () => {
    const seen = new Seen<string>();
    const queue = open();
    const consumer = queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    await queue.add(batchOf(['{}']));
    await seen.take(1);
    await server.kill();
    // Long enough for several attempts to reconnect.
    await events.take(1, (event) => event.kind === 'trouble');
    await systemClock.sleep(300);
    const took = await timed(consumer.stop('soft'));
    assert.ok(took < CALL_LIMIT_MS, `took ${Math.round(took)} ms`);
  });

  test('Redis hangs: calls fail within seconds, and do again once it answers', async () => {
    const queue = open();
    await queue.backlog();
    process.kill(server.pid, 'SIGSTOP');
    try {
      const took = await timed(assert.rejects(queue.add(batchOf(['{}'])), { code: 'redis_unavailable' }));
      assert.ok(took < CALL_LIMIT_MS, `took ${Math.round(took)} ms`);
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
    const batch = batchOf(['{}']);
    const added = () =>
      queue.add(batch).then(
        () => true,
        () => false,
      );
    await eventually(added, (is) => is);
    assert.deepEqual(await queue.states([batch.batchId]), ['live']);
  });

  test('a server that accepts and never answers is as good as none', async () => {
    const mute = createServer(() => undefined);
    mute.listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const sockets = new Set<{ destroy(): void }>();
    mute.on('connection', (socket) => sockets.add(socket));
    const address = mute.address();
    assert.ok(typeof address === 'object' && address);
    const queue = open({ url: `redis://127.0.0.1:${address.port}` });
    const took = await timed(assert.rejects(queue.add(batchOf(['{}'])), { code: 'redis_unavailable' }));
    assert.ok(took < CALL_LIMIT_MS, `took ${Math.round(took)} ms`);
    await queue.close();
    for (const socket of sockets) socket.destroy();
    mute.close();
    await once(mute, 'close');
  });

  test('FLUSHALL: what was there is absent, and new batches go through', async () => {
    const seen = new Seen<string>();
    const queue = open();
    const lost = batchOf(['{}']);
    await queue.add(lost);
    await redis((client) => client.flushall());
    assert.deepEqual(await queue.states([lost.batchId]), ['absent']);
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    const batch = batchOf(['{}']);
    await queue.add(batch);
    assert.deepEqual(await seen.take(1), [batch.batchId]);
  });

  test('FLUSHALL below a running worker: it goes on with new batches, and nothing fails', async () => {
    const [seen, hold] = [new Seen<string>(), gate()];
    const queue = open();
    queue.process(
      async ({ batchId }) => {
        seen.push(batchId);
        await hold.opened;
      },
      { concurrency: 1 },
    );
    await queue.add(batchOf(['{}']));
    await seen.take(1);
    await redis((client) => client.flushall());
    hold.open();
    const batch = batchOf(['{}']);
    await queue.add(batch);
    await seen.take(1, (id) => id === batch.batchId);
    await eventually(
      () => queue.backlog(),
      ({ waiting, active }) => waiting + active === 0,
    );
    assert.equal((await queue.backlog()).failed, 0);
  });

  test('a Redis out of memory is not asked in a tight loop, and work goes on when there is room', async () => {
    const queue = open();
    const seen = new Seen<string>();
    for (let added = 0; added < 5; added += 1) await queue.add(batchOf(['{}']));
    await redis((client) => client.config('SET', 'maxmemory', '1mb'));
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 4 });
    await assert.rejects(queue.add(batchOf(['{}'])), { code: 'redis_unavailable', message: /OOM/ });
    await events.take(1, (event) => event.kind === 'trouble' && event.error.message.includes('OOM'));
    const commands = async () => {
      const stats = await redis((client) => client.info('stats'));
      return Number(/total_commands_processed:(\d+)/.exec(stats)?.[1]);
    };
    const before = await commands();
    await systemClock.sleep(2_000);
    const asked = (await commands()) - before;
    assert.ok(asked < 100, `asked ${asked} times in 2 s`);
    assert.equal(seen.all.length, 0);
    await redis((client) => client.config('SET', 'maxmemory', '0'));
    await seen.take(5);
  });

  test('a user with no more rights than a queue needs is enough', async () => {
    const rights =
      '~integration:* +@read +@write +@scripting +@connection +@transaction +@blocking +@stream -@dangerous +info';
    await redis((client) =>
      client.call('ACL', 'SETUSER', 'worker', 'on', '>p%ss:word', ...rights.split(' ')),
    );
    const url = new URL(server.url);
    [url.username, url.password] = ['worker', encodeURIComponent('p%ss:word')];
    const queue = open({ url: url.href });
    const seen = new Seen<string>();
    let calls = 0;
    queue.process(
      async ({ batchId }) => {
        calls += 1;
        if (calls === 1) throw new PipelineError('payload_corrupt', 'told to fail');
        seen.push(batchId);
      },
      { concurrency: 1 },
    );
    const batch = batchOf(['{}']);
    await queue.add(batch);
    await eventually(
      () => queue.states([batch.batchId]),
      ([state]) => state === 'failed',
    );
    await queue.add(batch);
    assert.deepEqual(await seen.take(1), [batch.batchId]);
    assert.equal(events.all.filter((event) => event.kind === 'trouble').length, 0);
    await assert.rejects(open({ url: url.href, prefix: 'foreign' }).add(batchOf(['{}'])), {
      code: 'permission_denied',
    });
  });

  test('a queue that somebody paused still counts what waits in it', async () => {
    const queue = open();
    const board = new Queue('transform.logins', { connection: { url: server.url }, prefix: 'integration' });
    await board.pause();
    await queue.add(batchOf(['{}']));
    assert.deepEqual(await queue.backlog(), { waiting: 1, active: 0, failed: 0 });
    await board.close();
  });

  test('events, logs and finished jobs leave next to nothing behind', async () => {
    const queue = open();
    const seen = new Seen<string>();
    for (let added = 0; added < 300; added += 1) await queue.add(batchOf(['{}']));
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 8 });
    await seen.take(300);
    await eventually(
      () => queue.backlog(),
      ({ waiting, active }) => waiting + active === 0,
    );
    await redis(async (client) => {
      const keys = await client.keys('*');
      assert.deepEqual(
        keys.filter((key) => /:[0-9a-f]{8}-/.test(key)),
        [],
      );
      // MAXLEN ~ trims whole nodes of a hundred entries.
      assert.ok((await client.xlen('integration:transform.logins:events')) <= 300);
    });
  });
});
