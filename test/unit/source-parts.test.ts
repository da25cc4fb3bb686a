import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Delivery } from '../../src/batch.js';
import { PipelineError } from '../../src/errors.js';
import type { Piece } from '../../src/source/parts.js';
import { createSource } from '../../src/source/sqs-source.js';
import { FakeSqs } from '../simulation/fake-sqs.js';
import { VirtualClock } from '../simulation/virtual-clock.js';
import { AS_IT_IS } from '../support/opening.js';

const never = new AbortController().signal;

/** A queue whose messages `in parts N` point to N pieces of one record each; `onPiece` is called before each is read. */
function set(
  onPiece: (piece: number) => Promise<void> | void = () => undefined,
  { fifo = false, receivers = 1 }: { readonly fifo?: boolean; readonly receivers?: number } = {},
) {
  const clock = new VirtualClock();
  const sqs = new FakeSqs({ clock, fifo });
  const read: string[] = [];
  async function* pieces(id: string, count: number, halt: AbortSignal): AsyncGenerator<Piece> {
    for (let piece = 0; piece < count; piece += 1) {
      await onPiece(piece);
      if (halt.aborted) throw new PipelineError('canceled', 'cut');
      read.push(`${id}#${piece}`);
      yield [{ id: `${id}#${piece}`, body: `{"n":${piece}}` }];
    }
  }
  const source = createSource({
    client: sqs,
    clock,
    opening: AS_IT_IS,
    pointers: {
      ready: async () => undefined,
      fetch: async (message) => message,
      follow: ({ envelope: { messageId, body } }, halt) =>
        body.startsWith('in parts ') ? pieces(messageId, Number(body.slice(9)), halt) : null,
    },
    receivers,
    waitTimeS: 1,
    visibilityTimeoutS: 30,
    inFlight: 100,
    inFlightBytes: 1 << 20,
  });
  return { clock, sqs, source, read };
}

function gateOf(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let open: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { promise, resolve: () => open() };
}

const idsOf = (deliveries: readonly Delivery[]): readonly string[] =>
  deliveries.flatMap(({ records }) => records.map(({ id }) => id));

describe('a message that points to its records', () => {
  test('comes in parts of one handle, of which all but the last say that more follow; others come first', async () => {
    const { clock, sqs, source } = set();
    const [parted = '', plain = '', empty = ''] = sqs.send(
      { body: 'in parts 3' },
      { body: '{}' },
      { body: 'in parts 0' },
    );
    const all: Delivery[] = [];
    const drain = (async () => {
      for await (const received of source.receive('until_empty', never)) {
        all.push(...received);
        const whole = received.filter(({ receipt }) => receipt.more !== true);
        await source.ack(whole.map(({ receipt }) => receipt));
      }
    })();
    await clock.finish(drain);
    assert.deepEqual(
      all.map(({ records, receipt: { messageId, more, bytes } }) => ({
        id: messageId,
        records: records.map(({ id }) => id),
        more,
        bytes,
      })),
      [
        { id: plain, records: [plain], more: undefined, bytes: 2 },
        { id: parted, records: [`${parted}#0`], more: true, bytes: 7 },
        { id: parted, records: [`${parted}#1`], more: true, bytes: 7 },
        { id: parted, records: [`${parted}#2`], more: undefined, bytes: 7 },
        { id: empty, records: [], more: undefined, bytes: 0 },
      ],
    );
    assert.equal(new Set(all.slice(1, 4).map(({ receipt }) => receipt.handle)).size, 1);
    assert.deepEqual(sqs.left, []);
    assert.equal(source.holding.messages, 0);
  });

  test('stays invisible while it is read, and is read no faster than its parts are taken', async () => {
    const { clock, sqs, source, read } = set();
    sqs.send({ body: 'in parts 9' });
    const parts = source.receive('continuous', never)[Symbol.asyncIterator]();
    await clock.finish(parts.next());
    await clock.advance(300_000);
    // One is offered, and one is known to follow it.
    assert.ok(read.length <= 4, `${read.length} were read`);
    assert.equal(sqs.handedOut.length, 1);
    await clock.finish((async () => void (await parts.return?.()))());
  });

  test('keeps nobody from receiving while it is read, though all other receivers may have been at rest', async () => {
    const { promise: gate, resolve: open } = gateOf();
    const { clock, sqs, source } = set(() => gate, { receivers: 3 });
    const stop = new AbortController();
    const ids: string[] = [];
    const drain = (async () => {
      for await (const received of source.receive('continuous', stop.signal)) ids.push(...idsOf(received));
    })();
    await clock.advance(60_000);
    sqs.send({ body: 'in parts 2' });
    await clock.advance(5_000);
    const [other = ''] = sqs.send({ body: '{}' });
    await clock.advance(5_000);
    assert.deepEqual(ids, [other]);
    open();
    await clock.advance(5_000);
    assert.equal(ids.length, 3);
    stop.abort();
    await clock.finish(drain);
  });

  test('is read to its end after the run receives no more, and then receiving ends', async () => {
    const stop = new AbortController();
    const { clock, sqs, source, read } = set((piece) => {
      if (piece === 2) stop.abort();
    });
    sqs.send({ body: 'in parts 6' });
    const ids: string[] = [];
    const drain = (async () => {
      for await (const received of source.receive('continuous', stop.signal, never))
        ids.push(...idsOf(received));
    })();
    await clock.finish(drain);
    assert.equal(ids.length, 6);
    assert.deepEqual(ids, read);
  });

  test('is left unended when it is halted, and messages not begun are given back at once', async () => {
    const halt = new AbortController();
    const { clock, sqs, source } = set((piece) => {
      if (piece === 3) halt.abort();
    });
    const [begun = '', other = ''] = sqs.send({ body: 'in parts 6' }, { body: 'in parts 2' });
    const all: Delivery[] = [];
    const drain = (async () => {
      for await (const received of source.receive('continuous', never, halt.signal)) all.push(...received);
    })();
    await clock.finish(drain);
    assert.deepEqual(
      all.map(({ receipt }) => [receipt.messageId, receipt.more]),
      [
        [begun, true],
        [begun, true],
      ],
    );
    assert.deepEqual(sqs.visible, [other]);
    assert.equal(source.holding.messages, 1, 'the consumer is to settle what it has begun');
  });

  test('whose reading fails for good ends the receiving with that, and is given back if nothing of it was taken', async () => {
    const { clock, sqs, source } = set(() => {
      throw new PipelineError('source_unfit', 'made up');
    });
    const ids = sqs.send({ body: 'in parts 1' }, { body: 'in parts 1' });
    const drain = (async () => {
      for await (const _ of source.receive('until_empty', never)) assert.fail('nothing can be read');
    })();
    await assert.rejects(clock.finish(drain), { code: 'source_unfit' });
    assert.deepEqual(sqs.visible, ids);
    assert.equal(source.holding.messages, 0);
  });

  test('is given back by nobody but the consumer, once it has taken a part', async () => {
    const { clock, sqs, source } = set((piece) => {
      if (piece === 2) throw new PipelineError('source_unfit', 'made up');
    });
    sqs.send({ body: 'in parts 4' });
    const taken: Delivery[] = [];
    const drain = (async () => {
      for await (const received of source.receive('until_empty', never)) taken.push(...received);
    })();
    await assert.rejects(clock.finish(drain), { code: 'source_unfit' });
    assert.deepEqual(
      taken.map(({ receipt }) => receipt.more),
      [true],
    );
    assert.deepEqual(sqs.visible, []);
    assert.equal(source.holding.messages, 1);
    const [part] = taken;
    assert.ok(part);
    await clock.finish(source.release([part.receipt], () => 0));
    assert.equal(sqs.visible.length, 1);
  });
});

test('of a FIFO group a message that comes in parts goes alone, and what comes behind it is left to come again', async () => {
  const { clock, sqs, source } = set(() => undefined, { fifo: true });
  const bodies = ['{}', 'in parts 2', '{}', 'in parts 2', '{}'];
  const names = new Map<string, string>();
  for (const [index, id] of sqs
    .send(...bodies.map((body, index) => ({ body, groupId: index < 3 ? 'a' : 'b' })))
    .entries())
    names.set(id, `${index < 3 ? 'a' : 'b'}${index < 3 ? index : index - 3}`);
  const seen: string[] = [];
  /** Messages that were handed on and are not settled. */
  const open = new Map<string, Delivery>();
  const groupOf = (id: string): string => names.get(id)?.charAt(0) ?? '';
  const drain = (async () => {
    for await (const received of source.receive('until_empty', never)) {
      for (const delivery of received) {
        const { messageId } = delivery.receipt;
        for (const other of open.keys())
          assert.ok(other === messageId || groupOf(other) !== groupOf(messageId), 'two of a group at once');
        open.set(messageId, delivery);
        seen.push(names.get(messageId) ?? '');
        if (delivery.receipt.more === true) continue;
        // Long after it was handed on, as a batch is committed.
        void clock.sleep(2_000).then(async () => {
          open.delete(messageId);
          await source.ack([delivery.receipt]);
        });
      }
    }
  })();
  await clock.finish(drain);
  // The last ack.
  await clock.advance(2_000);
  assert.deepEqual(sqs.left, []);
  const inOrder = (group: string): readonly string[] => seen.filter((name) => name.startsWith(group));
  assert.deepEqual(
    [inOrder('a'), inOrder('b')],
    [
      ['a0', 'a1', 'a1', 'a2'],
      ['b0', 'b0', 'b1'],
    ],
  );
});
