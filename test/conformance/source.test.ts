import assert from 'node:assert/strict';
import { type TestContext, after, before, describe, test } from 'node:test';
import type { Delivery } from '../../src/batch.js';
import { type Clock, systemClock } from '../../src/clock.js';
import type { QueueClient } from '../../src/source/queue-client.js';
import type { SqsTransport } from '../../src/source/sqs.js';
import { joinSources } from '../../src/source/joined.js';
import { SharedSource } from '../../src/source/shared-queue.js';
import { type SourceOptions, type SqsSource, createSource } from '../../src/source/sqs-source.js';
import { FakeSqs } from '../simulation/fake-sqs.js';
import { VirtualClock } from '../simulation/virtual-clock.js';
import { type TestSqs, startTestSqs } from '../support/sqs.js';
import { AS_IT_IS } from '../support/opening.js';

interface Sent {
  readonly body: string;
  readonly groupId?: string;
  readonly attributes?: Readonly<{ [name: string]: string }>;
}

/** One queue of one implementation, and the time that it lives in. */
interface Bench {
  readonly client: QueueClient;
  /** A queue that is read with it, and holds nothing. */
  readonly idle?: QueueClient;
  /** Whether what is tested is one pipeline's part in the queue. */
  readonly isShared?: boolean;
  readonly clock: Clock;
  send(...messages: readonly Sent[]): Promise<readonly string[]>;
  /** Awaits work, letting as much time pass as it needs. */
  finish<T>(work: Promise<T>): Promise<T>;
  /** Lets time pass. */
  pass(ms: number): Promise<void>;
}

interface Implementation {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
  bench(kind: 'standard' | 'fifo'): Promise<Bench>;
}

const fake: Implementation = {
  name: 'the fake',
  start: async () => undefined,
  stop: async () => undefined,
  bench: async (kind) => {
    const clock = new VirtualClock();
    const sqs = new FakeSqs({ clock, fifo: kind === 'fifo' });
    return {
      client: sqs,
      clock,
      send: async (...messages) => sqs.send(...messages),
      finish: (work) => clock.finish(work),
      pass: (ms) => clock.advance(ms),
    };
  },
};

const joined: Implementation = {
  ...fake,
  name: 'the fake, read together with another queue',
  bench: async (kind) => {
    const bench = await fake.bench(kind);
    return { ...bench, idle: new FakeSqs({ clock: bench.clock, fifo: kind === 'fifo' }) };
  },
};

const shared: Implementation = {
  ...fake,
  name: 'the fake, as one of two pipelines sees it that share it',
  bench: async (kind) => ({ ...(await fake.bench(kind)), isShared: true }),
};

let sqs: TestSqs;
const emulator = (transport: SqsTransport): Implementation => ({
  name: `the emulator over HTTP, by the transport ${transport}`,
  start: async () => {
    sqs = await startTestSqs(transport);
  },
  stop: () => sqs.stop(),
  bench: async (kind) => {
    const name = await sqs.queue({}, kind === 'fifo' ? '.fifo' : '');
    return {
      client: sqs.client(name),
      clock: systemClock,
      send: (...messages) => sqs.server.send(name, messages),
      finish: (work) => work,
      pass: (ms) => systemClock.sleep(ms),
    };
  },
});

/** For one call: tests that run at once and listened to the same signal would look like a leak of listeners. */
const unaborted = (): AbortSignal => new AbortController().signal;
/** A call to the emulator takes a few of these. */
const GOES_BACK_MS = 2_000;

/** Opens a source that ends with its test, whatever became of that. */
function sourceOf(t: TestContext, bench: Bench, options: Partial<SourceOptions> = {}): SqsSource {
  const open = (client: QueueClient): SqsSource =>
    createSource({
      client,
      clock: bench.clock,
      opening: AS_IT_IS,
      receivers: 3,
      waitTimeS: 1,
      visibilityTimeoutS: 30,
      inFlight: 1_000,
      inFlightBytes: 1_000_000,
      ...options,
    });
  const source = joinSources([open(bench.client), ...(bench.idle === undefined ? [] : [open(bench.idle)])]);
  const tested = bench.isShared ? branchOf(source, bench.clock, options) : source;
  t.after(() => bench.finish(tested.stop('hard')));
  return tested;
}

/** The part of the one of two pipelines to which all is routed. */
function branchOf(
  source: SqsSource,
  clock: Clock,
  { inFlight = 1_000, inFlightBytes = 1_000_000 }: Partial<SourceOptions>,
): SqsSource {
  const sharing = new SharedSource(
    {
      table: { pipelines: ['other', 'own'], entries: [], otherwise: 'own' },
      clock,
      open: async () => source,
      limits: () => ({ inFlight, inFlightBytes }),
      onEvent: () => undefined,
    },
    source,
  );
  let branch: SqsSource | null = null;
  const opened = async (): Promise<SqsSource> =>
    (branch ??= await sharing.openBranch('own', () => Promise.resolve()));
  return {
    receive: async function* (...args) {
      yield* (await opened()).receive(...args);
    },
    ack: async (receipts) => (await opened()).ack(receipts),
    release: async (receipts, delayMs) => (await opened()).release(receipts, delayMs),
    depth: async () => (await opened()).depth(),
    stop: (mode) => sharing.stop(mode),
    get holding() {
      return branch?.holding ?? source.holding;
    },
  };
}

/** Everything up to the end of the queue; each receive's messages go to `onReceive` at once. */
async function drained(
  source: SqsSource,
  onReceive: (deliveries: readonly Delivery[]) => Promise<void> = async () => undefined,
): Promise<readonly Delivery[]> {
  const all: Delivery[] = [];
  for await (const deliveries of source.receive('until_empty', unaborted())) {
    assert.ok(deliveries.length > 0);
    all.push(...deliveries);
    await onReceive(deliveries);
  }
  return all;
}

const receiving = (source: SqsSource, signal: AbortSignal) =>
  source.receive('continuous', signal)[Symbol.asyncIterator]();
const receiptsOf = (deliveries: readonly Delivery[]) => deliveries.map((delivery) => delivery.receipt);
const idsOf = (deliveries: readonly Delivery[]) => deliveries.map((delivery) => delivery.envelope.messageId);

for (const implementation of [fake, joined, shared, emulator('lean'), emulator('sdk')]) {
  describe(`a source on ${implementation.name}`, { concurrency: 6 }, () => {
    before(() => implementation.start());
    after(() => implementation.stop());

    test('hands out every message once, as it was sent, and ends when the queue is empty', async (t) => {
      const bench = await implementation.bench('standard');
      const source = sourceOf(t, bench);
      const bodies = Array.from({ length: 37 }, (_, index) => `{"n":${index}}`);
      const from = bench.clock.now();
      const ids = await bench.send(...bodies.map((body) => ({ body, attributes: { tenant: 'a' } })));

      const deliveries = await bench.finish(drained(source));

      assert.deepEqual(idsOf(deliveries).toSorted(), ids.toSorted());
      assert.deepEqual(deliveries.map((delivery) => delivery.envelope.body).toSorted(), bodies.toSorted());
      for (const { envelope, records, receipt } of deliveries) {
        assert.deepEqual(envelope.attributes, { tenant: 'a' });
        assert.deepEqual(records, [{ id: envelope.messageId, body: envelope.body }]);
        assert.ok(envelope.sentAt >= from && envelope.sentAt <= envelope.receivedAt);
        assert.equal(receipt.receiveCount, 1);
        assert.equal(receipt.bytes, Buffer.byteLength(envelope.body));
      }
      await bench.finish(source.ack(receiptsOf(deliveries)));
      await bench.finish(source.stop());
    });

    test('what is acked never comes again; what is not comes again when its visibility has run out', async (t) => {
      const bench = await implementation.bench('standard');
      const source = sourceOf(t, bench, { visibilityTimeoutS: 1 });
      const ids = await bench.send({ body: 'a' }, { body: 'b' }, { body: 'c' });
      const first = await bench.finish(drained(source));
      const kept = first.find((delivery) => delivery.envelope.body === 'b');
      await bench.finish(source.ack(receiptsOf(first.filter((delivery) => delivery.envelope.body !== 'b'))));
      await bench.finish(source.stop());
      await bench.pass(1_200);

      const next = sourceOf(t, bench);
      const second = await bench.finish(drained(next));

      assert.deepEqual(idsOf(second), [ids[1]]);
      assert.equal(second[0]?.receipt.receiveCount, 2);
      assert.equal(second[0]?.envelope.sentAt, kept?.envelope.sentAt);
      await bench.finish(next.ack(receiptsOf(second)));
      await bench.finish(next.stop());
      const depth = await next.depth();
      assert.deepEqual(depth, { visible: 0, inFlight: 0, delayed: 0 });
    });

    test('a held message stays invisible far beyond its timeout', async (t) => {
      const bench = await implementation.bench('standard');
      const source = sourceOf(t, bench, { visibilityTimeoutS: 1 });
      const ids = await bench.send({ body: 'a' });
      assert.deepEqual(idsOf(await bench.finish(drained(source))), ids);
      await bench.pass(2_500);
      assert.deepEqual(await source.depth(), { visible: 0, inFlight: 1, delayed: 0 });
      const other = sourceOf(t, bench);

      const seenByOthers = await bench.finish(drained(other));

      assert.deepEqual(seenByOthers, []);
      await bench.finish(other.stop());
      await bench.finish(source.stop());
    });

    test('a released message comes again at once, or after its delay and not before', async (t) => {
      const bench = await implementation.bench('standard');
      const source = sourceOf(t, bench);
      await bench.send({ body: 'now' }, { body: 'later' });
      const first = await bench.finish(drained(source));
      const later = first.find((delivery) => delivery.envelope.body === 'later');
      const releasedAt = bench.clock.now();
      await bench.finish(
        source.release(receiptsOf(first), (receipt) =>
          receipt.handle === later?.receipt.handle ? 3_000 : 0,
        ),
      );
      assert.deepEqual(source.holding, { messages: 0, bytes: 0 });

      const second = await bench.finish(drained(source));
      assert.deepEqual(
        second.map((delivery) => delivery.envelope.body),
        ['now'],
      );
      await bench.finish(source.ack(receiptsOf(second)));
      const wait = new AbortController();
      const third = receiving(source, wait.signal);
      const next = await bench.finish(third.next());

      assert.ok(!next.done);
      assert.equal(next.value[0]?.envelope.body, 'later');
      assert.equal(next.value[0]?.receipt.receiveCount, 2);
      assert.ok(bench.clock.now() - releasedAt >= 2_900);
      wait.abort();
      assert.equal((await bench.finish(third.next())).done, true);
      await bench.finish(source.ack(receiptsOf(next.value)));
      await bench.finish(source.stop());
    });

    test('two deliveries of one message are two receipts, acked in one call, and the older clears nothing', async (t) => {
      const bench = await implementation.bench('standard');
      const source = sourceOf(t, bench);
      const ids = await bench.send({ body: 'a' });
      const first = await bench.finish(drained(source));
      // Another consumer's visibility ran out, say: the message is visible although we hold it.
      await bench.client.changeVisibilityBatch([{ handle: first[0]?.receipt.handle ?? '', seconds: 0 }]);
      const second = await bench.finish(drained(source));

      assert.deepEqual(idsOf([...first, ...second]), [ids[0], ids[0]]);
      assert.equal(source.holding.messages, 2);
      await bench.finish(source.ack(receiptsOf(first)));
      assert.equal(source.holding.messages, 1);
      assert.equal((await source.depth()).inFlight, 1);
      await bench.finish(source.ack(receiptsOf([...first, ...second])));

      assert.equal(source.holding.messages, 0);
      assert.equal((await source.depth()).inFlight, 0);
      await bench.finish(source.stop());
    });

    test('never holds more messages than its limit, and goes on as they are settled', async (t) => {
      const bench = await implementation.bench('standard');
      const source = sourceOf(t, bench, { inFlight: 15, receivers: 4 });
      const ids = await bench.send(...Array.from({ length: 50 }, (_, index) => ({ body: `m${index}` })));
      let most = 0;

      const deliveries = await bench.finish(
        drained(source, async (received) => {
          most = Math.max(most, source.holding.messages);
          await source.ack(receiptsOf(received));
        }),
      );

      assert.deepEqual(idsOf(deliveries).toSorted(), ids.toSorted());
      assert.ok(most <= 15, `held ${most}`);
      await bench.finish(source.stop());
    });

    test('continuous receiving goes on over an empty queue until it is stopped, and then ends at once', async (t) => {
      const bench = await implementation.bench('standard');
      const source = sourceOf(t, bench, { waitTimeS: 20 });
      const stop = new AbortController();
      const received = receiving(source, stop.signal);
      const next = received.next();
      await bench.pass(50);
      const ids = await bench.send({ body: 'late' });
      const first = await bench.finish(next);
      assert.ok(!first.done);
      assert.deepEqual(idsOf(first.value), ids);
      const stoppedAt = bench.clock.now();
      stop.abort();

      const last = await bench.finish(received.next());

      assert.equal(last.done, true);
      assert.ok(bench.clock.now() - stoppedAt < 500);
      await bench.finish(source.ack(receiptsOf(first.value)));
      await bench.finish(source.stop('hard'));
    });

    test('what arrives after receiving has ended is visible to others at once', async (t) => {
      const bench = await implementation.bench('standard');
      const source = sourceOf(t, bench, { waitTimeS: 20, receivers: 2 });
      const stop = new AbortController();
      const received = receiving(source, stop.signal).next();
      await bench.pass(50);
      stop.abort();
      assert.equal((await bench.finish(received)).done, true);
      const ids = await bench.send({ body: 'too late' });
      await bench.pass(300);
      await bench.finish(source.stop());
      const other = sourceOf(t, bench);

      const deliveries = await bench.finish(drained(other));

      assert.deepEqual(idsOf(deliveries), ids);
      assert.equal(source.holding.messages, 0);
      await bench.finish(other.ack(receiptsOf(deliveries)));
      await bench.finish(other.stop());
    });

    test('a consumer that breaks off leaves nothing behind that it has not seen', async (t) => {
      const bench = await implementation.bench('standard');
      const source = sourceOf(t, bench);
      const ids = await bench.send(...Array.from({ length: 40 }, (_, index) => ({ body: `m${index}` })));
      const seen = await bench.finish(
        (async () => {
          for await (const deliveries of source.receive('until_empty', unaborted())) return deliveries;
          return [];
        })(),
      );
      // What a poll under way has brought goes back without anybody waiting for it; of a queue that is shared the rest
      // waits for the next run of the pipeline.
      const isBack = (): boolean => bench.isShared === true || source.holding.messages === seen.length;
      for (let ms = 0; !isBack() && ms < GOES_BACK_MS; ms += 1) await bench.pass(1);
      assert.ok(isBack(), `${source.holding.messages} are held, ${seen.length} were seen`);
      await bench.finish(source.ack(receiptsOf(seen)));

      const rest = await bench.finish(drained(source));

      assert.deepEqual([...idsOf(seen), ...idsOf(rest)].toSorted(), ids.toSorted());
      await bench.finish(source.ack(receiptsOf(rest)));
      await bench.finish(source.stop());
    });

    test('messages of a FIFO group come in order, and none before those ahead of it are settled', async (t) => {
      const bench = await implementation.bench('fifo');
      const source = sourceOf(t, bench);
      const sent = Array.from({ length: 24 }, (_, index) => ({
        body: `m${index}`,
        groupId: `g${index % 2}`,
      }));
      await bench.send(...sent);

      const deliveries = await bench.finish(drained(source, (received) => source.ack(receiptsOf(received))));

      for (const groupId of ['g0', 'g1']) {
        const inOrder = deliveries.filter((delivery) => delivery.envelope.groupId === groupId);
        assert.deepEqual(
          inOrder.map((delivery) => delivery.envelope.body),
          sent.filter((message) => message.groupId === groupId).map((message) => message.body),
        );
        const numbers = inOrder.map((delivery) => BigInt(delivery.envelope.sequenceNumber ?? '-1'));
        assert.deepEqual(
          numbers,
          numbers.toSorted((a, b) => (a < b ? -1 : 1)),
        );
      }
      await bench.finish(source.stop());
    });
  });
}
