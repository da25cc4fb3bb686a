import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Receipt } from '../../src/batch.js';
import { PipelineError } from '../../src/errors.js';
import type { EntryResult, QueueClient } from '../../src/source/queue-client.js';
import type { SourceEvent } from '../../src/source/source-events.js';
import { createSource } from '../../src/source/sqs-source.js';
import { FakeSqs } from '../simulation/fake-sqs.js';
import { VirtualClock } from '../simulation/virtual-clock.js';
import { AS_IT_IS } from '../support/opening.js';

const HOUR_MS = 3_600_000;
const never = new AbortController().signal;
const away = (): PipelineError => new PipelineError('sqs_unavailable', 'away');

/** A source that has received `count` messages and holds them. */
async function holding(count: number, wrap: (sqs: FakeSqs) => QueueClient = (sqs) => sqs) {
  const clock = new VirtualClock();
  const sqs = new FakeSqs({ clock });
  const events: SourceEvent[] = [];
  const source = createSource({
    client: wrap(sqs),
    clock,
    opening: AS_IT_IS,
    receivers: 4,
    waitTimeS: 1,
    visibilityTimeoutS: 300,
    inFlight: 10_000,
    inFlightBytes: 1_000_000,
    onEvent: (event) => events.push(event),
  });
  sqs.send(...Array.from({ length: count }, () => ({ body: 'x' })));
  const receipts: Receipt[] = [];
  await clock.finish(
    (async () => {
      for await (const received of source.receive('until_empty', never)) {
        receipts.push(...received.map((delivery) => delivery.receipt));
      }
    })(),
  );
  assert.equal(receipts.length, count);
  return { clock, sqs, source, events, receipts };
}

const sum = (events: readonly SourceEvent[], kind: SourceEvent['kind']): number =>
  events.reduce(
    (total, event) => total + (event.kind === kind && 'messages' in event ? event.messages : 0),
    0,
  );

test('entries that fail are deleted again, they alone, and are held meanwhile', async () => {
  const { clock, sqs, source, events, receipts } = await holding(30);
  const tries = new Map<string, number>();
  const unlucky = new Set(receipts.filter((_, index) => index % 7 === 0).map((receipt) => receipt.handle));
  sqs.faults.entry = (call, handle): EntryResult | null => {
    if (call !== 'delete') return null;
    tries.set(handle, (tries.get(handle) ?? 0) + 1);
    return unlucky.has(handle) && (tries.get(handle) ?? 0) < 4 ? 'failed' : null;
  };
  const acked = source.ack(receipts);
  await clock.settle();
  assert.equal(source.holding.messages, unlucky.size);
  await clock.finish(acked);
  assert.deepEqual(sqs.left, []);
  for (const { handle } of receipts) assert.equal(tries.get(handle), unlucky.has(handle) ? 4 : 1);
  assert.equal(source.holding.messages, 0);
  assert.equal(sum(events, 'deleted'), 30);
  await clock.finish(source.stop());
});

test('a delete whose answer was lost is repeated', async () => {
  const { clock, sqs, source, receipts } = await holding(10);
  let answers = 0;
  sqs.faults.after = (call) => (call === 'delete' && (answers += 1) <= 2 ? away() : null);
  await clock.finish(source.ack(receipts));
  assert.equal(sqs.calls.delete, 3);
  assert.deepEqual(sqs.left, []);
  assert.equal(source.holding.messages, 0);
  await clock.finish(source.stop());
});

test('an outage of ten minutes is outlasted by few calls, and nothing becomes visible in it', async () => {
  const { clock, sqs, source, receipts } = await holding(10);
  sqs.faults.before = (call) => (call === 'delete' ? away() : null);
  const acked = source.ack(receipts);
  await clock.advance(600_000);
  assert.ok(sqs.calls.delete <= 50, `${sqs.calls.delete} calls`);
  assert.deepEqual(sqs.visible, []);
  delete sqs.faults.before;
  await clock.finish(acked);
  assert.deepEqual(sqs.left, []);
  await clock.finish(source.stop());
});

test('an outage that outlives the receipts ends the ack, and says how many messages come again', async () => {
  const { clock, sqs, source, events, receipts } = await holding(10);
  sqs.faults.before = (call) => (call === 'delete' ? away() : null);
  const from = clock.now();
  await clock.finish(source.ack(receipts));
  assert.ok(clock.now() - from > 10.9 * HOUR_MS && clock.now() - from < 11.1 * HOUR_MS);
  assert.equal(sum(events, 'ack_abandoned'), 10);
  assert.equal(source.holding.messages, 0);
  await clock.finish(source.stop());
});

test('entries that SQS goes on refusing are given up after a bounded number of tries', async () => {
  const { clock, sqs, source, events, receipts } = await holding(10);
  sqs.faults.entry = (call) => (call === 'delete' ? 'failed' : null);
  await clock.finish(source.ack(receipts));
  assert.equal(sqs.calls.delete, 8);
  assert.equal(sum(events, 'ack_abandoned'), 10);
  assert.equal(source.holding.messages, 0);
  await clock.finish(source.stop());
});

test('an entry whose receipt is gone is not tried again', async () => {
  const { clock, sqs, source, events, receipts } = await holding(10);
  sqs.faults.entry = (call) => (call === 'delete' ? 'gone' : null);
  await clock.finish(source.ack(receipts));
  assert.equal(sqs.calls.delete, 1);
  assert.equal(source.holding.messages, 0);
  assert.equal(sum(events, 'deleted'), 0);
  await clock.finish(source.stop());
});

test('a release that fails is tried once more, then left to run out', async () => {
  const { clock, sqs, source, events, receipts } = await holding(20);
  let calls = 0;
  sqs.faults.before = (call) => (call === 'change' && (calls += 1) <= 3 ? away() : null);
  await clock.finish(source.release(receipts, () => 0));
  assert.equal(sqs.calls.change, 4);
  assert.equal(sqs.visible.length, 10);
  assert.equal(sum(events, 'released'), 10);
  assert.equal(sum(events, 'release_failed'), 10);
  assert.equal(source.holding.messages, 0);
  await clock.advance(301_000);
  assert.equal(sqs.visible.length, 20);
  await clock.finish(source.stop());
});

test('a release is rounded up to seconds, and never asks for more than SQS allows', async () => {
  const { clock, sqs, source, receipts } = await holding(3);
  await clock.advance(HOUR_MS);
  const delays = [1, 30_000, 24 * HOUR_MS];
  const from = clock.now();
  await clock.finish(source.release(receipts, (receipt) => delays[receipts.indexOf(receipt)] ?? 0));
  const visibleAt = async (): Promise<readonly number[]> => {
    const seen: number[] = [];
    while (seen.length < 3) {
      await clock.advance(1_000);
      while (seen.length < sqs.visible.length) seen.push(clock.now() - from);
    }
    return seen;
  };
  const [first, second, third] = await visibleAt();
  assert.deepEqual([first, second], [1_000, 30_000]);
  assert.ok(third !== undefined && third > 10.99 * HOUR_MS && third <= 11 * HOUR_MS, `${third}`);
  await clock.finish(source.stop());
});

test('no more than sixteen calls are under way at once, ten messages each', async () => {
  let underWay = 0;
  let most = 0;
  const sizes = new Set<number>();
  const { clock, sqs, source, receipts } = await holding(1_000, (fake) => {
    const deleteBatch = async (handles: readonly string[]): Promise<readonly EntryResult[]> => {
      underWay += 1;
      most = Math.max(most, underWay);
      sizes.add(handles.length);
      await Promise.resolve();
      const results = await fake.deleteBatch(handles);
      underWay -= 1;
      return results;
    };
    return Object.assign(Object.create(fake) as QueueClient, {
      deleteBatch,
      receive: fake.receive.bind(fake),
      changeVisibilityBatch: fake.changeVisibilityBatch.bind(fake),
      attributes: fake.attributes.bind(fake),
    });
  });
  await clock.finish(Promise.all([source.ack(receipts.slice(0, 500)), source.ack(receipts.slice(500))]));
  assert.deepEqual(sqs.left, []);
  assert.equal(most, 16);
  assert.deepEqual([...sizes], [10]);
  await clock.finish(source.stop());
});

test('a soft stop waits for acks; a hard one leaves them to redelivery', async () => {
  for (const mode of ['soft', 'hard'] as const) {
    const { clock, sqs, source, events, receipts } = await holding(10);
    sqs.faults.before = (call) => (call === 'delete' ? away() : null);
    const acked = source.ack(receipts);
    await clock.advance(5_000);
    const stopped = source.stop(mode);
    await clock.settle();
    if (mode === 'soft') delete sqs.faults.before;
    const from = clock.now();
    await clock.finish(stopped);
    await acked;
    assert.equal(sqs.left.length, mode === 'soft' ? 0 : 10);
    assert.equal(sum(events, 'ack_abandoned'), mode === 'soft' ? 0 : 10);
    if (mode === 'hard') assert.equal(clock.now(), from);
  }
});

test('nothing to settle makes no call', async () => {
  const { clock, sqs, source } = await holding(0);
  await clock.finish(Promise.all([source.ack([]), source.release([], () => 0)]));
  assert.deepEqual([sqs.calls.delete, sqs.calls.change], [0, 0]);
  await clock.finish(source.stop());
});

test('what was received of a FIFO group is released at one moment and in one call', async () => {
  const clock = new VirtualClock();
  const sqs = new FakeSqs({ clock, fifo: true });
  const source = createSource({
    client: sqs,
    clock,
    opening: AS_IT_IS,
    receivers: 1,
    waitTimeS: 1,
    visibilityTimeoutS: 300,
    inFlight: 10_000,
    inFlightBytes: 1_000_000,
  });
  const groupOf = new Map<string, string>();
  for (const groupId of ['a', 'b', 'c', 'd']) {
    for (const id of sqs.send(...Array.from({ length: 6 }, () => ({ body: 'x', groupId }))))
      groupOf.set(id, groupId);
  }
  const receipts: Receipt[] = [];
  const stop = new AbortController();
  await clock.finish(
    (async () => {
      for await (const received of source.receive('continuous', stop.signal)) {
        receipts.push(...received.map((delivery) => delivery.receipt));
        if (receipts.length === 20) stop.abort();
      }
    })(),
  );
  const calls: string[][] = [];
  const idOf = new Map(receipts.map(({ handle, messageId }) => [handle, messageId]));
  const change = sqs.changeVisibilityBatch.bind(sqs);
  sqs.changeVisibilityBatch = (changes) => {
    calls.push(changes.map(({ handle }) => groupOf.get(idOf.get(handle) ?? '') ?? ''));
    return change(changes);
  };
  // Interleaved, so that ten at a time would cut through the groups; each message has a delay of its own.
  const place = ({ messageId }: Receipt): number => Number(messageId.replace('message-', '')) % 6;
  const mixed = receipts.toSorted((a, b) => place(a) - place(b));
  await clock.finish(source.release(mixed, (receipt) => (mixed.indexOf(receipt) + 1) * 1_000));
  const callsOf = (group: string): number => calls.filter((groups) => groups.includes(group)).length;
  assert.deepEqual(['a', 'b', 'c', 'd'].map(callsOf), [1, 1, 1, 1]);
  const received = (group: string): number =>
    receipts.filter(({ messageId }) => groupOf.get(messageId) === group).length;
  for (let second = 0; second <= 21; second += 1) {
    const handed = new Set(receipts.map(({ messageId }) => messageId));
    const visible = sqs.visible.filter((id) => handed.has(id)).map((id) => groupOf.get(id) ?? '');
    for (const group of new Set(visible))
      assert.equal(visible.filter((one) => one === group).length, received(group));
    if (second === 21) assert.equal(visible.length, receipts.length);
    await clock.advance(1_000);
  }
  await clock.finish(source.stop());
});
