// Several queues read as one source. The fakes give equal handles and message ids, so that nothing can rest on those.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Delivery } from '../../src/batch.js';
import { PipelineError } from '../../src/errors.js';
import { joinSources } from '../../src/source/joined.js';
import { type SqsSource, createSource } from '../../src/source/sqs-source.js';
import { prepareOpening } from '../../src/source/unwrap.js';
import { FakeSqs } from '../simulation/fake-sqs.js';
import { VirtualClock } from '../simulation/virtual-clock.js';
import { AS_IT_IS } from '../support/opening.js';

// Loading is no matter of the virtual clock.
await prepareOpening();

const never = new AbortController().signal;

function joined(queues: number, { inFlight = 1_000, waitTimeS = 1 } = {}) {
  const clock = new VirtualClock();
  const all = Array.from({ length: queues }, () => new FakeSqs({ clock }));
  const sourceOf = (client: FakeSqs): SqsSource =>
    createSource({
      client,
      clock,
      opening: AS_IT_IS,
      receivers: 4,
      waitTimeS,
      drainWaitTimeS: 1,
      visibilityTimeoutS: 300,
      inFlight,
      inFlightBytes: 1 << 20,
    });
  return { clock, queues: all, source: joinSources(all.map(sourceOf)), sourceOf };
}

function send(queue: FakeSqs | undefined, name: string, count: number): void {
  queue?.send(...Array.from({ length: count }, (_, n) => ({ body: `${name} ${n}` })));
}

const bodiesOf = (deliveries: readonly Delivery[]): readonly string[] =>
  deliveries.map(({ envelope }) => envelope.body);
const receiptsOf = (deliveries: readonly Delivery[]) => deliveries.map(({ receipt }) => receipt);

async function drained(source: SqsSource, ack = true): Promise<readonly string[]> {
  const bodies: string[] = [];
  for await (const deliveries of source.receive('until_empty', never)) {
    bodies.push(...bodiesOf(deliveries));
    if (ack) await source.ack(receiptsOf(deliveries));
  }
  return bodies;
}

test('every message of every queue comes once, and is acked at its own', async () => {
  const { clock, queues, source } = joined(3);
  const [first, second, third] = queues;
  send(first, 'a', 25);
  send(third, 'c', 7);
  second?.send({ body: 'b late', delayMs: 500 });
  const bodies = await clock.finish(drained(source));
  const expected = [25, 0, 7].flatMap((count, queue) =>
    Array.from({ length: count }, (_, n) => `${'abc'[queue]} ${n}`),
  );
  assert.deepEqual(bodies.toSorted(), [...expected, 'b late'].toSorted());
  assert.deepEqual(
    queues.map(({ left, deleted }) => [left.length, deleted.length]),
    [
      [0, 25],
      [0, 1],
      [0, 7],
    ],
  );
  assert.deepEqual(source.holding, { messages: 0, bytes: 0 });
});

test('what is released is visible again in its own queue, each with its own delay', async () => {
  const { clock, queues, source } = joined(2);
  for (const [index, queue] of queues.entries()) send(queue, String(index), 1);
  const held: Delivery[] = [];
  await clock.finish(
    (async () => {
      for await (const deliveries of source.receive('until_empty', never)) held.push(...deliveries);
      await source.release(receiptsOf(held), ({ queue }) => (queue === 0 ? 0 : 60_000));
    })(),
  );
  assert.deepEqual(
    queues.map(({ visible }) => visible.length),
    [1, 0],
  );
  await clock.advance(60_000);
  assert.deepEqual(
    queues.map(({ visible }) => visible.length),
    [1, 1],
  );
});

test('an idle queue costs no more receives beside a busy one than it does alone', async () => {
  const receivesFor = async (minutes: number, isJoined: boolean): Promise<number> => {
    const { clock, queues, source, sourceOf } = joined(2, { waitTimeS: 20 });
    const [busy, idle] = queues;
    assert.ok(busy && idle);
    const stop = new AbortController();
    const receiving = (async () => {
      for await (const deliveries of (isJoined ? source : sourceOf(idle)).receive('continuous', stop.signal))
        await source.ack(receiptsOf(deliveries));
    })();
    for (let second = 0; second < minutes * 60; second += 1) {
      send(busy, 'b', 20);
      await clock.advance(1_000);
    }
    stop.abort();
    await clock.finish(receiving);
    return idle.calls.receive;
  };
  const alone = await receivesFor(3, false);
  assert.ok(alone >= 9 && alone <= 13, `${alone} receives in three minutes`);
  assert.equal(await receivesFor(3, true), alone);
});

test('a queue that is never empty neither starves another nor fills its share of what may be held', async () => {
  const { clock, queues, source } = joined(2, { inFlight: 50 });
  const [busy, other] = queues;
  send(busy, 'busy', 2_000);
  const stop = new AbortController();
  const seen: string[] = [];
  const receiving = (async () => {
    for await (const deliveries of source.receive('continuous', stop.signal))
      seen.push(...bodiesOf(deliveries));
  })();
  // GIVEN a full share: nothing of it is settled
  await clock.advance(5_000);
  assert.equal(seen.length, 50);
  send(other, 'other', 30);
  await clock.advance(5_000);
  assert.equal(seen.filter((body) => body.startsWith('other')).length, 30);
  assert.equal(source.holding.messages, 80);
  stop.abort();
  await clock.finish(receiving);
});

test('of queues that all have something, each gets its turn', async () => {
  const { clock, queues, source } = joined(3);
  for (const [index, queue] of queues.entries()) send(queue, String(index), 200);
  const turns: string[] = [];
  await clock.finish(
    (async () => {
      for await (const deliveries of source.receive('until_empty', never)) {
        turns.push(deliveries[0]?.envelope.body[0] ?? '');
        // A consumer that is slower than the queues.
        await clock.sleep(100);
        await source.ack(receiptsOf(deliveries));
      }
    })(),
  );
  const firstThird = turns.slice(3, turns.length / 3);
  for (const queue of ['0', '1', '2']) {
    const share = firstThird.filter((turn) => turn === queue).length / firstThird.length;
    assert.ok(share > 0.25 && share < 0.42, `queue ${queue} had ${share} of the turns`);
  }
});

test('a queue that is missing is waited for, while the others are received from', async () => {
  const { clock, queues, source } = joined(2);
  const [there, away] = queues;
  assert.ok(there && away);
  let isAway = true;
  away.faults.before = () =>
    isAway ? new PipelineError('sqs_unavailable', 'queue two does not exist') : null;
  send(there, 'a', 15);
  send(away, 'b', 5);
  const draining = drained(source);
  await clock.advance(10_000);
  assert.equal(there.deleted.length, 15);
  isAway = false;
  assert.equal((await clock.finish(draining)).length, 20);
});

test('a queue that may not be read ends receiving from all, and what was received until then is handed on', async () => {
  const { clock, queues, source } = joined(2);
  const [sound, denied] = queues;
  assert.ok(sound && denied);
  send(sound, 'a', 10);
  let isDenied = false;
  denied.faults.before = () =>
    isDenied ? new PipelineError('source_unfit', 'SQS refused ReceiveMessage on queue two') : null;
  const seen: string[] = [];
  const draining = (async () => {
    for await (const deliveries of source.receive('continuous', never)) {
      seen.push(...bodiesOf(deliveries));
      await source.ack(receiptsOf(deliveries));
      isDenied = true;
      send(denied, 'b', 1);
    }
  })();
  const failed = assert.rejects(clock.finish(draining), /refused ReceiveMessage on queue two/);
  await failed;
  assert.equal(sound.deleted.length, seen.filter((body) => body.startsWith('a')).length);
  assert.equal(source.holding.messages, 0);
});

test('who breaks off leaves nothing hidden of what was not taken', async () => {
  const { clock, queues, source } = joined(2);
  for (const [index, queue] of queues.entries()) send(queue, String(index), 100);
  const taken = await clock.finish(
    (async () => {
      for await (const deliveries of source.receive('until_empty', never)) return deliveries;
      return [];
    })(),
  );
  await clock.finish(source.stop());
  const visible = queues.reduce((sum, queue) => sum + queue.visible.length, 0);
  assert.equal(visible, 200 - taken.length);
});

test('the depth is that of all queues together; one that cannot tell is named', async () => {
  const { clock, queues, source } = joined(2);
  const [first, second] = queues;
  assert.ok(first && second);
  send(first, 'a', 3);
  send(second, 'b', 4);
  assert.deepEqual(await clock.finish(source.depth()), { visible: 7, inFlight: 0, delayed: 0 });
  second.faults.before = () => new PipelineError('sqs_unavailable', 'GetQueueAttributes on queue two failed');
  await assert.rejects(clock.finish(source.depth()), /queue two failed/);
});
