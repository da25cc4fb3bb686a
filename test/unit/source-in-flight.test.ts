import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { PipelineError } from '../../src/errors.js';
import { InFlight } from '../../src/source/in-flight.js';
import type { EntryResult, VisibilityChange } from '../../src/source/queue-client.js';
import type { SourceEvent } from '../../src/source/source-events.js';
import { createSource } from '../../src/source/sqs-source.js';
import { prepareOpening } from '../../src/source/unwrap.js';
import { FakeSqs } from '../simulation/fake-sqs.js';
import { VirtualClock } from '../simulation/virtual-clock.js';
import { AS_IT_IS, AUTO } from '../support/opening.js';

// Loading is no matter of the virtual clock.
await prepareOpening();

const HOUR_MS = 3_600_000;
const never = new AbortController().signal;

/** A source that has received `count` messages and holds them. */
async function holding(count: number, visibilityTimeoutS: number) {
  const clock = new VirtualClock();
  const wall = { setBackMs: 0 };
  const sqs = new FakeSqs({ clock });
  const events: SourceEvent[] = [];
  const source = createSource({
    client: sqs,
    clock: {
      now: () => clock.now() - wall.setBackMs,
      elapsed: () => clock.elapsed(),
      sleep: (ms, signal) => clock.sleep(ms, signal),
      random: () => clock.random(),
      id: () => clock.id(),
    },
    opening: AS_IT_IS,
    receivers: 1,
    waitTimeS: 1,
    visibilityTimeoutS,
    inFlight: 1_000,
    inFlightBytes: 1_000_000,
    onEvent: (event) => events.push(event),
  });
  const ids = sqs.send(...Array.from({ length: count }, () => ({ body: 'x'.repeat(100) })));
  const start = clock.now();
  const receipts = await clock.finish(
    (async () => {
      const all = [];
      for await (const received of source.receive('until_empty', never)) all.push(...received);
      return all.map((delivery) => delivery.receipt);
    })(),
  );
  assert.equal(receipts.length, count);
  return { clock, wall, sqs, source, events, ids, receipts, start };
}

const lost = (events: readonly SourceEvent[]): number =>
  events.reduce((sum, event) => sum + (event.kind === 'receipts_lost' ? event.receipts : 0), 0);

test('visibility is extended at two fifths of its time, ten messages a call, for as long as they are held', async () => {
  const { clock, sqs, source, start, receipts } = await holding(25, 300);
  await clock.advance(start + 119_000 - clock.now());
  assert.equal(sqs.calls.change, 0);
  await clock.advance(31_000);
  assert.equal(sqs.calls.change, 3);
  await clock.advance(3 * HOUR_MS);
  assert.deepEqual(sqs.visible, []);
  const calls: number = sqs.calls.change;
  assert.ok(calls < (3 * 3 * HOUR_MS) / 110_000, `${calls} calls`);
  await clock.finish(source.ack(receipts));
  await clock.advance(HOUR_MS);
  assert.equal(sqs.calls.change, calls);
  assert.equal(clock.timers, 0);
  assert.deepEqual(sqs.left, []);
});

test('a wall clock that is set back by an hour, or forward, does not keep the heartbeat from beating', async () => {
  for (const setBackMs of [HOUR_MS, -HOUR_MS]) {
    const { clock, wall, sqs, source } = await holding(3, 300);
    wall.setBackMs = setBackMs;
    await clock.advance(2 * HOUR_MS);
    assert.deepEqual(sqs.visible, []);
    assert.ok(sqs.calls.change < (2 * HOUR_MS) / 110_000, `${sqs.calls.change} calls`);
    await clock.finish(source.stop());
  }
});

test('no message is kept for longer than eleven hours, and one that is lost so is counted', async () => {
  const { clock, sqs, source, events, ids, start } = await holding(3, 300);
  await clock.advance(start + 10.9 * HOUR_MS - clock.now());
  assert.deepEqual(sqs.visible, []);
  await clock.advance(0.2 * HOUR_MS + 300_000);
  assert.deepEqual(sqs.visible, ids);
  assert.equal(lost(events), 3);
  await clock.finish(source.stop());
});

test('an extension that failed for some is tried again for these before their visibility runs out', async () => {
  const { clock, sqs, source, events, receipts } = await holding(10, 300);
  const unlucky = new Set(receipts.slice(0, 4).map((receipt) => receipt.handle));
  const tried = new Map<string, number>();
  sqs.faults.entry = (call, handle): EntryResult | null => {
    if (call !== 'change') return null;
    const tries = (tried.get(handle) ?? 0) + 1;
    tried.set(handle, tries);
    return unlucky.has(handle) && tries <= 3 ? 'failed' : null;
  };
  await clock.advance(290_000);
  assert.deepEqual(sqs.visible, []);
  for (const { handle } of receipts) assert.equal(tried.get(handle), unlucky.has(handle) ? 4 : 2);
  assert.equal(lost(events), 0);
  await clock.finish(source.stop());
});

test('an outage shorter than the rest of the visibility costs nothing, and is told', async () => {
  const { clock, sqs, source, events } = await holding(12, 300);
  sqs.faults.before = (call) => (call === 'change' ? new PipelineError('sqs_unavailable', 'away') : null);
  await clock.advance(210_000);
  delete sqs.faults.before;
  await clock.advance(HOUR_MS);
  assert.deepEqual(sqs.visible, []);
  const failures = events.filter((event) => event.kind === 'heartbeat_failed');
  assert.equal(failures[0]?.error.code, 'sqs_unavailable');
  assert.ok(failures.length >= 2 && failures.length <= 5);
  await clock.finish(source.stop());
});

test('a receipt that SQS no longer knows is dropped from the heartbeat, counted once, and held until settled', async () => {
  const { clock, sqs, source, events, receipts } = await holding(10, 300);
  await sqs.changeVisibilityBatch([{ handle: receipts[3]?.handle ?? '', seconds: 0 }]);
  const before = sqs.calls.change;
  await clock.advance(200_000);
  assert.equal(lost(events), 1);
  assert.equal(source.holding.messages, 10);
  assert.equal(sqs.calls.change - before, 1);
  await clock.advance(HOUR_MS);
  assert.equal(lost(events), 1);
  assert.equal(sqs.visible.length, 1);
  await clock.finish(source.stop());
});

test('a message is held whole: by all its records, what it unpacks to, and attributes of SNS below its own', async () => {
  // A virtual clock does not wait for what takes real time.
  await prepareOpening();
  const clock = new VirtualClock();
  const sqs = new FakeSqs({ clock });
  const limits = {
    receivers: 1,
    waitTimeS: 1,
    visibilityTimeoutS: 300,
    inFlight: 1_000,
    inFlightBytes: 1_000_000,
  };
  const source = createSource({ client: sqs, clock, opening: AUTO, ...limits });
  const lines = ['{"a":1}', `{"b":"${'x'.repeat(5_000)}"}`].join('\n');
  const attributes = { a: { Type: 'String', Value: 'of SNS' }, b: { Type: 'String', Value: 'of SNS' } };
  const notification = { Type: 'Notification', TopicArn: 'arn:aws:sns:x', MessageAttributes: attributes };
  const Message = gzipSync(lines).toString('base64');
  const [id = ''] = sqs.send({
    body: JSON.stringify({ ...notification, Message }),
    attributes: { b: 'of SQS', c: 'of SQS' },
  });
  const [delivery] = await clock.finish(
    (async () => {
      const all = [];
      for await (const received of source.receive('until_empty', never)) all.push(...received);
      return all;
    })(),
  );
  assert.deepEqual(
    delivery?.records,
    lines.split('\n').map((body, index) => ({ id: `${id}#${index}`, body })),
  );
  assert.deepEqual(delivery?.envelope.attributes, { a: 'of SNS', b: 'of SQS', c: 'of SQS' });
  assert.deepEqual(source.holding, { messages: 1, bytes: lines.length });
  await clock.finish(source.stop());
});

test('room is given up to the limit in bytes, and again when something is settled', async () => {
  const clock = new VirtualClock();
  const client = {
    changeVisibilityBatch: async (changes: readonly VisibilityChange[]) => changes.map(() => 'done' as const),
  };
  const inFlight = new InFlight({
    client,
    clock,
    visibilityTimeoutS: 300,
    maxMessages: 1_000,
    maxBytes: 3_500,
    onEvent: () => undefined,
  });
  const receipts = Array.from({ length: 20 }, (_, index) => ({
    messageId: `m${index}`,
    handle: `h${index}`,
    receiveCount: 1,
    receivedAt: clock.now(),
    bytes: 100,
  }));
  inFlight.admit(await inFlight.reserve(never), receipts.slice(0, 10));
  inFlight.admit(await inFlight.reserve(never), receipts.slice(10));
  assert.deepEqual([inFlight.messages, inFlight.bytes], [20, 2_000]);
  assert.equal(await inFlight.reserve(never), 10);
  // 2,000 bytes are held and 1,000 expected: another ten would be 4,000.
  let granted = 0;
  const waiting = inFlight.reserve(never).then((messages) => (granted = messages));
  await clock.settle();
  assert.equal(granted, 0);
  await inFlight.spend(receipts.slice(0, 4));
  await clock.settle();
  assert.equal(granted, 0);
  await inFlight.spend(receipts.slice(4, 5));
  assert.equal(await waiting, 10);
  await clock.finish(inFlight.stop());
});

test('waiting for room ends when the signal aborts, and what is set aside comes back', async () => {
  const clock = new VirtualClock();
  const inFlight = new InFlight({
    client: { changeVisibilityBatch: async () => [] },
    clock,
    visibilityTimeoutS: 300,
    maxMessages: 12,
    maxBytes: 1_000,
    onEvent: () => undefined,
  });
  const stop = new AbortController();
  const reserved = await inFlight.reserve(stop.signal);
  const waiting = inFlight.reserve(stop.signal);
  stop.abort();
  assert.deepEqual([reserved, await waiting], [10, 0]);
  inFlight.admit(reserved, []);
  assert.equal(await inFlight.reserve(never), 10);
  assert.equal(clock.timers, 0);
});

test('an extension under way can not undo a release', async () => {
  const clock = new VirtualClock();
  const sqs = new FakeSqs({ clock });
  const [id] = sqs.send({ body: 'a' });
  let delayMs = 0;
  const slow = {
    changeVisibilityBatch: async (changes: readonly VisibilityChange[]) => {
      await clock.sleep(delayMs);
      return sqs.changeVisibilityBatch(changes);
    },
  };
  const inFlight = new InFlight({
    client: slow,
    clock,
    visibilityTimeoutS: 100,
    maxMessages: 10,
    maxBytes: 1_000,
    onEvent: () => undefined,
  });
  const [message] = await sqs.receive({ maxMessages: 1, waitS: 0, visibilityS: 100 }, never);
  assert.ok(message);
  const receipt = {
    messageId: message.id,
    handle: message.handle,
    receiveCount: 1,
    receivedAt: clock.now(),
    bytes: 1,
  };
  inFlight.admit(await inFlight.reserve(never), [receipt]);
  delayMs = 5_000;
  await clock.advance(41_000);
  // The extension is under way, and has not reached SQS.
  const from = clock.now();
  const released = inFlight
    .spend([receipt])
    .then(() => sqs.changeVisibilityBatch([{ handle: receipt.handle, seconds: 30 }]));
  await clock.finish(released);
  await clock.advance(from + 40_000 - clock.now());
  assert.deepEqual(sqs.visible, [id]);
  await clock.finish(inFlight.stop());
});

test('what is settled while the heartbeat is busy with others is not extended any more', async () => {
  const clock = new VirtualClock();
  const extended: string[] = [];
  const inFlight = new InFlight({
    client: {
      changeVisibilityBatch: async (changes) => {
        await clock.sleep(1_000);
        extended.push(...changes.map((change) => change.handle));
        return changes.map(() => 'done' as const);
      },
    },
    clock,
    visibilityTimeoutS: 100,
    maxMessages: 200,
    maxBytes: 1_000,
    onEvent: () => undefined,
  });
  const receivedAt = clock.now();
  const receipts = Array.from({ length: 100 }, (_, index) => ({
    messageId: `m${index}`,
    handle: `h${index}`,
    receiveCount: 1,
    receivedAt,
    bytes: 1,
  }));
  inFlight.admit(await inFlight.reserve(never), receipts);
  await clock.advance(40_500);
  // Eight calls of ten are under way, two more are waiting.
  assert.deepEqual(extended, []);
  await clock.finish(inFlight.spend(receipts.slice(85)));
  await clock.advance(5_000);
  assert.deepEqual(
    extended,
    receipts.slice(0, 85).map((receipt) => receipt.handle),
  );
  await clock.finish(inFlight.stop());
});
