import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { type EmbeddedPostgres, startPostgres } from '../../src/embedded/postgres.js';
import type { EmbeddedRedis } from '../../src/embedded/redis.js';
import { type ErrorCode, PipelineError } from '../../src/errors.js';
import type { QueueEvent } from '../../src/queue/attempts.js';
import { type KeepFailed, createBullQueue, migrateQueue } from '../../src/queue/bullmq.js';
import { MemoryQueue } from '../../src/queue/memory.js';
import { batchCodec } from '../../src/queue/payload.js';
import type { FailedFilter, FailedJobs } from '../../src/queue/failed-jobs.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import { Seen, batchOf, eventually, gate, hasSettled, testSealer } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';

const attempts = { attempts: 3, baseMs: 10, maxMs: 40, newerMs: 20 };
const keepFailed = { count: 3, ageS: 3_600 };

type OnEvent = (event: QueueEvent) => void;
type TestQueue = BatchQueue<Batch> & FailedJobs<Batch>;

const EVERY: FailedFilter = { codes: [], since: null, limit: null };

interface Subject {
  start(): Promise<void>;
  stop(): Promise<void>;
  create(name: string, onEvent: OnEvent, kept?: KeepFailed): TestQueue;
}

function onServer(backend: 'redis' | 'postgres', server: () => { readonly url: string }): Subject['create'] {
  return (name, onEvent, kept = keepFailed) =>
    createBullQueue({
      url: server().url,
      backend,
      prefix: 'conformance',
      name,
      codec: batchCodec,
      sealer: testSealer(),
      clock: systemClock,
      keepFailed: kept,
      attempts,
      // Short, so that what a hard stop leaves behind is taken over within the test; longer than a busy machine stutters.
      locks: { lockMs: 1_500, stalledMs: 300 },
      onEvent,
    });
}

function memory(): Subject {
  return {
    start: async () => undefined,
    stop: async () => undefined,
    create: (_, onEvent, kept = keepFailed) =>
      new MemoryQueue({ clock: systemClock, attempts, keepFailed: kept, onEvent }),
  };
}

function redis(): Subject {
  let server: EmbeddedRedis;
  return {
    start: async () => {
      server = await startTestRedis();
    },
    stop: () => server.stop(),
    create: onServer('redis', () => server),
  };
}

function postgres(): Subject {
  let server: EmbeddedPostgres;
  return {
    start: async () => {
      const dir = await mkdtemp(join(tmpdir(), 'maskline-queue-'));
      server = await startPostgres({ dir, durable: false, temporary: true });
      await migrateQueue({ url: server.url, backend: 'postgres', prefix: 'conformance' });
    },
    stop: () => server.stop(),
    create: onServer('postgres', () => server),
  };
}

function contract(subject: Subject): void {
  let count = 0;
  let events = new Seen<QueueEvent>();
  let queue: TestQueue;

  const open = (): TestQueue => {
    count += 1;
    events = new Seen();
    queue = subject.create(`transform.test_${count}`, (event) => events.push(event));
    return queue;
  };
  const failures = () => events.all.filter((event) => event.kind === 'attempt_failed');
  const isGone = async (id: string) => {
    await eventually(
      () => queue.states([id]),
      ([state]) => state === 'absent',
    );
  };
  const isFailed = async (id: string) => {
    await eventually(
      () => queue.states([id]),
      ([state]) => state === 'failed',
    );
  };

  before(() => subject.start());
  afterEach(() => queue.close());
  after(() => subject.stop());

  test('a batch arrives as it was added, and is then forgotten', async () => {
    const seen = new Seen<Batch>();
    open().process(async (batch) => seen.push(batch), { concurrency: 1 });
    const batch = batchOf(['{"a":1}', 'línea ✓ 𝄞', '', 'lone \ud800 surrogate']);
    await queue.add(batch);
    assert.deepEqual(await seen.take(1), [batch]);
    await isGone(batch.batchId);
    assert.deepEqual(await queue.backlog(), { waiting: 0, active: 0, failed: 0 });
  });

  test('added twice while waiting, it is delivered once', async () => {
    const [first, last] = [batchOf(['{}']), batchOf(['{}'])];
    open();
    await queue.add(first);
    await Promise.all([queue.add(first), queue.add(first)]);
    assert.deepEqual(await queue.backlog(), { waiting: 1, active: 0, failed: 0 });
    await queue.add(last);
    const seen = new Seen<string>();
    queue.process(async (batch) => seen.push(batch.batchId), { concurrency: 1 });
    await seen.take(1, (id) => id === last.batchId);
    await isGone(first.batchId);
    assert.deepEqual([...seen.all].sort(), [first.batchId, last.batchId].sort());
  });

  test('added again while it is worked on, it is delivered once', async () => {
    const [seen, hold, batch] = [new Seen<string>(), gate(), batchOf(['{}'])];
    open().process(
      async ({ batchId }) => {
        seen.push(batchId);
        await hold.opened;
      },
      { concurrency: 2 },
    );
    await queue.add(batch);
    await seen.take(1);
    await queue.add(batch);
    hold.open();
    await isGone(batch.batchId);
    assert.equal(seen.all.length, 1);
  });

  test('as many batches are worked on at once as asked for, and no more', async () => {
    const [started, hold] = [new Seen<string>(), gate()];
    let [now, most] = [0, 0];
    open().process(
      async ({ batchId }) => {
        now += 1;
        most = Math.max(most, now);
        started.push(batchId);
        await hold.opened;
        now -= 1;
      },
      { concurrency: 3 },
    );
    for (let added = 0; added < 6; added += 1) await queue.add(batchOf(['{}']));
    await started.take(3);
    await eventually(
      () => queue.backlog(),
      ({ waiting, active }) => waiting === 3 && active === 3,
    );
    hold.open();
    await started.take(6);
    await eventually(
      () => queue.backlog(),
      ({ waiting, active }) => waiting + active === 0,
    );
    assert.equal(most, 3);
  });

  test('a handler that throws is tried again up to the attempts; then the batch is kept as failed', async () => {
    const [seen, batch] = [new Seen<string>(), batchOf(['{}'])];
    open().process(
      async ({ batchId }) => {
        seen.push(batchId);
        throw new PipelineError('contention', 'somebody else was faster');
      },
      { concurrency: 1 },
    );
    await queue.add(batch);
    await isFailed(batch.batchId);
    assert.equal(seen.all.length, attempts.attempts);
    assert.deepEqual(await queue.backlog(), { waiting: 0, active: 0, failed: 1 });
    assert.deepEqual(
      failures().map((event) => [event.batchId, event.error.code, event.final]),
      [
        [batch.batchId, 'contention', false],
        [batch.batchId, 'contention', false],
        [batch.batchId, 'contention', true],
      ],
    );
  });

  test('a failed batch that is added again starts over with all its attempts', async () => {
    const [seen, batch] = [new Seen<string>(), batchOf(['{}'])];
    let throws = attempts.attempts + 2;
    open().process(
      async ({ batchId }) => {
        seen.push(batchId);
        if ((throws -= 1) >= 0) throw new PipelineError('contention', 'not yet');
      },
      { concurrency: 1 },
    );
    await queue.add(batch);
    await isFailed(batch.batchId);
    await queue.add(batch);
    await isGone(batch.batchId);
    assert.equal(seen.all.length, attempts.attempts + 3);
  });

  const atOnce: readonly ErrorCode[] = ['payload_corrupt', 'canceled', 'key_unavailable', 'table_unfit'];
  for (const code of atOnce) {
    test(`${code} fails the batch at the first attempt`, async () => {
      const [seen, batch] = [new Seen<string>(), batchOf(['{}'])];
      open().process(
        async ({ batchId }) => {
          seen.push(batchId);
          throw new PipelineError(code, 'no use in trying again');
        },
        { concurrency: 1 },
      );
      await queue.add(batch);
      await isFailed(batch.batchId);
      assert.equal(seen.all.length, 1);
      assert.equal(failures()[0]?.final, true);
    });
  }

  const again: readonly [string, unknown][] = [
    ['an unknown error', new TypeError('quotes a value')],
    ['what is no error at all', 'quotes a value'],
    ['an outage that came out of its waiting', new PipelineError('postgres_unavailable', 'away')],
  ];
  for (const [what, thrown] of again) {
    test(`${what} is tried again, and told without its text`, async () => {
      const batch = batchOf(['{}']);
      let calls = 0;
      open().process(
        async () => {
          calls += 1;
          if (calls === 1) throw thrown;
        },
        { concurrency: 1 },
      );
      await queue.add(batch);
      await isGone(batch.batchId);
      assert.equal(calls, 2);
      assert.ok(!failures().some((event) => event.error.message.includes('quotes a value')));
    });
  }

  test('what a newer version wrote is put back, and spends no attempt', async () => {
    const batch = batchOf(['{}']);
    let calls = 0;
    open().process(
      async () => {
        calls += 1;
        if (calls <= attempts.attempts + 2) throw new PipelineError('payload_newer', 'upgrade first');
      },
      { concurrency: 1 },
    );
    await queue.add(batch);
    await isGone(batch.batchId);
    assert.equal(calls, attempts.attempts + 3);
    assert.ok(!failures().some((event) => event.final));
  });

  test('states are told by id and in order: live while waiting or active, failed, or absent', async () => {
    const [waiting, active, failed] = [batchOf(['{}']), batchOf(['{}']), batchOf(['{}'])];
    const [started, hold] = [new Seen<string>(), gate()];
    open();
    const consumer = queue.process(
      async ({ batchId }) => {
        started.push(batchId);
        if (batchId === failed.batchId) throw new PipelineError('payload_corrupt', 'unreadable');
        await hold.opened;
      },
      { concurrency: 1 },
    );
    await queue.add(failed);
    await isFailed(failed.batchId);
    await queue.add(active);
    await started.take(1, (id) => id === active.batchId);
    await queue.add(waiting);
    const ids = [waiting, active, batchOf([]), failed].map((batch) => batch.batchId);
    assert.deepEqual(await queue.states(ids), ['live', 'live', 'absent', 'failed']);
    assert.deepEqual(await queue.states([]), []);
    const many = Array.from({ length: 2_500 }, (_, index) =>
      index === 2_400 ? active.batchId : `none-${index}`,
    );
    assert.deepEqual(
      (await queue.states(many)).flatMap((state, index) => (state === 'absent' ? [] : [[index, state]])),
      [[2_400, 'live']],
    );
    hold.open();
    await isGone(waiting.batchId);
    await consumer.stop();
  });

  test('of failed batches only the newest are kept', async () => {
    const batches = Array.from({ length: keepFailed.count + 2 }, () => batchOf(['{}']));
    open().process(
      async () => {
        throw new PipelineError('payload_corrupt', 'unreadable');
      },
      { concurrency: 1 },
    );
    for (const batch of batches) {
      await queue.add(batch);
      await isFailed(batch.batchId);
    }
    const ids = batches.map((batch) => batch.batchId);
    assert.deepEqual(await queue.states(ids), ['absent', 'absent', 'failed', 'failed', 'failed']);
  });

  /** Adds a batch whose handler throws, and waits until it is kept as failed. */
  const fail = async (batch: Batch, code: ErrorCode, message = 'made up'): Promise<void> => {
    const consumer = queue.process(
      async () => {
        throw new PipelineError(code, message);
      },
      { concurrency: 1 },
    );
    await queue.add(batch);
    await isFailed(batch.batchId);
    await consumer.stop();
  };

  test('failed batches that are older than asked for are gone when the next one fails', async () => {
    const fails = async (): Promise<never> => {
      throw new PipelineError('payload_corrupt', 'unreadable');
    };
    count += 1;
    queue = subject.create(`transform.test_${count}`, () => undefined, { count: 1_000, ageS: 1 });
    queue.process(fails, { concurrency: 1 });
    const old = batchOf(['{}']);
    await queue.add(old);
    await isFailed(old.batchId);
    const another = async () => {
      const batch = batchOf(['{}']);
      await queue.add(batch);
      await eventually(
        () => queue.states([batch.batchId]),
        ([state]) => state !== 'live',
      );
      return queue.states([old.batchId, batch.batchId]);
    };
    await eventually(another, ([first, latest]) => first === 'absent' && latest === 'failed');
  });

  test('what is added while a consumer has nothing to do is taken at once', async () => {
    const seen = new Seen<string>();
    open().process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    const waits: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const batch = batchOf(['{}']);
      await queue.add(batch);
      const from = performance.now();
      await seen.take(1, (id) => id === batch.batchId);
      waits.push(performance.now() - from);
      await isGone(batch.batchId);
      // Long enough for the consumer to wait for its server again.
      await systemClock.sleep(100);
    }
    // A consumer that only asked now and then, as it does where notifications are lost, would take seconds.
    assert.ok(Math.max(...waits) < 1_000, `waited ${waits.map(Math.round).join(', ')} ms`);
  });

  test('a failed batch tells its code, why, how often it was tried and when, without being opened', async () => {
    open();
    const startedAt = Date.now();
    const batch = batchOf(['{"secret":1}', '{}', '{}']);
    await fail(batch, 'contention', 'locks of table\u001b[2J public.t\nare held');
    const [job, ...more] = await queue.failed(EVERY);
    assert.ok(job);
    assert.deepEqual(more, []);
    assert.equal(job.batchId, batch.batchId);
    assert.equal(job.code, 'contention');
    assert.equal(job.reason, 'contention: locks of table [2J public.t are held', 'no control characters');
    assert.equal(job.payload.records, 3);
    assert.equal(job.attempts, attempts.attempts);
    assert.equal(job.takeovers, 0);
    const times = [startedAt, job.addedAt, job.startedAt ?? 0, job.failedAt, Date.now()];
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
    assert.deepEqual(await queue.failedByIds([batchOf([]).batchId, batch.batchId]), [job]);
    assert.deepEqual(await queue.failedByIds([]), []);
  });

  test('failed batches are listed newest first, by code, since a time, and so many at most', async () => {
    open();
    const [first, second, third] = [batchOf(['{}']), batchOf(['{}']), batchOf(['{}'])];
    await fail(first, 'table_unfit');
    await fail(second, 'key_unavailable');
    await fail(third, 'table_unfit');
    const list = async (filter: Partial<FailedFilter>): Promise<readonly string[]> =>
      (await queue.failed({ ...EVERY, ...filter })).map((job) => job.batchId);
    const ids = [third, second, first].map((batch) => batch.batchId);
    assert.deepEqual(await list({}), ids);
    assert.deepEqual(await list({ limit: 2 }), ids.slice(0, 2));
    assert.deepEqual(await list({ codes: ['table_unfit'] }), [third.batchId, first.batchId]);
    assert.deepEqual(await list({ codes: ['table_unfit'], limit: 1 }), [third.batchId]);
    assert.deepEqual(await list({ codes: ['contention'] }), []);
    const at = (await queue.failedByIds([second.batchId]))[0]?.failedAt ?? 0;
    assert.deepEqual(await list({ since: at }), ids.slice(0, 2));
    assert.deepEqual(await list({ since: at + 3_600_000 }), []);
  });

  test('a failed batch is opened as it was added; a live one, and one that is not there, are not', async () => {
    open();
    const [failed, live] = [batchOf(['{"a":1}', 'lone \ud800 surrogate']), batchOf(['{}'])];
    await fail(failed, 'payload_corrupt');
    await queue.add(live);
    assert.deepEqual(await queue.openFailed(failed.batchId), failed);
    assert.equal(await queue.openFailed(live.batchId), null);
    assert.equal(await queue.openFailed(batchOf([]).batchId), null);
  });

  test('a failed batch is removed once; a live one is not', async () => {
    open();
    const [failed, live] = [batchOf(['{}']), batchOf(['{}'])];
    await fail(failed, 'payload_corrupt');
    await queue.add(live);
    assert.equal(await queue.discardFailed(failed.batchId), true);
    assert.equal(await queue.discardFailed(failed.batchId), false);
    assert.equal(await queue.discardFailed(live.batchId), false);
    assert.deepEqual(await queue.states([failed.batchId, live.batchId]), ['absent', 'live']);
    assert.deepEqual(await queue.failed(EVERY), []);
  });

  test('a soft stop finishes what is in hand and takes nothing more', async () => {
    const [started, hold] = [new Seen<AbortSignal>(), gate()];
    const [first, second] = [batchOf(['{}']), batchOf(['{}'])];
    const consumer = open().process(
      async (_, signal) => {
        started.push(signal);
        await hold.opened;
      },
      { concurrency: 1 },
    );
    await queue.add(first);
    const [signal] = await started.take(1);
    await queue.add(second);
    const stopped = consumer.stop('soft');
    assert.equal(await hasSettled(stopped), false);
    assert.equal(signal?.aborted, false);
    hold.open();
    await stopped;
    assert.equal(started.all.length, 1);
    assert.deepEqual(await queue.states([first.batchId, second.batchId]), ['absent', 'live']);
  });

  test('a hard stop does not wait, aborts the signal, and leaves the batch to another consumer', async () => {
    const [started, batch] = [new Seen<AbortSignal>(), batchOf(['{}'])];
    const consumer = open().process(
      async (_, signal) => {
        started.push(signal);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        throw new PipelineError('canceled', 'told to stop');
      },
      { concurrency: 1 },
    );
    await queue.add(batch);
    const [signal] = await started.take(1);
    await consumer.stop('hard');
    assert.equal(signal?.aborted, true);
    assert.deepEqual(await queue.states([batch.batchId]), ['live']);
    const seen = new Seen<string>();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    assert.deepEqual(await seen.take(1), [batch.batchId]);
    assert.equal(failures().length, 0);
  });

  test('a hard stop cuts a soft one short', async () => {
    const [started, batch] = [new Seen<AbortSignal>(), batchOf(['{}'])];
    const consumer = open().process(
      async (_, signal) => {
        started.push(signal);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
      { concurrency: 1 },
    );
    await queue.add(batch);
    await started.take(1);
    const soft = consumer.stop('soft');
    assert.equal(await hasSettled(soft), false);
    await consumer.stop('hard');
    await soft;
    assert.equal(started.all[0]?.aborted, true);
  });

  test('a consumer may be stopped twice, and before it has started', async () => {
    const consumer = open().process(async () => undefined, { concurrency: 1 });
    await Promise.all([consumer.stop(), consumer.stop()]);
    await consumer.stop('hard');
    await queue.add(batchOf(['{}']));
    assert.equal((await queue.backlog()).waiting, 1);
  });

  test('a queue may be closed twice, ends its consumers, and then refuses', async () => {
    const consumer = open().process(async () => undefined, { concurrency: 1 });
    await queue.add(batchOf(['{}']));
    await queue.close();
    await queue.close();
    await consumer.stop();
    await assert.rejects(queue.add(batchOf(['{}'])), (error) => error instanceof PipelineError);
    await assert.rejects(queue.states(['x']), { code: 'canceled' });
    await assert.rejects(queue.failed(EVERY), { code: 'canceled' });
  });
}

describe('the queue in memory', () => contract(memory()));
describe('the queue on Redis', () => contract(redis()));
describe('the queue on Postgres', () => contract(postgres()));
