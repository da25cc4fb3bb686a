import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Delivery } from '../../src/batch.js';
import { type FormedBatch, formBatches } from '../../src/source/batching.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

/** Deliveries that a test hands in one receive at a time. It fails when two are asked for at once. */
class Feed implements AsyncIterable<readonly Delivery[]> {
  readonly #queue: (readonly Delivery[])[] = [];
  #ended: { readonly error?: Error } | null = null;
  #waiting: (() => void) | null = null;
  asked = 0;
  closed = false;

  push(...deliveries: readonly Delivery[]): void {
    this.#queue.push(deliveries);
    this.#waiting?.();
  }

  end(error?: Error): void {
    this.#ended = error === undefined ? {} : { error };
    this.#waiting?.();
  }

  [Symbol.asyncIterator](): AsyncIterator<readonly Delivery[]> {
    return {
      next: async () => {
        this.asked += 1;
        assert.equal(this.#waiting, null, 'two next() pending');
        while (this.#queue.length === 0 && this.#ended === null) {
          await new Promise<void>((resolve) => {
            this.#waiting = resolve;
          });
          this.#waiting = null;
        }
        const value = this.#queue.shift();
        if (value !== undefined) return { done: false, value };
        if (this.#ended?.error !== undefined) throw this.#ended.error;
        return { done: true, value: undefined };
      },
      return: async () => {
        this.closed = true;
        return { done: true, value: undefined };
      },
    };
  }
}

let serial = 0;

function delivery(
  options: { bytes?: number; groupId?: string; fifo?: boolean; records?: number } = {},
): Delivery {
  const { bytes = 10, groupId, fifo = groupId !== undefined, records = 1 } = options;
  serial += 1;
  const messageId = `m${serial}`;
  const body = 'x'.repeat(bytes);
  return {
    envelope: {
      messageId,
      body,
      sentAt: 1,
      receivedAt: 2,
      attributes: {},
      ...(groupId === undefined ? {} : { groupId }),
      ...(fifo ? { sequenceNumber: String(serial).padStart(20, '0') } : {}),
    },
    records: Array.from({ length: records }, (_, index) => ({
      id: records === 1 ? messageId : `${messageId}#${index}`,
      body,
    })),
    receipt: { messageId, handle: `h${serial}`, receiveCount: 1, receivedAt: 2, bytes },
  };
}

const ids = (batch: FormedBatch): readonly string[] =>
  batch.batch.messages.map((message) => message.messageId);
const sent = (deliveries: readonly Delivery[]): readonly string[] =>
  deliveries.map((one) => one.envelope.messageId);

interface Limits {
  readonly maxMessages?: number;
  readonly maxBytes?: number;
  readonly lingerMs?: number;
  readonly prompt?: boolean;
  readonly signal?: AbortSignal;
}

function forming(limits: Limits = {}) {
  const clock = new VirtualClock();
  const feed = new Feed();
  const batches = formBatches(feed, {
    maxMessages: 1_000,
    maxBytes: 1_000_000,
    lingerMs: 1_000,
    runId: 'run',
    pipeline: 'logins',
    clock,
    ...limits,
  });
  return { clock, feed, batches };
}

async function all(feed: Feed, batches: AsyncIterable<FormedBatch>): Promise<readonly FormedBatch[]> {
  feed.end();
  const formed: FormedBatch[] = [];
  for await (const batch of batches) formed.push(batch);
  return formed;
}

test('a batch is full at its number of messages, and the last one is flushed when the input ends', async () => {
  const { feed, batches } = forming({ maxMessages: 4 });
  const deliveries = Array.from({ length: 10 }, () => delivery());
  feed.push(...deliveries.slice(0, 7));
  feed.push(...deliveries.slice(7));
  const formed = await all(feed, batches);
  assert.deepEqual(
    formed.map((batch) => ids(batch).length),
    [4, 4, 2],
  );
  assert.deepEqual(formed.flatMap(ids), sent(deliveries));
});

test('a batch never exceeds its bytes, but for a single message that does so alone', async () => {
  const { feed, batches } = forming({ maxBytes: 100 });
  const sizes = [60, 50, 40, 10, 200, 1, 99, 1];
  feed.push(...sizes.map((bytes) => delivery({ bytes })));
  const formed = await all(feed, batches);
  assert.deepEqual(
    formed.map((batch) => batch.receipts.map((receipt) => receipt.bytes)),
    [[60], [50, 40, 10], [200], [1, 99], [1]],
  );
});

test('a message of several records counts as so many, is never divided, and may exceed a batch alone', async () => {
  const { feed, batches } = forming({ maxMessages: 10 });
  const held = [3, 6, 4, 25, 1, 0, 0, 8, 1];
  feed.push(...held.map((records) => delivery({ records })));
  const formed = await all(feed, batches);
  assert.deepEqual(
    formed.map(({ batch }) =>
      batch.messages.map((_, m) => batch.records.filter(({ message }) => message === m).length),
    ),
    [[3, 6], [4], [25], [1, 0, 0], [8, 1]],
  );
});

test('a batch waits no longer than its linger after its first message, though nothing more comes', async () => {
  const { clock, feed, batches } = forming({ lingerMs: 1_000 });
  const start = clock.now();
  const next = batches.next();
  await clock.advance(5_000);
  feed.push(delivery());
  await clock.advance(600);
  feed.push(delivery());
  await clock.advance(399);
  let formed: FormedBatch | null = null;
  void next.then((result) => {
    formed = result.done ? null : result.value;
  });
  await clock.settle();
  assert.equal(formed, null);
  const result = await clock.finish(next);
  assert.ok(!result.done);
  assert.equal(ids(result.value).length, 2);
  assert.equal(clock.now() - start, 6_000);
  assert.equal(clock.timers, 0);
  // The linger of the next batch begins with its own first message; the input was not asked twice meanwhile.
  const second = batches.next();
  await clock.advance(9_000);
  feed.push(delivery());
  await clock.settle();
  const at = clock.now();
  assert.equal(ids((await clock.finish(second)).value as FormedBatch).length, 1);
  assert.equal(clock.now() - at, 1_000);
  feed.end();
  assert.equal((await batches.next()).done, true);
});

test('nothing lingers once the signal has aborted', async () => {
  const stop = new AbortController();
  const { clock, feed, batches } = forming({ lingerMs: 60_000, signal: stop.signal });
  const start = clock.now();
  const next = batches.next();
  feed.push(delivery());
  await clock.settle();
  stop.abort();
  assert.equal(ids((await clock.finish(next)).value as FormedBatch).length, 1);
  const second = batches.next();
  feed.push(delivery());
  assert.equal(ids((await clock.finish(second)).value as FormedBatch).length, 1);
  assert.equal(clock.now(), start);
  assert.equal((await all(feed, batches)).length, 0);
});

test('what one receive returned of a FIFO group stays in one batch, in order, even beyond its limit', async () => {
  const { feed, batches } = forming({ maxMessages: 5 });
  const mixed = [...'abababa'].map((groupId) => delivery({ groupId }));
  const a = mixed.filter((one) => one.envelope.groupId === 'a');
  const b = mixed.filter((one) => one.envelope.groupId === 'b');
  feed.push(...mixed);
  const c = Array.from({ length: 7 }, () => delivery({ groupId: 'c' }));
  feed.push(...c);
  const formed = await all(feed, batches);
  assert.deepEqual(formed.map(ids), [sent(a), sent(b), sent(c)]);
});

test('a group id on a standard queue is no order: such messages may be split', async () => {
  const { feed, batches } = forming({ maxMessages: 2 });
  feed.push(...Array.from({ length: 4 }, () => delivery({ groupId: 'tenant', fifo: false })));
  assert.deepEqual(
    (await all(feed, batches)).map((batch) => ids(batch).length),
    [2, 2],
  );
});

test('receipts stand beside their messages, records point at them, and no body is in a message head', async () => {
  const { feed, batches, clock } = forming();
  const deliveries = [delivery(), delivery({ records: 3 }), delivery()];
  feed.push(...deliveries);
  const [formed] = await all(feed, batches);
  assert.ok(formed);
  const { batch, receipts } = formed;
  assert.deepEqual(
    receipts,
    deliveries.map((one) => one.receipt),
  );
  assert.deepEqual(
    batch.records.map((record) => [record.id, record.message]),
    deliveries.flatMap((one, index) => one.records.map((record) => [record.id, index])),
  );
  for (const [index, message] of batch.messages.entries()) {
    assert.equal(message.messageId, receipts[index]?.messageId);
    assert.equal('body' in message, false);
  }
  assert.deepEqual([batch.runId, batch.pipeline], ['run', 'logins']);
  assert.notEqual(batch.batchId, clock.id());
});

test('an input that fails still gives up what it had delivered, then its error', async () => {
  const { feed, batches } = forming();
  feed.push(delivery(), delivery());
  feed.end(new Error('broken'));
  assert.equal(ids((await batches.next()).value as FormedBatch).length, 2);
  await assert.rejects(batches.next(), /broken/);
  assert.equal((await batches.next()).done, true);
});

test('a consumer that breaks off closes the input, without waiting for a message, and leaves no timer', async () => {
  const { clock, feed, batches } = forming({ maxMessages: 2, lingerMs: 1_000 });
  feed.push(delivery());
  const next = batches.next();
  await clock.finish(next);
  // A next() of the input is pending here.
  await clock.finish(batches.return());
  assert.equal(feed.closed, true);
  assert.equal(clock.timers, 0);
});

test('a prompt batch after a quiet time goes at once; those that follow upon it linger', async () => {
  const { clock, feed, batches } = forming({ lingerMs: 1_000, prompt: true });
  const formedAt: number[] = [];
  const start = clock.elapsed();
  const work = (async () => {
    for await (const batch of batches) {
      assert.ok(ids(batch).length > 0);
      formedAt.push(clock.elapsed() - start);
    }
  })();
  feed.push(delivery());
  await clock.advance(100);
  feed.push(delivery());
  await clock.advance(300);
  feed.push(delivery());
  await clock.advance(5_000);
  feed.push(delivery());
  await clock.advance(100);
  feed.end();
  await clock.finish(work);
  assert.deepEqual(formedAt, [20, 1_100, 5_420]);
});

test('groups of one name of two queues are never in one batch, where one would hold the other', async () => {
  const { feed, batches } = forming();
  const of = (queue: number, groupId: string): Delivery => {
    const one = delivery({ groupId });
    return { ...one, receipt: { ...one.receipt, groupId, queue } };
  };
  const deliveries = [of(0, 'a'), of(0, 'b'), of(1, 'c'), of(1, 'a'), of(0, 'c'), of(1, 'b')];
  // Each is what one receive returned.
  for (const one of deliveries) feed.push(one);
  const formed = await all(feed, batches);
  for (const { batch, receipts } of formed) {
    const queues = new Map<string | undefined, Set<number | undefined>>();
    for (const [index, { groupId }] of batch.messages.entries())
      queues.set(groupId, (queues.get(groupId) ?? new Set()).add(receipts[index]?.queue));
    for (const of of queues.values()) assert.equal(of.size, 1);
  }
  assert.deepEqual(formed.flatMap(ids).toSorted(), sent(deliveries).toSorted());
});
