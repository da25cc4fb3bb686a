import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Delivery } from '../../src/batch.js';
import { PipelineError } from '../../src/errors.js';
import type { PollOptions, QueueClient, RawMessage } from '../../src/source/queue-client.js';
import type { SourceEvent } from '../../src/source/source-events.js';
import { type SourceOptions, type SqsSource, createSource } from '../../src/source/sqs-source.js';
import { prepareOpening } from '../../src/source/unwrap.js';
import { FakeSqs, type FakeSqsOptions } from '../simulation/fake-sqs.js';
import { VirtualClock } from '../simulation/virtual-clock.js';
import { AS_IT_IS } from '../support/opening.js';

// Loading is no matter of the virtual clock.
await prepareOpening();

const never = new AbortController().signal;

interface PollSeen {
  readonly from: number;
  to: number;
  messages: number;
}

function set(
  options: Partial<SourceOptions> & { readonly sqs?: Partial<FakeSqsOptions>; readonly seed?: number } = {},
) {
  const { sqs: sqsOptions, seed = 1, ...sourceOptions } = options;
  const clock = new VirtualClock({ seed });
  const sqs = new FakeSqs({ clock, ...sqsOptions });
  const polls: PollSeen[] = [];
  const events: SourceEvent[] = [];
  const client: QueueClient = {
    queue: 'fake',
    receive: async (poll: PollOptions, signal: AbortSignal): Promise<readonly RawMessage[]> => {
      const seen = { from: clock.now(), to: Infinity, messages: 0 };
      polls.push(seen);
      const messages = await sqs.receive(poll, signal);
      seen.to = clock.now();
      seen.messages = messages.length;
      return messages;
    },
    deleteBatch: (handles) => sqs.deleteBatch(handles),
    changeVisibilityBatch: (changes) => sqs.changeVisibilityBatch(changes),
    attributes: () => sqs.attributes(),
    close: () => undefined,
  };
  const source = createSource({
    client,
    clock,
    opening: AS_IT_IS,
    receivers: 4,
    waitTimeS: 1,
    visibilityTimeoutS: 300,
    inFlight: 1_000,
    inFlightBytes: 1_000_000,
    onEvent: (event) => events.push(event),
    ...sourceOptions,
  });
  return { clock, sqs, source, polls, events };
}

async function drained(source: SqsSource, signal: AbortSignal = never): Promise<readonly Delivery[]> {
  const all: Delivery[] = [];
  for await (const received of source.receive('until_empty', signal)) all.push(...received);
  return all;
}

const receiptsOf = (deliveries: readonly Delivery[]) => deliveries.map((delivery) => delivery.receipt);
const iterate = (source: SqsSource, signal: AbortSignal) =>
  source.receive('continuous', signal)[Symbol.asyncIterator]();

test('the end is every receiver having waited a second or more, in vain, since the last arrival', async () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const { clock, sqs, source, polls } = set({ seed, receivers: 1 + (seed % 5), waitTimeS: seed % 3 });
    // Arrivals at random moments; a gap longer than two rounds of polls rightly ends the drain.
    const arrivals = Array.from({ length: 8 }, () => Math.floor(clock.random() * 3_000)).toSorted(
      (a, b) => a - b,
    );
    const sending = (async () => {
      const start = clock.now();
      for (const at of arrivals) {
        await clock.sleep(start + at - clock.now());
        sqs.send({ body: 'x' });
      }
    })();
    const deliveries = await clock.finish(drained(source));
    const end = clock.now();
    const last = Math.max(...polls.filter((poll) => poll.messages > 0).map((poll) => poll.to), 0);
    const vain = polls.filter(
      (poll) => poll.from >= last && poll.messages === 0 && poll.to - poll.from >= 1_000,
    );
    assert.ok(
      vain.length >= 1 + (seed % 5),
      `seed ${seed}: ${vain.length} empty polls since the last arrival`,
    );
    assert.ok(
      end - last <= 2 * Math.max(1, seed % 3) * 1_000,
      `seed ${seed}: ended ${end - last} ms after it`,
    );
    assert.ok(
      polls.every((poll) => poll.to <= end),
      `seed ${seed}: a poll is under way at the end`,
    );
    await clock.finish(sending);
    await clock.finish(source.ack(receiptsOf(deliveries)));
    await clock.finish(source.stop());
  }
});

test('a queue that reports visible messages is not empty, whatever the polls say', async () => {
  const { clock, sqs, source } = set({ receivers: 2 });
  let reports = 0;
  const attributes = sqs.attributes.bind(sqs);
  sqs.attributes = async () => {
    reports += 1;
    const all = await attributes();
    return all === null ? null : { ...all, visible: reports <= 3 ? 1 : 0 };
  };
  const from = clock.now();
  await clock.finish(drained(source));
  assert.equal(reports, 4);
  assert.equal(clock.now() - from, 4_000);
  await clock.finish(source.stop());
});

test('what is delayed, or held by another consumer, is not waited for', async () => {
  const { clock, sqs, source } = set();
  sqs.send({ body: 'held' }, { body: 'delayed', delayMs: 900_000 });
  assert.equal((await sqs.receive({ maxMessages: 1, waitS: 0, visibilityS: 900 }, never)).length, 1);
  assert.deepEqual(await clock.finish(drained(source)), []);
  assert.deepEqual(await source.depth(), { visible: 0, inFlight: 1, delayed: 1 });
  await clock.finish(source.stop());
});

test('a FIFO group that another consumer holds is not waited for; one that we hold is', async () => {
  const { clock, sqs, source } = set({ sqs: { fifo: true, perGroup: 1 } });
  sqs.send({ body: 'a1', groupId: 'a' }, { body: 'a2', groupId: 'a' });
  await sqs.receive({ maxMessages: 10, waitS: 0, visibilityS: 900 }, never);
  assert.equal((await sqs.attributes())?.visible, 1);
  sqs.send({ body: 'b1', groupId: 'b' }, { body: 'b2', groupId: 'b' });
  const seen: string[] = [];
  const settled: Promise<void>[] = [];
  await clock.finish(
    (async () => {
      for await (const received of source.receive('until_empty', never)) {
        seen.push(...received.map((delivery) => delivery.envelope.body));
        // Settled long after several rounds of empty polls.
        settled.push(clock.sleep(7_000).then(() => source.ack(receiptsOf(received))));
      }
    })(),
  );
  await clock.finish(Promise.all(settled));
  assert.deepEqual(seen, ['b1', 'b2']);
  await clock.finish(source.stop());
});

test('while SQS is away one receiver asks, ever more rarely; then all go on by themselves', async () => {
  const { clock, sqs, source, events } = set({ receivers: 8 });
  sqs.send(...Array.from({ length: 100 }, () => ({ body: 'x' })));
  sqs.faults.before = () => new PipelineError('sqs_unavailable', 'away');
  const work = drained(source);
  await clock.advance(10_000);
  const early = sqs.calls.receive;
  assert.ok(early <= 8 + 7, `${early} calls in ten seconds`);
  await clock.advance(590_000);
  assert.ok(sqs.calls.receive - early <= 60, `${sqs.calls.receive} calls in ten minutes`);
  delete sqs.faults.before;
  const deliveries = await clock.finish(work);
  assert.equal(deliveries.length, 100);
  const waits = events.filter((event) => event.kind === 'waiting');
  assert.ok(waits.every((event) => event.error.code === 'sqs_unavailable' && event.waitMs <= 20_000));
  assert.ok(waits.some((event) => event.waitMs >= 10_000));
  await clock.finish(source.ack(receiptsOf(deliveries)));
  await clock.finish(source.stop());
});

test('a queue that can not be asked for its depth is not taken as empty', async () => {
  const { clock, sqs, source } = set();
  sqs.faults.before = (call) => (call === 'attributes' ? new PipelineError('sqs_unavailable', 'away') : null);
  const work = drained(source);
  await clock.advance(120_000);
  const calls = sqs.calls.attributes;
  assert.ok(calls > 3 && calls < 70, `${calls}`);
  sqs.send({ body: 'late' });
  delete sqs.faults.before;
  assert.equal((await clock.finish(work)).length, 1);
  await clock.finish(source.stop());
});

test('an answer that was lost costs its messages one visibility timeout, and nothing else', async () => {
  const { clock, sqs, source } = set({ visibilityTimeoutS: 30 });
  const ids = sqs.send(...Array.from({ length: 25 }, () => ({ body: 'x' })));
  let answers = 0;
  sqs.faults.after = (call) =>
    call === 'receive' && (answers += 1) === 1 ? new PipelineError('sqs_unavailable', 'MD5') : null;
  const first = await clock.finish(drained(source));
  assert.equal(first.length, 15);
  await clock.advance(30_000);
  const second = await clock.finish(drained(source));
  assert.deepEqual(
    [...first, ...second].map((delivery) => delivery.envelope.messageId).toSorted(),
    [...ids].toSorted(),
  );
  assert.ok(second.every((delivery) => delivery.receipt.receiveCount === 2));
  await clock.finish(source.stop());
});

test('what only people can mend is thrown, after what had been received', async () => {
  const { clock, sqs, source } = set({ receivers: 3 });
  sqs.send(...Array.from({ length: 20 }, () => ({ body: 'x' })));
  let calls = 0;
  sqs.faults.before = (call) =>
    call === 'receive' && (calls += 1) > 2 ? new PipelineError('source_unfit', 'AccessDenied') : null;
  const seen: Delivery[] = [];
  const work = (async () => {
    for await (const received of source.receive('continuous', never)) seen.push(...received);
  })();
  await assert.rejects(clock.finish(work), { code: 'source_unfit' });
  assert.equal(seen.length, 20);
  assert.equal(source.holding.messages, 20);
  await clock.finish(source.stop());
});

test('an endpoint that answers empty polls at once is not asked in a tight loop', async () => {
  const { clock, sqs, source } = set({ receivers: 2, waitTimeS: 20 });
  const receive = sqs.receive.bind(sqs);
  sqs.receive = (options, signal) => receive({ ...options, waitS: 0 }, signal);
  const stop = new AbortController();
  const work = iterate(source, stop.signal).next();
  await clock.advance(10_000);
  assert.ok(sqs.calls.receive <= 2 * 51, `${sqs.calls.receive} calls in ten seconds`);
  stop.abort();
  await clock.finish(work);
  await clock.finish(source.stop());
});

test('a run that ends hands its polls to the next one: nothing is cut, nothing is received twice', async () => {
  const { clock, sqs, source, polls } = set({ receivers: 3, waitTimeS: 20 });
  const first = new AbortController();
  const pending = iterate(source, first.signal).next();
  await clock.advance(5_000);
  first.abort();
  assert.equal((await clock.finish(pending)).done, true);
  const second = new AbortController();
  const next = iterate(source, second.signal);
  const received = next.next();
  await clock.settle();
  assert.equal(polls.length, 1);
  sqs.send({ body: 'x' });
  const result = await clock.finish(received);
  assert.ok(!result.done);
  assert.equal(result.value[0]?.receipt.receiveCount, 1);
  second.abort();
  assert.equal((await clock.finish(next.next())).done, true);
  await clock.finish(source.ack(receiptsOf(result.value)));
  await clock.finish(source.stop());
  assert.deepEqual(sqs.left, []);
});

test('what arrives between two continuous runs waits for the next one, and is released when there is none', async () => {
  const { clock, sqs, source } = set({ receivers: 1, waitTimeS: 20 });
  const first = new AbortController();
  const none = iterate(source, first.signal).next();
  await clock.settle();
  first.abort();
  assert.equal((await clock.finish(none)).done, true);
  sqs.send({ body: 'x' });
  await clock.advance(2_000);

  const second = new AbortController();
  const iterator = iterate(source, second.signal);
  const result = await clock.finish(iterator.next());
  assert.ok(!result.done);
  assert.equal(result.value[0]?.receipt.receiveCount, 1);
  await clock.finish(source.ack(receiptsOf(result.value)));
  const rest = iterator.next();
  await clock.settle();
  second.abort();
  assert.equal((await clock.finish(rest)).done, true);

  sqs.send({ body: 'y' });
  await clock.advance(2_000);
  assert.equal(sqs.visible.length, 0, 'it is kept for the next run');
  await clock.finish(source.stop());
  assert.equal(sqs.visible.length, 1, 'which will not come');
});

test('what receivers had in hand when the run was stopped is still yielded', async () => {
  const { clock, sqs, source } = set({ receivers: 4 });
  sqs.send(...Array.from({ length: 100 }, () => ({ body: 'x' })));
  const stop = new AbortController();
  const iterator = iterate(source, stop.signal);
  const seen: Delivery[] = [];
  const first = await clock.finish(iterator.next());
  if (!first.done) seen.push(...first.value);
  await clock.settle();
  stop.abort();
  for (
    let next = await clock.finish(iterator.next());
    !next.done;
    next = await clock.finish(iterator.next())
  ) {
    seen.push(...next.value);
  }
  assert.equal(seen.length, source.holding.messages);
  assert.ok(seen.length >= 40);
  assert.equal(sqs.visible.length, 100 - seen.length);
  await clock.finish(source.stop());
});

test('a slow consumer leaves messages in the queue: one receive per receiver is in hand', async () => {
  const { clock, sqs, source } = set({ receivers: 3 });
  sqs.send(...Array.from({ length: 500 }, () => ({ body: 'x' })));
  const stop = new AbortController();
  const iterator = iterate(source, stop.signal);
  await clock.finish(iterator.next());
  await clock.advance(60_000);
  assert.ok(source.holding.messages <= 40, `${source.holding.messages}`);
  stop.abort();
  await clock.finish(Promise.resolve(iterator.return?.()));
  await clock.finish(source.stop());
});

test('receiving that begins stopped asks nothing', async () => {
  const { clock, sqs, source } = set();
  assert.deepEqual(await clock.finish(drained(source, AbortSignal.abort())), []);
  assert.equal(sqs.calls.receive, 0);
  await clock.finish(source.stop());
});

test('a stopped source ends what is still receiving, and lets polls of a second end by themselves', async () => {
  const { clock, source, polls } = set({ receivers: 2, waitTimeS: 1 });
  const pending = iterate(source, never).next();
  await clock.advance(1_500);
  await clock.finish(source.stop());
  assert.equal((await clock.finish(pending)).done, true);
  assert.ok(polls.length >= 2);
  assert.equal(clock.timers, 0);
});

test('a source can be stopped before it began, and twice', async () => {
  const { clock, source } = set();
  await clock.finish(source.stop());
  await clock.finish(source.stop('hard'));
});

test('without an end to find, one poll waits while nothing comes; all receivers ask while there is more', async () => {
  const { clock, sqs, source, polls } = set({ receivers: 4, waitTimeS: 20 });
  const asked = (from: number): number => polls.filter((poll) => poll.from >= from).length;
  const atOnce = (from: number): number =>
    Math.max(
      ...polls
        .filter((poll) => poll.from >= from)
        .map(({ from: at }) => polls.filter((poll) => poll.from <= at && poll.to > at).length),
    );
  const stop = new AbortController();
  const seen = new Set<string>();
  const work = (async () => {
    for await (const received of source.receive('continuous', stop.signal)) {
      for (const { envelope } of received) seen.add(envelope.messageId);
      await source.ack(receiptsOf(received));
    }
  })();
  // GIVEN an idle queue: three polls of twenty seconds a minute
  await clock.advance(65_000);
  assert.ok(asked(0) <= 4, `${asked(0)} polls in the first minute`);
  // WHEN one message comes, it is taken at once, and nobody else is woken for it
  const single = clock.now();
  sqs.send({ body: 'x' });
  await clock.advance(1_000);
  assert.equal(seen.size, 1);
  assert.equal(atOnce(single), 1);
  // WHEN many come
  const many = clock.now();
  sqs.send(...Array.from({ length: 400 }, () => ({ body: 'x' })));
  await clock.advance(5_000);
  assert.equal(seen.size, 401);
  assert.equal(atOnce(many), 4);
  // THEN all but one rest again once nothing comes
  await clock.advance(60_000);
  const quiet = clock.now();
  await clock.advance(60_000);
  assert.ok(asked(quiet) <= 4, `${asked(quiet)} polls in a quiet minute`);
  stop.abort();
  await clock.finish(work);
  await clock.finish(source.stop());
});
