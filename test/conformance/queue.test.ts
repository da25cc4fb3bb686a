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
import { createBullQueue, migrateQueue } from '../../src/queue/bullmq.js';
import { MemoryQueue } from '../../src/queue/memory.js';
import { batchCodec } from '../../src/queue/payload.js';
import type { BatchQueue } from '../../src/queue/queue.js';
import { Seen, batchOf, eventually, gate, hasSettled, testSealer } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';

const attempts = { attempts: 3, baseMs: 10, maxMs: 40, newerMs: 20 };
const keepFailed = { count: 3, ageS: 3_600 };

type OnEvent = (event: QueueEvent) => void;

interface Subject {
  start(): Promise<void>;
  stop(): Promise<void>;
  create(name: string, onEvent: OnEvent): BatchQueue<Batch>;
}

function onServer(backend: 'redis' | 'postgres', server: () => { readonly url: string }): Subject['create'] {
  return (name, onEvent) =>
    createBullQueue({
      url: server().url,
      backend,
      prefix: 'conformance',
      name,
      codec: batchCodec,
      sealer: testSealer(),
      clock: systemClock,
      keepFailed,
      attempts,
      // Short, so that what a hard stop leaves behind is taken over within the test.
      locks: { lockMs: 600, stalledMs: 200 },
      onEvent,
    });
}

function memory(): Subject {
  return {
    start: async () => undefined,
    stop: async () => undefined,
    create: (_, onEvent) => new MemoryQueue({ clock: systemClock, attempts, keepFailed, onEvent }),
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
  let queue: BatchQueue<Batch>;

  const open = (): BatchQueue<Batch> => {
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
  });
}

describe('the queue in memory', () => contract(memory()));
describe('the queue on Redis', () => contract(redis()));
describe('the queue on Postgres', () => contract(postgres()));
