import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Batch } from '../../src/batch.js';
import type { Clock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { MemoryQueue } from '../../src/queue/memory.js';
import { batchOf } from '../support/queue.js';

/** A clock that stands still until it is told to go on. */
class ManualClock implements Clock {
  #now = 1_000_000;
  #sleeping: { readonly at: number; readonly wake: () => void }[] = [];
  /** In the order in which they were asked for. */
  readonly slept: number[] = [];

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.slept.push(ms);
    return new Promise((wake) => {
      this.#sleeping.push({ at: this.#now + ms, wake });
      signal?.addEventListener('abort', () => wake());
    });
  }

  elapsed(): number {
    return this.#now;
  }

  random(): number {
    return 1;
  }

  id(): string {
    return 'id';
  }

  async advance(ms: number): Promise<void> {
    this.#now += ms;
    const due = this.#sleeping.filter((sleeper) => sleeper.at <= this.#now);
    this.#sleeping = this.#sleeping.filter((sleeper) => sleeper.at > this.#now);
    for (const sleeper of due) sleeper.wake();
    await turns();
  }
}

/** Lets everything run that waits for nothing but its turn. */
async function turns(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

function failing(code: 'contention' | 'payload_corrupt' | 'payload_newer'): () => Promise<void> {
  return () => Promise.reject(new PipelineError(code, 'told to fail'));
}

describe('the queue in memory, by the clock alone', () => {
  test('waits double up to their limit, and the last attempt fails for good', async () => {
    const clock = new ManualClock();
    const attempts = { attempts: 6, baseMs: 1_000, maxMs: 5_000, newerMs: 50 };
    const queue = new MemoryQueue<Batch>({ clock, attempts });
    const batch = batchOf(['{}']);
    queue.process(failing('contention'), { concurrency: 1 });
    await queue.add(batch);
    await turns();
    for (let step = 0; step < 20; step += 1) await clock.advance(5_000);
    assert.deepEqual(clock.slept, [1_000, 2_000, 4_000, 5_000, 5_000]);
    assert.deepEqual(await queue.states([batch.batchId]), ['failed']);
    await queue.close();
  });

  test('a batch is tried again when its wait is over, not before', async () => {
    const clock = new ManualClock();
    const queue = new MemoryQueue<Batch>({ clock });
    let calls = 0;
    queue.process(
      async () => {
        calls += 1;
        if (calls === 1) throw new PipelineError('contention', 'told to fail');
      },
      { concurrency: 1 },
    );
    await queue.add(batchOf(['{}']));
    await turns();
    assert.deepEqual(await queue.backlog(), { waiting: 1, active: 0, failed: 0 });
    await clock.advance(999);
    assert.equal(calls, 1);
    await clock.advance(1);
    assert.equal(calls, 2);
    assert.deepEqual(await queue.backlog(), { waiting: 0, active: 0, failed: 0 });
    await queue.close();
  });

  test('a failed batch is forgotten after its time', async () => {
    const clock = new ManualClock();
    const queue = new MemoryQueue<Batch>({ clock, keepFailed: { count: 10, ageS: 60 } });
    const batch = batchOf(['{}']);
    queue.process(failing('payload_corrupt'), { concurrency: 1 });
    await queue.add(batch);
    await turns();
    await clock.advance(60_000);
    assert.deepEqual(await queue.states([batch.batchId]), ['failed']);
    await clock.advance(1);
    assert.deepEqual(await queue.states([batch.batchId]), ['absent']);
    await queue.close();
  });

  test('batches are handed out in the order in which they came', async () => {
    const queue = new MemoryQueue<Batch>({ clock: new ManualClock() });
    const batches = Array.from({ length: 5 }, () => batchOf(['{}']));
    for (const batch of batches) await queue.add(batch);
    const seen: string[] = [];
    queue.process(async ({ batchId }) => void seen.push(batchId), { concurrency: 1 });
    await turns();
    assert.deepEqual(
      seen,
      batches.map((batch) => batch.batchId),
    );
    await queue.close();
  });

  test('adding does not run the handler: the adder goes on first', async () => {
    const queue = new MemoryQueue<Batch>({ clock: new ManualClock() });
    const order: string[] = [];
    queue.process(async () => void order.push('handled'), { concurrency: 1 });
    const added = queue.add(batchOf(['{}']));
    order.push('added');
    await added;
    await turns();
    assert.deepEqual(order, ['added', 'handled']);
    await queue.close();
  });

  test('closing wakes what waits, and nothing is handed out any more', async () => {
    const clock = new ManualClock();
    const queue = new MemoryQueue<Batch>({ clock });
    let calls = 0;
    queue.process(
      async () => {
        calls += 1;
        throw new PipelineError('payload_newer', 'told to fail');
      },
      { concurrency: 1 },
    );
    await queue.add(batchOf(['{}']));
    await turns();
    await queue.close();
    await clock.advance(60_000);
    assert.equal(calls, 1);
  });
});
