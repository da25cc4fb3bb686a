// Connections that fall silent for ever, without a reset, while new ones work; and new ones that are accepted and never
// answered. Work must go on by itself: by the clients' own limits, with nobody's help.

import assert from 'node:assert/strict';
import { type Socket, createServer } from 'node:net';
import { type TestContext, after, before, describe, test } from 'node:test';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { createPool } from '../../src/load/connection.js';
import { outlast } from '../../src/policy.js';
import { FaultProxy } from '../../src/proof/fault-proxy.js';
import { type BullQueue, createBullQueue, migrateQueue } from '../../src/queue/bullmq.js';
import { batchCodec } from '../../src/queue/payload.js';
import type { QueueWatch } from '../../src/queue/queue.js';
import { queueWatch } from '../../src/roles/watch-ports.js';
import { Loops } from '../../src/roles/watch.js';
import { createSqsClient } from '../../src/source/sqs.js';
import { batchOf as loadBatch, goodRows, openSink } from '../support/load.js';
import { type TestPostgres, startTestPostgres } from '../support/postgres.js';
import { Seen, batchOf, eventually, gate, testSealer } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';
import { type TestSqs, startTestSqs } from '../support/sqs.js';

const never = new AbortController().signal;
/** Measured on an idle machine, with room for a busy one. */
const PRODUCER_LIMIT_MS = 12_000;
const WORKER_LIMIT_MS = 35_000;
/** A statement may take 1 s here, and its answer 10 s longer. */
const STATEMENT_LIMIT_MS = 11_000;
const SLACK_MS = 6_000;
const POLL = { maxMessages: 10, waitS: 1, visibilityS: 30 };

let postgres: TestPostgres;
let redis: Awaited<ReturnType<typeof startTestRedis>>;
let sqs: TestSqs;
before(async () => {
  [postgres, redis, sqs] = await Promise.all([startTestPostgres(), startTestRedis(), startTestSqs()]);
});
after(async () => {
  await Promise.all([postgres.stop(), redis.stop(), sqs.stop()]);
});

async function proxyTo(t: TestContext, url: string): Promise<{ proxy: FaultProxy; url: string }> {
  const behind = new URL(url);
  const proxy = await FaultProxy.start(Number(behind.port));
  t.after(() => proxy.stop());
  behind.port = String(proxy.port);
  behind.hostname = '127.0.0.1';
  return { proxy, url: behind.href };
}

async function timed(work: Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work;
  return performance.now() - startedAt;
}

/** Asks again and again, as everything does in an outage, but not for ever. */
function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  return outlast(systemClock, ask, never, undefined, 2 * WORKER_LIMIT_MS);
}

function openQueue(
  t: TestContext,
  backend: 'redis' | 'postgres',
  url: string,
  prefix: string,
  watch?: QueueWatch,
): BullQueue<Batch> {
  const queue = createBullQueue<Batch>({
    url,
    backend,
    prefix,
    name: 'transform.logins',
    codec: batchCodec,
    sealer: testSealer(),
    clock: systemClock,
    keepFailed: { count: 10, ageS: 60 },
    ...(watch ? { watch } : {}),
  });
  t.after(() => queue.close());
  return queue;
}

/** The server, a prefix of the test's own, and where the server is. */
type BackendCase = readonly ['redis' | 'postgres', string, () => Promise<string>];

const onRedis = (prefix: string): BackendCase => ['redis', prefix, () => Promise.resolve(redis.url)];
const backends = [
  onRedis('silent_redis'),
  ['postgres', 'silent_postgres', () => postgres.database()],
] as const satisfies readonly BackendCase[];

/** A queue behind a proxy, with a consumer that has proven to work, and the same queue without the proxy. */
async function silentQueue(
  t: TestContext,
  [backend, prefix, place]: BackendCase,
  handle: (batch: Batch) => Promise<void> = () => Promise.resolve(),
) {
  const url = await place();
  await migrateQueue({ url, backend, prefix });
  const behind = await proxyTo(t, url);
  const direct = openQueue(t, backend, url, prefix);
  const queue = openQueue(t, backend, behind.url, prefix);
  const taken = new Seen<string>();
  const consumer = queue.process(
    async (batch) => {
      taken.push(batch.batchId);
      await handle(batch);
    },
    { concurrency: 2 },
  );
  t.after(() => consumer.stop('hard'));
  const add = async (to: BullQueue<Batch>): Promise<string> => {
    const batch = batchOf(['{}']);
    await to.add(batch);
    return batch.batchId;
  };
  const first = await add(queue);
  await taken.take(1, (id) => id === first);
  return { proxy: behind.proxy, queue, direct, taken, add };
}

describe('a connection that falls silent, without a word,', { concurrency: true }, () => {
  for (const backend of backends) {
    test(`to a queue on ${backend[0]}: who adds gets an answer again in seconds, and an idle worker takes what comes`, async (t) => {
      const { proxy, queue, direct, taken, add } = await silentQueue(t, backend);
      assert.ok(proxy.silence() > 1, 'there was nothing to silence');
      const producing = timed(untilAnswered(() => queue.backlog()));
      const id = await add(direct);
      const [producerMs] = await Promise.all([
        producing,
        taken.take(1, (one) => one === id, WORKER_LIMIT_MS),
      ]);
      assert.ok(producerMs > 1_000, 'an answer came at once: the fault did not bite');
      assert.ok(producerMs < PRODUCER_LIMIT_MS, `it took ${Math.round(producerMs)} ms`);
      await add(queue);
    });
  }

  test('to Redis under a worker that has work in hand: the batch is finished, and is not there any more', async (t) => {
    const go = gate();
    let isFirst = true;
    const parts = await silentQueue(t, onRedis('silent_in_hand'), async () => {
      if (!isFirst) await go.opened;
      isFirst = false;
    });
    const { proxy, direct, taken, add } = parts;
    const id = await add(direct);
    await taken.take(1, (one) => one === id);
    proxy.silence();
    go.open();
    await eventually(
      () => direct.states([id]),
      ([state]) => state === 'absent',
      WORKER_LIMIT_MS,
    );
  });

  test('under a consumer: its wait for an answer shows, ends with the first one, and counts for nothing while it works', async (t) => {
    const { proxy, url } = await proxyTo(t, redis.url);
    const loops = new Loops(systemClock);
    const queue = openQueue(t, 'redis', url, 'watched', queueWatch(loops, 'transform.logins'));
    const fetches = loops.all.find((loop) => loop.name === 'fetch transform.logins');
    assert.ok(fetches);
    const go = gate();
    const taken = new Seen<string>();
    const [long, short] = [batchOf(['{}']), batchOf(['{}'])];
    const consumer = queue.process(
      async ({ batchId }) => {
        taken.push(batchId);
        if (batchId === long.batchId) await go.opened;
      },
      { concurrency: 2 },
    );
    await queue.add(long);
    await taken.take(1);
    // Its other half is answered meanwhile, at the end of this one.
    await queue.add(short);
    await taken.take(2);
    await eventually(
      () => queue.states([short.batchId]),
      ([state]) => state === 'absent',
    );
    assert.equal(fetches.stalledSince, null);
    go.open();
    const waitsSince = () => Promise.resolve(fetches.stalledSince);
    const first = await eventually(waitsSince, (since) => since !== null);
    const next = await eventually(waitsSince, (since) => since !== null && since > (first ?? 0));
    await proxy.set({ kind: 'black_hole' });
    const silentFrom = systemClock.elapsed();
    // Longer than an idle worker waits in one command; what was under way may have been answered.
    await systemClock.sleep(7_000);
    const stalled = fetches.stalledSince ?? Infinity;
    assert.ok(stalled >= (next ?? Infinity) && stalled <= silentFrom + 1_000, 'it seemed to be answered');
    await proxy.set({ kind: 'pass' });
    await eventually(waitsSince, (since) => since !== null && since > silentFrom + 7_000, WORKER_LIMIT_MS);
    await consumer.stop();
    assert.equal(fetches.stalledSince, null);
  });

  const pools = { max: 2, applicationName: 'maskline-test', statementTimeoutMs: 1_000 };

  test('to Postgres, of a pool at rest: the statement that meets it fails in time, and the next one is answered', async (t) => {
    const { proxy, url } = await proxyTo(t, await postgres.database());
    const pool = createPool({ ...pools, url });
    t.after(() => pool.close());
    await Promise.all([pool.query('select pg_sleep(0.1)'), pool.query('select pg_sleep(0.1)')]);
    assert.equal(proxy.silence(), 2);
    const met = timed(assert.rejects(pool.query('select 1'), { code: 'postgres_unavailable' }));
    assert.ok((await met) < STATEMENT_LIMIT_MS + SLACK_MS);
    assert.ok((await timed(untilAnswered(() => pool.query('select 1')))) < SLACK_MS);
  });

  for (const [where, step] of [
    ['before its COPY', 'ledger'],
    ['after its COPY', 'copied'],
    ['at its COMMIT', 'decided'],
  ] as const) {
    test(`to Postgres, of a loader ${where}: it is given up in time, and the batch commits once over a new one`, async (t) => {
      const made = await openSink(postgres);
      t.after(() => made.close());
      const { proxy, url } = await proxyTo(t, made.url);
      // As long as the frozen session may hold its locks, with a short limit here.
      const pool = createPool({ ...pools, url, idleInTransactionTimeoutMs: 2_000 });
      let silenced = 0;
      const sink = made.another({
        pool,
        onStep: (at) => {
          if (at === step && silenced === 0) silenced = proxy.silence();
        },
      });
      const batch = loadBatch({ rows: goodRows('a', 50) });
      const tookMs = await timed(assert.rejects(sink.commit(batch), { code: 'postgres_unavailable' }));
      assert.equal(silenced, 1, 'the fault did not bite');
      assert.ok(tookMs < STATEMENT_LIMIT_MS + SLACK_MS, `it took ${Math.round(tookMs)} ms`);
      const report = await untilAnswered(() => sink.commit(batch));
      assert.equal(report?.loaded, 50);
      assert.equal(await sink.commit(batch), null);
    });
  }

  test('to SQS: a poll and a delete fail in time, and are answered over new connections', async (t) => {
    const queue = await sqs.queue();
    const { proxy, url } = await proxyTo(t, sqs.endpoint);
    const client = createSqsClient({
      queue,
      region: sqs.server.region,
      endpoint: new URL(url).origin,
      receivers: 2,
    });
    t.after(() => client.close());
    await Promise.all([client.receive({ ...POLL, waitS: 0 }, never), client.attributes()]);
    await sqs.server.send(queue, [{ body: 'x' }]);
    assert.ok(proxy.silence() >= 2, 'there was nothing to silence');
    const polled = untilAnswered(() => client.receive(POLL, never));
    const asked = untilAnswered(() => client.attributes());
    const tookMs = await timed(Promise.all([polled, asked]));
    assert.ok(tookMs > 1_000, 'the fault did not bite');
    assert.ok(tookMs < WORKER_LIMIT_MS, `it took ${Math.round(tookMs)} ms`);
    const [message] = await polled;
    assert.ok(message);
    assert.deepEqual(await client.deleteBatch([message.handle]), ['done']);
  });

  test('to SQS, in the middle of an answer: the call fails in time', async (t) => {
    const held = new Set<Socket>();
    const server = createServer((socket) => {
      held.add(socket);
      socket.on('error', () => undefined);
      socket.once('data', () =>
        socket.write(
          'HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 999\r\n\r\n{',
        ),
      );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      for (const socket of held) socket.destroy();
      server.close();
    });
    const address = server.address();
    assert.ok(typeof address === 'object' && address);
    const endpoint = `http://127.0.0.1:${address.port}`;
    const queue = `${endpoint}/000000000000/some-queue`;
    const client = createSqsClient({ queue, region: 'us-east-1', endpoint, receivers: 1 });
    t.after(() => client.close());
    const failed = assert.rejects(client.deleteBatch(['handle']), { code: 'sqs_unavailable' });
    assert.ok((await timed(failed)) < 3 * (10_000 + SLACK_MS));
  });
});

describe('a server that accepts and does not answer for a while is worked with again once it does,', () => {
  const MUTE_MS = 8_000;

  test('be it Redis, Postgres or SQS', async (t) => {
    const queueName = await sqs.queue();
    const [a, b, c] = await Promise.all([
      proxyTo(t, redis.url),
      proxyTo(t, await postgres.database()),
      proxyTo(t, sqs.endpoint),
    ]);
    const proxies = [a.proxy, b.proxy, c.proxy];
    await Promise.all(proxies.map((proxy) => proxy.set({ kind: 'black_hole' })));
    const queue = openQueue(t, 'redis', a.url, 'mute');
    const pool = createPool({ url: b.url, applicationName: 'maskline-test' });
    const endpoint = new URL(c.url).origin;
    const client = createSqsClient({ queue: queueName, region: sqs.server.region, endpoint, receivers: 1 });
    t.after(async () => {
      client.close();
      await pool.close();
    });
    const all: readonly (() => Promise<unknown>)[] = [
      () => queue.backlog(),
      () => pool.query('select 1'),
      () => client.attributes(),
    ];
    const startedAt = performance.now();
    const answers = all.map(async (ask) => {
      await untilAnswered(ask);
      return performance.now() - startedAt;
    });
    await systemClock.sleep(MUTE_MS);
    await Promise.all(proxies.map((proxy) => proxy.set({ kind: 'pass' })));
    for (const [index, tookMs] of (await Promise.all(answers)).entries()) {
      assert.ok(tookMs > MUTE_MS, 'the fault did not bite');
      // A try that began while it was mute may run into its own limit first.
      assert.ok(tookMs < MUTE_MS + 15_000, `${String(all[index])} took ${Math.round(tookMs)} ms`);
    }
  });
});

test('a Postgres that has fallen silent keeps no process from ending: nobody waits for its goodbye', async (t) => {
  const database = await postgres.database();
  await migrateQueue({ url: database, backend: 'postgres', prefix: 'goodbye' });
  const { proxy, url } = await proxyTo(t, database);
  const atRest = sockets();
  const pool = createPool({ url, applicationName: 'maskline-test' });
  const queue = openQueue(t, 'postgres', url, 'goodbye');
  queue.process(() => Promise.resolve(), { concurrency: 1 });
  await Promise.all([pool.query('select 1'), queue.backlog()]);
  // Each end of each connection, on either side of the proxy, is of this process.
  await eventually(
    async () => sockets(),
    (now) => now >= atRest + 12,
  );
  const silenced = proxy.silence();
  const atWork = sockets();
  await Promise.all([pool.close(), queue.close()]);
  // The proxy still has its three ends of each.
  await eventually(
    async () => sockets(),
    (now) => now <= atWork - silenced,
    SLACK_MS,
  );
});

/** Open TCP connections of this process, either side. */
function sockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length;
}
