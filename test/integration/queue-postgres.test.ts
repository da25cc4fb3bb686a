import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { Queue, createPostgresBackend } from 'bullmq';
import pg from 'pg';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { type EmbeddedPostgres, startPostgres } from '../../src/embedded/postgres.js';
import type { QueueEvent } from '../../src/queue/attempts.js';
import { type BullQueueOptions, createBullQueue, migrateQueue } from '../../src/queue/bullmq.js';
import { batchCodec } from '../../src/queue/payload.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import { Seen, batchOf, eventually, gate, testSealer } from '../support/queue.js';

const CALL_LIMIT_MS = 5_500;

let server: EmbeddedPostgres;
let queues: BatchQueue<Batch>[] = [];
let events: Seen<QueueEvent>;
let count = 0;

function open(overrides: Partial<BullQueueOptions<Batch>> = {}): BatchQueue<Batch> {
  const queue = createBullQueue({
    url: server.url,
    backend: 'postgres',
    prefix: 'integration',
    name: `transform.test_${count}`,
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

function succeeds(work: () => Promise<unknown>): () => Promise<boolean> {
  return () =>
    work().then(
      () => true,
      () => false,
    );
}

describe('a queue on Postgres', () => {
  before(async () => {
    const dir = await mkdtemp(join(tmpdir(), 'maskline-queue-'));
    server = await startPostgres({ dir, durable: false, temporary: true });
    await migrateQueue({ url: server.url, backend: 'postgres', prefix: 'integration' });
  });

  beforeEach(() => {
    count += 1;
    events = new Seen();
  });

  afterEach(async () => {
    await Promise.all(queues.map((queue) => queue.close()));
    queues = [];
  });

  after(() => server.stop());

  test('without its schema it refuses, names the command, and works once that was run', async () => {
    const queue = open({ prefix: 'unprepared' });
    const seen = new Seen<string>();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    const refused = { code: 'schema_outdated', message: /maskline migrate/ };
    await assert.rejects(queue.add(batchOf(['{}'])), refused);
    await assert.rejects(queue.states(['x']), refused);
    await Promise.all(
      [1, 2].map(() => migrateQueue({ url: server.url, backend: 'postgres', prefix: 'unprepared' })),
    );
    const batch = batchOf(['{}']);
    await queue.add(batch);
    assert.deepEqual(await seen.take(1), [batch.batchId]);
  });

  test('two prefixes in one database know nothing of each other', async () => {
    await migrateQueue({ url: server.url, backend: 'postgres', prefix: 'other' });
    const batch = batchOf(['{}']);
    await open().add(batch);
    assert.deepEqual(await open({ prefix: 'other' }).states([batch.batchId]), ['absent']);
  });

  test('a queue that somebody paused still counts what waits in it', async () => {
    const queue = open();
    const connection = { connectionString: server.url, schema: 'integration_queue' };
    const board = new Queue(`transform.test_${count}`, { connection }, createPostgresBackend);
    await board.pause();
    await queue.add(batchOf(['{}']));
    assert.deepEqual(await queue.backlog(), { waiting: 1, active: 0, failed: 0 });
    await board.close();
  });

  test('a prefix that can be no schema is a mistake in the configuration', () => {
    assert.throws(() => open({ prefix: 'mask-line; drop' }), {
      code: 'config_invalid',
      message: /queue\.prefix/,
    });
  });

  test('Postgres crashes and recovers: worker and producer go on by themselves, and nothing fails', async () => {
    const [seen, hold, held] = [new Seen<string>(), gate(), batchOf(['{}'])];
    const queue = open({ locks: { lockMs: 2_000, stalledMs: 500 } });
    queue.process(
      async ({ batchId }) => {
        seen.push(batchId);
        if (batchId === held.batchId) await hold.opened;
      },
      { concurrency: 2 },
    );
    await queue.add(held);
    await seen.take(1);
    await server.restart({ mode: 'immediate' });
    const batch = batchOf(['{}']);
    await eventually(
      succeeds(() => queue.add(batch)),
      (added) => added,
    );
    await seen.take(1, (id) => id === batch.batchId);
    hold.open();
    await eventually(
      () => queue.backlog(),
      ({ waiting, active }) => waiting + active === 0,
    );
    assert.equal((await queue.backlog()).failed, 0);
  });

  test('Postgres is away at the start: calls fail fast, and all goes on when it comes', async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'maskline-queue-'));
    const away = await startPostgres({ dir, durable: false });
    t.after(() => rm(dir, { recursive: true, force: true }));
    t.after(() => away.stop());
    await migrateQueue({ url: away.url, backend: 'postgres', prefix: 'integration' });
    await away.stop();
    const queue = open({ url: away.url });
    const seen = new Seen<string>();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    const from = performance.now();
    await assert.rejects(queue.add(batchOf(['{}'])), { code: 'postgres_unavailable' });
    assert.ok(performance.now() - from < CALL_LIMIT_MS);
    const back = await startPostgres({ dir, port: away.port, durable: false });
    t.after(() => back.stop());
    const batch = batchOf(['{}']);
    await eventually(
      succeeds(() => queue.add(batch)),
      (added) => added,
    );
    assert.deepEqual(await seen.take(1), [batch.batchId]);
  });

  test('a refusal is neither an outage nor a loop', async () => {
    const admin = new pg.Client({ connectionString: server.url });
    await admin.connect();
    await admin.query("CREATE ROLE stranger LOGIN PASSWORD 'stranger'");
    const url = new URL(server.url);
    [url.username, url.password] = ['stranger', 'stranger'];
    const queue = open({ url: url.href });
    await assert.rejects(queue.add(batchOf(['{}'])), { code: 'permission_denied', message: /42501/ });
    url.password = 'wr0ng';
    await assert.rejects(open({ url: url.href }).backlog(), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'permission_denied');
      assert.ok(!error.message.includes('wr0ng'));
      return true;
    });
    await admin.end();
  });
});
