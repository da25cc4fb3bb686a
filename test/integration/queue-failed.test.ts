import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { startPostgres } from '../../src/embedded/postgres.js';
import { PipelineError } from '../../src/errors.js';
import type { QueueEvent } from '../../src/queue/attempts.js';
import { createBullQueue, migrateQueue } from '../../src/queue/bullmq.js';
import type { FailedJob, FailedJobs } from '../../src/queue/failed-jobs.js';
import { batchCodec } from '../../src/queue/payload.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import { rowsOf } from '../support/postgres.js';
import { Seen, batchOf, eventually, testSealer } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';

// What the contract of all queues cannot show: what a server holds, and what others may have written into it.

const PREFIX = 'kept';
const NAME = 'transform.logins';

/** A server, and a hand in what BullMQ keeps there of a job. */
interface Server {
  readonly url: string;
  setReason(id: string, text: string): Promise<unknown>;
  setTakeovers(id: string, count: number): Promise<unknown>;
  setPayload(id: string, json: string): Promise<unknown>;
  stop(): Promise<void>;
}

async function redisServer(): Promise<Server> {
  const server = await startTestRedis();
  const client = new Redis(server.url);
  const key = (id: string): string => `${PREFIX}:${NAME}:${id}`;
  return {
    url: server.url,
    setReason: (id, text) => client.hset(key(id), 'failedReason', text),
    setTakeovers: (id, count) => client.hset(key(id), 'stc', count),
    setPayload: (id, json) => client.hset(key(id), 'data', json),
    stop: async () => {
      client.disconnect();
      await server.stop();
    },
  };
}

async function postgresServer(): Promise<Server> {
  const dir = await mkdtemp(join(tmpdir(), 'maskline-queue-'));
  const server = await startPostgres({ dir, durable: false, temporary: true });
  await migrateQueue({ url: server.url, backend: 'postgres', prefix: PREFIX });
  const set = (column: string) => (id: string, value: unknown) =>
    rowsOf(server.url, `update ${PREFIX}_queue.job set ${column} = $2 where id = $1`, [id, value]);
  return {
    url: server.url,
    setReason: set('failed_reason'),
    setTakeovers: set('stalled_count'),
    setPayload: set('data'),
    stop: () => server.stop(),
  };
}

function contract(backend: 'redis' | 'postgres', start: () => Promise<Server>): void {
  let server: Server;
  let queue: BatchQueue<Batch> & FailedJobs<Batch>;
  let events: Seen<QueueEvent>;

  const open = (): void => {
    events = new Seen();
    queue = createBullQueue({
      url: server.url,
      backend,
      prefix: PREFIX,
      name: NAME,
      codec: batchCodec,
      sealer: testSealer(7),
      clock: systemClock,
      keepFailed: { count: 10, ageS: 3_600 },
      locks: { lockMs: 400, stalledMs: 150 },
      onEvent: (event) => events.push(event),
    });
  };
  const failedJob = (id: string): Promise<FailedJob | undefined> =>
    eventually(
      async () => (await queue.failedByIds([id]))[0],
      (job) => job !== undefined,
    );
  const fail = async (batch: Batch): Promise<FailedJob | undefined> => {
    const worker = queue.process(
      async () => {
        throw new PipelineError('table_unfit', 'made up');
      },
      { concurrency: 1 },
    );
    await queue.add(batch);
    const job = await failedJob(batch.batchId);
    await worker.stop();
    return job;
  };

  before(async () => {
    server = await start();
  });
  afterEach(() => queue.close());
  after(() => server.stop());

  test('a failed batch tells the size and the key of its payload without being opened', async () => {
    open();
    const small = await fail(batchOf(['{}']));
    const large = await fail(batchOf([`{"a":"${'x'.repeat(100_000)}"}`, '{}']));
    assert.deepEqual(
      [small?.payload.version, small?.payload.kid, small?.payload.records, large?.payload.records],
      [1, 7, 1, 2],
    );
    assert.equal(small?.payload.keyring, testSealer(7).keyring);
    const growth = (large?.payload.bytes ?? 0) - (small?.payload.bytes ?? 0);
    assert.ok(growth > 100_000 && growth < 100_500, `${growth} bytes more`);
    assert.ok((small?.queuedBytes ?? 0) > 100, 'sealed, in base64');
  });

  test('what BullMQ itself says of a batch whose workers died too often reads as if maskline said it', async () => {
    open();
    const batch = batchOf(['{}']);
    const held = new Seen<string>();
    const dying = queue.process(
      async ({ batchId }, signal) => {
        held.push(batchId);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
      { concurrency: 1 },
    );
    await queue.add(batch);
    await held.take(1);
    // It has died ten times before; now it dies once more, and leaves its batch to be taken over.
    await server.setTakeovers(batch.batchId, 10);
    await dying.stop('hard');
    const next = queue.process(async () => undefined, { concurrency: 1 });
    const job = await failedJob(batch.batchId);
    await next.stop();
    assert.deepEqual(
      [job?.code, job?.reason, job?.takeovers],
      ['worker_died', 'worker_died: the worker of the batch died or hung 11 times', 11],
    );
    const told = events.all.find((event) => event.kind === 'attempt_failed');
    assert.equal(told?.error.code, 'worker_died');
  });

  test('a reason that is not of maskline is not quoted, nor is one whose code there is not', async () => {
    open();
    const [first, second] = [batchOf(['{}']), batchOf(['{}'])];
    for (const batch of [first, second]) await fail(batch);
    await server.setReason(first.batchId, 'secret value of somebody');
    await server.setReason(second.batchId, 'constructor: secret value of somebody');
    for (const job of await queue.failedByIds([first.batchId, second.batchId])) {
      assert.equal(job.code, 'unexpected');
      assert.doesNotMatch(JSON.stringify(job), /secret/);
    }
  });

  test('a payload that this version cannot read is listed all the same, and refuses to be opened', async () => {
    open();
    const batch = batchOf(['{}']);
    await fail(batch);
    const { batchId } = batch;
    await server.setPayload(batchId, '{"v":2,"something":"else"}');
    const [newer] = await queue.failedByIds([batchId]);
    const unknown = { kid: null, keyring: null, records: null, bytes: null };
    assert.deepEqual(newer?.payload, { version: 2, ...unknown });
    await assert.rejects(queue.openFailed(batchId), { code: 'payload_newer' });
    await server.setPayload(batchId, '[]');
    const [broken] = await queue.failedByIds([batchId]);
    assert.deepEqual(broken?.payload, { version: null, ...unknown });
    await assert.rejects(queue.openFailed(batchId), { code: 'payload_corrupt' });
    assert.equal(await queue.discardFailed(batchId), true);
  });

  test('more than one round trip of failed batches are all listed', async () => {
    open();
    const many = Array.from({ length: 3_000 }, (_, index) => `none-${index}`);
    const batch = batchOf(['{}']);
    await fail(batch);
    const found = await queue.failedByIds([...many, batch.batchId]);
    assert.deepEqual(
      found.map((job) => job.batchId),
      [batch.batchId],
    );
  });
}

describe('failed batches on Redis', () => contract('redis', redisServer));
describe('failed batches on Postgres', () => contract('postgres', postgresServer));
