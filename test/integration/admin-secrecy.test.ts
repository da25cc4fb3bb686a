import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Queue, Worker, createPostgresBackend, createRedisBackend } from 'bullmq';
import { Redis } from 'ioredis';
import { uuidv7 } from 'uuidv7';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { createBullQueue } from '../../src/queue/bullmq.js';
import { batchCodec } from '../../src/queue/payload.js';
import { type Reply, ask } from '../support/http.js';
import { LeakScan } from '../../src/proof/leak-scan.js';
import { batchOf, eventually, testSealer } from '../support/queue.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

const NAME = `transform.${PIPELINE}`;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

interface Place {
  readonly backend: 'redis' | 'postgres';
  readonly url: string;
  readonly prefix: string;
}

/** The same queue by BullMQ alone, as anybody can open it who has its URL. */
function openByHand(place: Place, canary: string) {
  const redis = { connection: { url: place.url, maxRetriesPerRequest: null }, prefix: place.prefix };
  const postgres = { connection: { connectionString: place.url, schema: `${place.prefix}_queue` } };
  const fail = (job: { data: { fails?: string } }): Promise<string> =>
    job.data.fails === undefined ? Promise.resolve(canary) : Promise.reject(new Error(job.data.fails));
  return place.backend === 'redis'
    ? {
        queue: new Queue(NAME, redis, createRedisBackend),
        worker: () => new Worker(NAME, fail, { ...redis, name: canary }, createRedisBackend),
      }
    : {
        queue: new Queue(NAME, postgres, createPostgresBackend),
        worker: () => new Worker(NAME, fail, { ...postgres, name: canary }, createPostgresBackend),
      };
}

/** Puts the canary wherever a job can hold something, by hand; returns the ids of the jobs. */
async function plant(place: Place, canary: string): Promise<readonly string[]> {
  const { queue, worker } = openByHand(place, canary);
  const alike = { v: 1, kid: 1, n: 1, bytes: 100, ct: canary, ip: canary };
  const ids = [1, 2, 3].map(() => uuidv7());
  const [failing, completing, delayed] = ids;
  const retention = { removeOnComplete: false, removeOnFail: false, attempts: 1 };
  try {
    await queue.waitUntilReady();
    const made = [
      // Like one of ours, to the code at the beginning of its reason.
      await queue.add(
        'batch',
        { ...alike, fails: `unexpected: ${canary}` },
        { ...retention, jobId: failing ?? '' },
      ),
      await queue.add(canary, alike, { ...retention, jobId: completing ?? '' }),
      await queue.add(
        canary,
        { fails: `${canary}: ${canary}` },
        { ...retention, jobId: `by-hand-${canary}` },
      ),
    ];
    for (const job of made) {
      await job.log(canary);
      await job.updateProgress({ canary });
    }
    const working = worker();
    working.on('error', () => undefined);
    await eventually(
      () => queue.getJobCounts('failed', 'completed'),
      ({ failed, completed }) => failed === 3 && completed === 1,
    );
    await working.close();
    await queue.add(canary, canary, {
      ...retention,
      jobId: delayed ?? '',
      delay: 3_600_000,
      deduplication: { id: canary },
    });
    await queue.add(canary, { canary }, { ...retention, priority: 5 });
    await queue.add(canary, { canary }, retention);
    await queue.upsertJobScheduler(
      canary,
      { every: 3_600_000 },
      { name: canary, data: { canary }, opts: retention },
    );
  } finally {
    await queue.close();
  }
  return [...ids, `by-hand-${canary}`, `repeat:${canary}:1`];
}

/** Leaves a batch of ours that failed for a reason of ours. */
async function failOne(place: Place, canary: string): Promise<string> {
  const queue = createBullQueue<Batch>({
    ...place,
    tls: null,
    sentinels: null,
    name: NAME,
    codec: batchCodec,
    sealer: testSealer(),
    clock: systemClock,
    keepFailed: { count: 100, ageS: 3_600 },
    attempts: { attempts: 1, baseMs: 1, maxMs: 1, newerMs: 1 },
  });
  const batch = batchOf([`{"ip":"${canary}"}`]);
  try {
    const consumer = queue.process(() => Promise.reject(new TypeError(canary)), { concurrency: 1 });
    await queue.add(batch);
    await eventually(
      () => queue.states([batch.batchId]),
      ([state]) => state === 'failed',
    );
    await consumer.stop();
  } finally {
    await queue.close();
  }
  return batch.batchId;
}

const STATUSES = [
  'latest',
  'active',
  'waiting',
  'waiting-children',
  'prioritized',
  'completed',
  'failed',
  'delayed',
  'paused',
];

/** Every path that tells of queues or jobs. */
function paths(ids: readonly string[]): readonly string[] {
  const queue = `/queues/api/queues/${NAME}`;
  const listed = STATUSES.flatMap((status) => [
    `/queues/api/queues?activeQueue=${NAME}&status=${status}&page=1&jobsPerPage=100`,
    `/queues/queue/${NAME}?status=${status}`,
  ]);
  const jobs = ids
    .map(encodeURIComponent)
    .flatMap((id) => [
      `${queue}/${id}`,
      `${queue}/${id}/logs`,
      `${queue}/${id}/flow`,
      `${queue}/${id}/flow?root=node&depth=3&maxChildren=10`,
      `/queues/queue/${NAME}/${id}`,
    ]);
  const others = ['metrics', 'workers', 'default-job-options', 'rate-limit', 'job-data-schema'];
  return [
    ...[
      '/',
      '/failed',
      '/quarantine',
      '/api/status',
      '/metrics',
      '/readyz?verbose',
      '/queues',
      '/queues/api/redis/stats',
    ],
    ...['/queues/api/job-schedulers', '/queues/api/metrics/history', '/queues/metrics-history'],
    ...others.map((name) => `${queue}/${name}`),
    ...listed,
    ...jobs,
  ];
}

async function look(deployment: Deployment, place: Place): Promise<void> {
  const canary = `canary-${randomBytes(12).toString('hex')}`;
  // Ours first: its consumer would take what is planted.
  const ours = await failOne(place, canary);
  const planted = await plant(place, canary);
  const env = { REDIS_URL: place.url };
  const admin = deployment.cli.spawn(['run', 'admin'], { env });
  const { port } = await admin.waitFor('listening');
  const replies: [string, Reply][] = [];
  for (const path of paths([...planted, ours])) replies.push([path, await ask(port, path)]);
  const found = new LeakScan({ canary }).scanAll(
    replies.map(([path, { text, headers }]) => [path, `${JSON.stringify(headers)}\n${text}`] as const),
  );
  assert.deepEqual(found, []);
  const of = (path: string): Reply => replies.find(([each]) => each === path)?.[1] ?? assert.fail(path);
  // The controls: the pages were there, the jobs are on them, and what may be seen is seen.
  const failed = of(`/queues/api/queues?activeQueue=${NAME}&status=failed&page=1&jobsPerPage=100`).text;
  const shown = JSON.parse(failed) as { queues: { name: string; jobs: { [field: string]: unknown }[] }[] };
  const jobs = shown.queues.find(({ name }) => name === NAME)?.jobs ?? [];
  assert.equal(jobs.length, 3);
  const own = jobs.find((job) => job['id'] === ours) ?? assert.fail('the failed batch is listed');
  assert.match(String(own['failedReason']), /^unexpected: look at the log of the worker/);
  assert.deepEqual(Object.keys(own['data'] as object), ['v', 'kid', 'n', 'bytes']);
  assert.equal(own['name'], 'batch');
  const byHand =
    jobs.find((job) => String(job['id']).startsWith('foreign-')) ?? assert.fail('and the foreign');
  assert.match(String(byHand['failedReason']), /withheld/);
  assert.match(String(byHand['data']), /withheld/);
  assert.equal(of(`/queues/api/queues/${NAME}/${ours}`).status, 200);
  assert.deepEqual(JSON.parse(of(`/queues/api/queues/${NAME}/${ours}/logs`).text), []);
  assert.equal(of('/queues/api/redis/stats').status, 403);
  assert.match(of('/').text, /3 kept/);
  admin.signal('SIGTERM');
  assert.equal((await admin.ended).code, 0);
  const logged = new LeakScan({ canary }).scan('log', admin.stderr + admin.stdout);
  assert.deepEqual(logged, []);
}

test('nothing that a job holds is on any page when the queue is on Redis', async () => {
  const deployment = await stack.deployment({ keys: false });
  await look(deployment, { backend: 'redis', url: stack.redis.url, prefix: deployment.prefix });
});

test('nothing that a job holds is on any page when the queue is on Postgres', async () => {
  const deployment = await stack.deployment();
  const env = { REDIS_URL: deployment.database };
  assert.equal((await deployment.cli.run(['migrate'], { env })).code, 0);
  await look(deployment, { backend: 'postgres', url: deployment.database, prefix: deployment.prefix });
});

test('a job that can not even be read is not quoted, and the rest of the board stays', async () => {
  const canary = `canary-${randomBytes(12).toString('hex')}`;
  const deployment = await stack.deployment({ keys: false });
  const redis = new Redis(stack.redis.url);
  const admin = deployment.cli.spawn(['run', 'admin']);
  const { port } = await admin.waitFor('listening');
  const id = uuidv7();
  const key = `${deployment.prefix}:${NAME}`;
  try {
    await redis.hset(`${key}:${id}`, { name: canary, data: `{"${canary}`, opts: canary, stacktrace: canary });
    await redis.zadd(`${key}:failed`, Date.now(), id);
    for (const path of paths([id])) {
      const { text, headers } = await ask(port, path);
      assert.deepEqual(new LeakScan({ canary }).scan(path, JSON.stringify(headers) + text), []);
    }
    assert.equal((await ask(port, `/queues/api/queues/${NAME}/${id}`)).status, 500);
    assert.equal((await ask(port, '/queues/api/queues')).status, 200);
  } finally {
    redis.disconnect();
    admin.signal('SIGTERM');
    assert.equal((await admin.ended).code, 0);
  }
  assert.deepEqual(new LeakScan({ canary }).scan('log', admin.stderr), []);
});
