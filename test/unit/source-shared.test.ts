// One queue for several pipelines: what each sees of it, and what becomes of messages that several have a share in.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Delivery, Receipt } from '../../src/batch.js';
import { PipelineError } from '../../src/errors.js';
import type { RouteTable } from '../../src/source/route.js';
import { SharedSource } from '../../src/source/shared-queue.js';
import type { SourceEvent } from '../../src/source/source-events.js';
import { type SqsSource, createSource } from '../../src/source/sqs-source.js';
import { type Opening, prepareOpening } from '../../src/source/unwrap.js';
import { FakeSqs } from '../simulation/fake-sqs.js';
import { fakePointers, partedBody } from '../simulation/fake-pointers.js';
import { VirtualClock } from '../simulation/virtual-clock.js';
import { AS_IT_IS } from '../support/opening.js';

// Loading is no matter of the virtual clock.
await prepareOpening();

const never = new AbortController().signal;
const always = (): Promise<void> => Promise.resolve();
const PIPELINES = ['a', 'b', 'c'] as const;
const TABLE: RouteTable = {
  pipelines: PIPELINES,
  entries: PIPELINES.map((pipeline) => ({
    pipeline,
    from: { kind: 'body', path: ['for'] },
    equals: [pipeline],
  })),
  otherwise: null,
};
const LINES: Opening = { ...AS_IT_IS, records: 'array' };

async function shared({
  inFlight = 100,
  opening = AS_IT_IS,
  fifo = false,
  parts = false,
  table = TABLE,
} = {}) {
  const clock = new VirtualClock();
  const sqs = new FakeSqs({ clock, fifo });
  const events: [string, SourceEvent][] = [];
  let source: SharedSource | null = null;
  const open = async (): Promise<SqsSource> =>
    createSource({
      client: sqs,
      clock,
      opening,
      receivers: 2,
      waitTimeS: 1,
      visibilityTimeoutS: 300,
      inFlight: inFlight * PIPELINES.length,
      inFlightBytes: 1 << 20,
      admit: async (signal) => source?.admit(signal),
      ...(parts ? { pointers: fakePointers(clock) } : {}),
    });
  source = new SharedSource(
    {
      table,
      clock,
      open,
      limits: () => ({ inFlight, inFlightBytes: 1 << 20 }),
      onEvent: (pipeline, event) => events.push([pipeline, event]),
    },
    await open(),
  );
  return { clock, sqs, source, events };
}

const send = (sqs: FakeSqs, count: number, pipeline: string): readonly string[] =>
  sqs.send(...Array.from({ length: count }, (_, n) => ({ body: JSON.stringify({ for: pipeline, n }) })));

const receiptsOf = (deliveries: readonly Delivery[]): readonly Receipt[] =>
  deliveries.map(({ receipt }) => receipt);
const recordsOf = (deliveries: readonly Delivery[]): readonly string[] =>
  deliveries.flatMap(({ records }) => records.map(({ body }) => body));

/** Receives to the end, and does with what came what it is told. */
async function drained(
  branch: SqsSource,
  settle: (deliveries: readonly Delivery[]) => Promise<void> = (some) => branch.ack(receiptsOf(some)),
): Promise<readonly Delivery[]> {
  const all: Delivery[] = [];
  for await (const some of branch.receive('until_empty', never)) {
    all.push(...some);
    await settle(some);
  }
  return all;
}

test('each pipeline sees what is its own, once, and the queue is empty when all have settled', async () => {
  const { clock, sqs, source, events } = await shared();
  for (const [index, pipeline] of PIPELINES.entries()) send(sqs, 10 + index, pipeline);
  const branches = await Promise.all(PIPELINES.map((name) => source.openBranch(name, always)));
  const seen = await clock.finish(Promise.all(branches.map((branch) => drained(branch))));
  for (const [index, pipeline] of PIPELINES.entries()) {
    const bodies = recordsOf(seen[index] ?? []);
    assert.equal(new Set(bodies).size, 10 + index);
    assert.ok(bodies.every((body) => body.includes(`"for":"${pipeline}"`)));
    const of = (kind: 'received' | 'deleted'): number =>
      events.reduce(
        (sum, [name, event]) => sum + (name === pipeline && event.kind === kind ? event.messages : 0),
        0,
      );
    assert.deepEqual([of('received'), of('deleted')], [10 + index, 10 + index]);
  }
  assert.deepEqual([sqs.left, sqs.deleted.length], [[], 33]);
});

test('a message of several pipelines is deleted when the last of them has settled its records, and not before', async () => {
  const { clock, sqs, source } = await shared({ opening: LINES });
  sqs.send({ body: '[{"for":"a","n":1},{"for":"b","n":2},{"for":"a","n":3}]' });
  const [a, b] = await Promise.all(['a', 'b'].map((name) => source.openBranch(name, always)));
  assert.ok(a && b);
  const nothing = (): Promise<void> => Promise.resolve();
  const [ofA, ofB] = await clock.finish(Promise.all([drained(a, nothing), drained(b, nothing)]));
  assert.deepEqual(recordsOf(ofA), ['{"for":"a","n":1}', '{"for":"a","n":3}']);
  assert.deepEqual(recordsOf(ofB), ['{"for":"b","n":2}']);
  await clock.finish(a.ack(receiptsOf(ofA)));
  assert.deepEqual(sqs.deleted, []);
  await clock.finish(b.ack(receiptsOf(ofB)));
  assert.equal(sqs.deleted.length, 1);
});

test('one that gives its records back gives back the message, though the other has settled its own', async () => {
  const { clock, sqs, source } = await shared({ opening: LINES });
  sqs.send({ body: '[{"for":"a"},{"for":"b"}]' });
  const [a, b] = await Promise.all(['a', 'b'].map((name) => source.openBranch(name, always)));
  assert.ok(a && b);
  const nothing = (): Promise<void> => Promise.resolve();
  const [ofA, ofB] = await clock.finish(Promise.all([drained(a, nothing), drained(b, nothing)]));
  await clock.finish(b.release(receiptsOf(ofB), () => 60_000));
  await clock.finish(a.ack(receiptsOf(ofA)));
  assert.deepEqual([sqs.deleted, sqs.visible], [[], []]);
  await clock.advance(60_000);
  assert.equal(sqs.visible.length, 1);
});

test('what comes for a pipeline that does not receive waits for it, and costs one receive', async () => {
  const { clock, sqs, source } = await shared();
  send(sqs, 20, 'a');
  send(sqs, 30, 'b');
  const [a, b] = await Promise.all(['a', 'b'].map((name) => source.openBranch(name, always)));
  assert.ok(a && b);
  assert.equal((await clock.finish(drained(a))).length, 20);
  assert.equal(sqs.deleted.length, 20);
  // Longer than a visibility timeout: it is kept from becoming visible.
  await clock.advance(20 * 60_000);
  const late = await clock.finish(drained(b));
  assert.equal(late.length, 30);
  assert.ok(late.every(({ receipt }) => receipt.receiveCount === 1));
  assert.deepEqual(sqs.left, []);
});

test('what finds no room goes back for long, the longer the more often, and the others are not kept waiting', async () => {
  const { clock, sqs, source } = await shared({ inFlight: 20 });
  send(sqs, 200, 'b');
  send(sqs, 50, 'a');
  const [a] = await Promise.all(['a', 'b'].map((name) => source.openBranch(name, always)));
  assert.ok(a);
  const startedAt = clock.now();
  assert.equal((await clock.finish(drained(a))).length, 50);
  assert.ok(clock.now() - startedAt < 10_000);
  // Nothing of it is visible for a quarter of an hour, and after the second receive for an hour.
  await clock.advance(14 * 60_000);
  assert.deepEqual(sqs.visible, []);
  await clock.advance(2 * 60_000);
  const away = sqs.visible.length;
  assert.ok(away >= 150 && away <= 180, `${away} of 200 had gone back`);
  await clock.finish(drained(a));
  await clock.advance(59 * 60_000);
  assert.deepEqual(sqs.visible, []);
  // What is stopped gives back at once what was only waiting.
  await clock.finish(source.stop());
  assert.equal(sqs.visible.length, 200 - away);
});

test('a pipeline that is slow is waited for; one that settles nothing is not, after a while', async () => {
  const { clock, sqs, source } = await shared({ inFlight: 20 });
  send(sqs, 100, 'b');
  send(sqs, 100, 'a');
  const [a, b] = await Promise.all(['a', 'b'].map((name) => source.openBranch(name, always)));
  assert.ok(a && b);
  const slowly = async (some: readonly Delivery[]): Promise<void> => {
    await clock.sleep(2_000);
    await b.ack(receiptsOf(some));
  };
  await clock.finish(Promise.all([drained(a), drained(b, slowly)]));
  assert.deepEqual(sqs.left, []);
  assert.equal(sqs.handedOut.length, 200, 'nothing was sent away');
  // WHEN it hangs with all that it may hold
  send(sqs, 100, 'b');
  send(sqs, 100, 'a');
  const held: Receipt[] = [];
  const hanging = async (some: readonly Delivery[]): Promise<void> => void held.push(...receiptsOf(some));
  const startedAt = clock.now();
  const [ofA] = await clock.finish(Promise.all([drained(a), drained(b, hanging)]));
  assert.equal(ofA.length, 100);
  assert.ok(clock.now() - startedAt < 60_000, `${clock.now() - startedAt} ms`);
  assert.ok(held.length >= 20 && held.length < 60, `it was given ${held.length}`);
});

test('a pipeline whose intake is barred gets nothing, and the queue is received from as long as one may receive', async () => {
  const { clock, sqs, source } = await shared();
  send(sqs, 10, 'a');
  send(sqs, 10, 'b');
  const barred = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
  const [a, b] = [await source.openBranch('a', always), await source.openBranch('b', barred)];
  const stop = new AbortController();
  const seenByB: Delivery[] = [];
  const receiving = (async () => {
    for await (const some of b.receive('until_empty', stop.signal)) seenByB.push(...some);
  })();
  await clock.advance(5_000);
  assert.equal(sqs.calls.receive, 0, 'nothing is received while none may receive');
  assert.equal((await clock.finish(drained(a))).length, 10);
  stop.abort();
  await clock.finish(receiving);
  assert.deepEqual(seenByB, []);
});

test('who breaks down gives back what it has, and goes on later with what waited meanwhile', async () => {
  const { clock, sqs, source } = await shared();
  send(sqs, 10, 'a');
  send(sqs, 10, 'b');
  const a = await source.openBranch('a', always);
  let b = await source.openBranch('b', always);
  const nothing = (): Promise<void> => Promise.resolve();
  const [, ofB] = await clock.finish(Promise.all([drained(a), drained(b, nothing)]));
  await clock.finish(b.stop('hard'));
  assert.equal(sqs.deleted.length, 10);
  await clock.advance(30_000);
  assert.equal(sqs.visible.length, 10);
  // Its receipts are of no use any more.
  await clock.finish(b.ack(receiptsOf(ofB)));
  send(sqs, 5, 'a');
  assert.equal((await clock.finish(drained(a))).length, 5);
  b = await source.openBranch('b', always);
  assert.equal((await clock.finish(drained(b))).length, 10);
  assert.deepEqual(sqs.left, []);
});

test('when all have broken down the queue is opened anew for who goes on', async () => {
  const { clock, sqs, source } = await shared();
  for (const name of PIPELINES) await (await source.openBranch(name, always)).stop('hard');
  send(sqs, 10, 'c');
  const c = await source.openBranch('c', always);
  assert.equal((await clock.finish(drained(c))).length, 10);
  assert.deepEqual(sqs.left, []);
});

test('a queue that may not be read ends it for all', async () => {
  const { clock, sqs, source } = await shared();
  sqs.faults.before = () => new PipelineError('source_unfit', 'SQS refused ReceiveMessage');
  const branches = await Promise.all(PIPELINES.map((name) => source.openBranch(name, always)));
  const ends = await clock.finish(Promise.allSettled(branches.map((branch) => drained(branch))));
  assert.deepEqual(
    ends.map((end) => end.status === 'rejected' && (end.reason as PipelineError).code),
    ['source_unfit', 'source_unfit', 'source_unfit'],
  );
});

test('a message that holds no records is deleted', async () => {
  const { clock, sqs, source } = await shared({ opening: LINES });
  sqs.send({ body: '[]' });
  const a = await source.openBranch('a', always);
  assert.deepEqual(await clock.finish(drained(a)), []);
  assert.equal(sqs.deleted.length, 1);
});

test('of a message in parts each pipeline gets its own, and the end of it; all of them settle it', async () => {
  const { clock, sqs, source } = await shared({ parts: true });
  const one = (pipeline: string, n: number): string => JSON.stringify({ for: pipeline, n });
  sqs.send({ body: partedBody([[one('a', 1)], [one('b', 2), one('b', 3)], [one('a', 4)]]) });
  const [a, b] = await Promise.all(['a', 'b'].map((name) => source.openBranch(name, always)));
  assert.ok(a && b);
  const nothing = (): Promise<void> => Promise.resolve();
  const [ofA, ofB] = await clock.finish(Promise.all([drained(a, nothing), drained(b, nothing)]));
  assert.deepEqual(recordsOf(ofA), [one('a', 1), one('a', 4)]);
  assert.deepEqual(recordsOf(ofB), [one('b', 2), one('b', 3)]);
  for (const some of [ofA, ofB]) {
    assert.deepEqual(
      some.map(({ receipt }) => receipt.more === true),
      some.map((_, index) => index < some.length - 1),
    );
  }
  await clock.finish(a.ack(receiptsOf(ofA).slice(-1)));
  assert.deepEqual(sqs.deleted, []);
  await clock.finish(b.ack(receiptsOf(ofB).slice(-1)));
  assert.equal(sqs.deleted.length, 1);
});

test('what one receive returned of a FIFO group comes to each pipeline in one piece and in order', async () => {
  const { clock, sqs, source } = await shared({ fifo: true });
  sqs.send(
    ...Array.from({ length: 30 }, (_, n) => ({
      body: JSON.stringify({ for: n % 3 === 0 ? 'a' : 'b', n }),
      groupId: 'g',
    })),
  );
  const [a, b] = await Promise.all(['a', 'b'].map((name) => source.openBranch(name, always)));
  assert.ok(a && b);
  const pieces: number[] = [];
  const [ofA, ofB] = await clock.finish(
    Promise.all([
      drained(a),
      drained(b, async (some) => {
        pieces.push(some.length);
        await b.ack(receiptsOf(some));
      }),
    ]),
  );
  const numbers = (some: readonly Delivery[]): readonly number[] =>
    recordsOf(some).map((body) => (JSON.parse(body) as { n: number }).n);
  assert.deepEqual(
    numbers(ofA),
    numbers(ofA).toSorted((x, y) => x - y),
  );
  assert.deepEqual(
    numbers(ofB),
    numbers(ofB).toSorted((x, y) => x - y),
  );
  assert.deepEqual([ofA.length, ofB.length, pieces.length], [10, 20, 3]);
  assert.deepEqual(sqs.left, []);
});
