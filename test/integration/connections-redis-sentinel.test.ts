import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import type { QueueEvent } from '../../src/queue/attempts.js';
import { createBullQueue } from '../../src/queue/bullmq.js';
import { checkRedis } from '../../src/queue/bullmq-check.js';
import type { QueueServer, Sentinels } from '../../src/queue/bullmq-link.js';
import { batchCodec } from '../../src/queue/payload.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import { TestCertificates } from '../support/certificates.js';
import { freePort } from '../../src/embedded/free-port.js';
import { Seen, batchOf, eventually, testSealer } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';
import { type TestSentinels, startTestSentinels } from '../support/sentinel.js';

const NAME = 'events';
const PASSWORD = 'gu4rd';
/** down-after 0.5 s, an election, and the servers' own reconnecting. */
const FAILOVER_LIMIT_MS = 20_000;

type Server = Awaited<ReturnType<typeof startTestRedis>>;

let servers: Server[] = [];
let sentinels: TestSentinels;
let queues: BatchQueue<Batch>[] = [];
let events: Seen<QueueEvent>;

function through(overrides: Partial<Sentinels> = {}): QueueServer {
  const { hosts } = sentinels;
  return {
    // Of the URL only user, password and database count.
    url: `redis://:${PASSWORD}@not-used.invalid/1`,
    sentinels: { name: NAME, hosts, username: null, password: PASSWORD, tls: false, ...overrides },
  };
}

function open(): BatchQueue<Batch> {
  const queue = createBullQueue({
    ...through(),
    backend: 'redis',
    prefix: 'integration',
    name: 'transform.logins',
    codec: batchCodec,
    sealer: testSealer(),
    clock: systemClock,
    keepFailed: { count: 10, ageS: 60 },
    locks: { lockMs: 2_000, stalledMs: 500 },
    onEvent: (event) => events.push(event),
  });
  queues.push(queue);
  return queue;
}

async function on<T>(port: number, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ port, password: PASSWORD, db: 1 });
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
}

/** As an ingester does: what the queue does not know any more is added again, until all has been worked on. */
async function untilSeen(
  queue: BatchQueue<Batch>,
  batches: readonly Batch[],
  seen: Seen<string>,
): Promise<void> {
  const missing = (): readonly Batch[] => batches.filter(({ batchId }) => !seen.all.includes(batchId));
  const addMissing = async (): Promise<number> => {
    const waiting = missing();
    const states = await queue.states(waiting.map(({ batchId }) => batchId)).catch(() => []);
    for (const [index, state] of states.entries()) {
      const batch = waiting[index];
      if (state !== 'live' && batch) await queue.add(batch).catch(() => undefined);
    }
    return missing().length;
  };
  await eventually(addMissing, (left) => left === 0, FAILOVER_LIMIT_MS);
}

describe('Redis behind Sentinels', () => {
  before(async () => {
    const primary = await startTestRedis();
    const replica = await startTestRedis({ settings: { replicaof: `127.0.0.1 ${primary.port}` } });
    servers = [primary, replica];
    for (const { url } of servers) {
      const client = new Redis(url);
      await client.config('SET', 'masterauth', PASSWORD);
      await client.config('SET', 'requirepass', PASSWORD);
      client.disconnect();
    }
    sentinels = await startTestSentinels({ name: NAME, port: primary.port, password: PASSWORD, replicas: 1 });
    events = new Seen();
  });

  afterEach(async () => {
    await Promise.all(queues.map((queue) => queue.close()));
    queues = [];
  });

  after(async () => {
    await sentinels.stop();
    await Promise.all(servers.map((server) => server.stop()));
  });

  test('the check asks the primary that they tell', async () => {
    const { warnings, maxmemoryPolicy } = await checkRedis(through());
    assert.equal(maxmemoryPolicy, 'noeviction');
    assert.match(warnings.join(), /events \(Sentinels 127\.0\.0\.1:\d+, /);
  });

  const faults: readonly [string, Partial<Sentinels>, string, RegExp][] = [
    [
      'a name that they do not know',
      { name: 'other' },
      'queue_unfit',
      /Redis at other .*queue\.sentinel\.name/,
    ],
    [
      'a wrong password at the Sentinels',
      { password: 'wr0ng' },
      'permission_denied',
      /queue\.sentinel\.username/,
    ],
    ['no password at the Sentinels', { password: null }, 'permission_denied', /queue\.sentinel\.username/],
    [
      'no Sentinel there',
      { hosts: [{ host: '127.0.0.1', port: 1 }] },
      'redis_unavailable',
      /does not answer/,
    ],
  ];
  for (const [what, overrides, code, text] of faults) {
    test(`${what}: ${code}, at once`, async () => {
      await assert.rejects(checkRedis(through(overrides)), (error: Error & { readonly code?: string }) => {
        assert.equal(error.code, code, error.message);
        assert.match(error.message, text);
        assert.ok(!error.message.includes('wr0ng') && !error.message.includes(PASSWORD));
        return true;
      });
    });
  }

  test('batches are in the database of the URL, on the primary', async () => {
    const batch = batchOf(['{}']);
    await open().add(batch);
    const key = `integration:transform.logins:${batch.batchId}`;
    assert.equal(await on(await sentinels.primaryPort(), (client) => client.exists(key)), 1);
    await on(await sentinels.primaryPort(), (client) => client.flushdb());
  });

  test('the primary is killed under load: producer and worker go on with the new one, and every batch is worked on', async () => {
    const seen = new Seen<string>();
    const [producer, worker] = [open(), open()];
    worker.process(async ({ batchId }) => seen.push(batchId), { concurrency: 4 });
    const batches = Array.from({ length: 200 }, () => batchOf(['{}']));
    for (const batch of batches.slice(0, 100)) await producer.add(batch);
    await seen.take(1);
    const before = await sentinels.primaryPort();
    await servers.find(({ port }) => port === before)?.kill();
    await assert.rejects(producer.add(batches[100] ?? batchOf([])), { code: 'redis_unavailable' });
    await eventually(
      () => sentinels.primaryPort(),
      (port) => port !== before,
      FAILOVER_LIMIT_MS,
    );
    await untilSeen(producer, batches, seen);
    assert.ok(!events.all.some((event) => event.kind === 'attempt_failed'));
    // It comes back as a replica of the one that took over.
    await servers.find(({ port }) => port === before)?.restart();
    const client = new Redis({ port: before });
    await client.config('SET', 'masterauth', PASSWORD);
    await client.config('SET', 'requirepass', PASSWORD);
    client.disconnect();
  });

  test('the primary is demoted while it lives: nobody goes on writing to it, and every batch is worked on', async () => {
    const before = await sentinels.primaryPort();
    const other = servers.find(({ port }) => port !== before);
    assert.ok(other);
    await eventually(
      () => on(other.port, (client) => client.info('replication')),
      (info) => /role:slave/.test(info) && /master_link_status:up/.test(info),
      FAILOVER_LIMIT_MS,
    );
    const seen = new Seen<string>();
    const [producer, worker] = [open(), open()];
    worker.process(async ({ batchId }) => seen.push(batchId), { concurrency: 4 });
    const batches = Array.from({ length: 200 }, () => batchOf(['{}']));
    for (const batch of batches.slice(0, 50)) await producer.add(batch);
    await eventually(
      () =>
        sentinels.failOver().then(
          () => true,
          () => false,
        ),
      (isUnderWay) => isUnderWay,
      FAILOVER_LIMIT_MS,
    );
    await eventually(
      () => sentinels.primaryPort(),
      (port) => port === other.port,
      FAILOVER_LIMIT_MS,
    );
    await untilSeen(producer, batches, seen);
  });
});

test('Sentinels and servers that speak nothing but TLS are reached with one CA, and refused with another', async (t) => {
  const certificates = new TestCertificates();
  t.after(() => certificates.remove());
  const authority = certificates.authority('authority');
  const shown = authority.sign('server', ['IP:127.0.0.1']);
  const port = await freePort();
  const files = { 'tls-cert-file': shown.certFile, 'tls-key-file': shown.keyFile };
  const primary = await startTestRedis({
    settings: {
      'tls-port': String(port),
      ...files,
      'tls-ca-cert-file': authority.certFile,
      'tls-auth-clients': 'no',
    },
  });
  t.after(() => primary.stop());
  const admin = new Redis(primary.url);
  await admin.config('SET', 'requirepass', PASSWORD);
  admin.disconnect();
  const tls = { ...shown, caFile: authority.certFile };
  const watching = await startTestSentinels({ name: NAME, port, password: PASSWORD, replicas: 0, tls });
  t.after(() => watching.stop());
  const trusting = (caFile: string): QueueServer => ({
    url: `rediss://:${PASSWORD}@not-used.invalid`,
    tls: { caFile, certFile: null, keyFile: null, serverName: null },
    sentinels: { name: NAME, hosts: watching.hosts, username: null, password: PASSWORD, tls: true },
  });
  assert.equal((await checkRedis(trusting(authority.certFile))).maxmemoryPolicy, 'noeviction');
  await assert.rejects(checkRedis(trusting(certificates.authority('stranger').certFile)), {
    code: 'config_invalid',
    message: /queue\.tls\.ca_file/,
  });
});
