import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { RawMessage } from '../../src/source/queue-client.js';
import { startSqs } from '../../src/embedded/sqs.js';
import { createSqsClient } from '../../src/source/sqs.js';
import { type TestSqs, startTestSqs } from '../support/sqs.js';

let sqs: TestSqs;
const never = new AbortController().signal;

before(async () => {
  sqs = await startTestSqs();
});

after(() => sqs.stop());

async function receiveAll(name: string, visibilityS = 30): Promise<readonly RawMessage[]> {
  const client = sqs.client(name);
  const all: RawMessage[] = [];
  for (;;) {
    const received = await client.receive({ maxMessages: 10, waitS: 0, visibilityS }, never);
    if (received.length === 0) return all;
    all.push(...received);
  }
}

const remembered = ({ handle: _handle, receiveCount: _count, ...rest }: RawMessage): object => rest;
const byId = (a: RawMessage, b: RawMessage): number => (a.id < b.id ? -1 : 1);

test('a deleted message comes again under its id and timestamp, as a delivery of its own', async () => {
  const name = await sqs.queue();
  const client = sqs.client(name);
  const ids = await sqs.server.send(
    name,
    Array.from({ length: 25 }, (_, index) => ({ body: `m${index}`, attributes: { n: String(index) } })),
  );
  const first = await receiveAll(name);
  for (let from = 0; from < first.length; from += 10) {
    await client.deleteBatch(first.slice(from, from + 10).map((message) => message.handle));
  }
  assert.deepEqual(await receiveAll(name), []);
  const chosen = ids.filter((_, index) => index % 5 === 0);

  assert.equal(await sqs.server.redeliver(name, chosen), 5);

  const second = await receiveAll(name);
  assert.deepEqual(
    second.toSorted(byId).map(remembered),
    first
      .filter((message) => chosen.includes(message.id))
      .toSorted(byId)
      .map(remembered),
  );
  assert.ok(second.every((message) => message.receiveCount === 2));
  assert.ok(second.every((message) => first.every((earlier) => earlier.handle !== message.handle)));
  // Its visibility and its deletion are its own.
  const handles = second.map((message) => message.handle);
  await client.changeVisibilityBatch(handles.map((handle) => ({ handle, seconds: 0 })));
  const third = await receiveAll(name);
  assert.deepEqual(third.map((message) => message.id).toSorted(), chosen.toSorted());
  assert.ok(third.every((message) => message.receiveCount === 3));
  await client.deleteBatch(third.map((message) => message.handle));
  const depth = await client.attributes();
  assert.deepEqual([depth?.visible, depth?.inFlight], [0, 0]);
});

test('a poll that waits never sees a redelivery under another name', async () => {
  const name = await sqs.queue();
  const client = sqs.client(name);
  const [id] = await sqs.server.send(name, [{ body: 'a' }]);
  await receiveAll(name);
  const waiting = client.receive({ maxMessages: 10, waitS: 20, visibilityS: 30 }, never);
  while (sqs.proxy.calls.at(-1)?.input['WaitTimeSeconds'] !== 20)
    await new Promise((resolve) => setImmediate(resolve));
  await sqs.server.redeliver(name, 'all');
  assert.deepEqual(
    (await waiting).map((message) => message.id),
    [id],
  );
});

test('FIFO messages come again in their group under their sequence number', async () => {
  const name = await sqs.queue({}, '.fifo');
  const client = sqs.client(name);
  await sqs.server.send(name, [
    { body: 'a', groupId: 'g' },
    { body: 'b', groupId: 'h' },
  ]);
  const first = await receiveAll(name);
  await client.deleteBatch(first.map((message) => message.handle));
  await sqs.server.redeliver(name, 'all');
  const second = await receiveAll(name);
  assert.deepEqual(second.toSorted(byId).map(remembered), first.toSorted(byId).map(remembered));
  assert.ok(second.every((message) => message.sequenceNumber !== undefined));
});

test('only what was received can come again, and only so many are remembered', async () => {
  const server = await startSqs({ remember: 3 });
  try {
    await server.createQueue('q');
    const ids = await server.send(
      'q',
      Array.from({ length: 5 }, (_, index) => ({ body: `m${index}` })),
    );
    await assert.rejects(server.redeliver('q', [ids[0] ?? '']), {
      code: 'usage',
      message: /was not received/,
    });
    const answer = await fetch(server.endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'AmazonSQS.ReceiveMessage' },
      body: JSON.stringify({ QueueUrl: await server.queueUrl('q'), MaxNumberOfMessages: 10 }),
    });
    assert.equal(answer.status, 200);
    await answer.arrayBuffer();
    assert.equal(await server.redeliver('q', 'all'), 3);
    await assert.rejects(server.redeliver('q', [ids[0] ?? '']), { code: 'usage' });
    await assert.rejects(server.redeliver('none', 'all'), { code: 'usage', message: /QueueDoesNotExist/ });
  } finally {
    await server.stop();
    await server.stop();
  }
});

test('it listens on loopback only, and says when a port is taken', async () => {
  assert.match(sqs.server.endpoint, /^http:\/\/127\.0\.0\.1:\d+$/);
  await assert.rejects(startSqs({ port: sqs.server.port }), { code: 'usage', message: /port \d+/ });
});

test('messages are sent in order, also when they fill many calls', async () => {
  const name = await sqs.queue();
  const bodies = Array.from(
    { length: 23 },
    (_, index) => `${index}:${'x'.repeat(index % 4 === 0 ? 400_000 : 10)}`,
  );
  const ids = await sqs.server.send(
    name,
    bodies.map((body) => ({ body })),
  );
  const received = new Map((await receiveAll(name)).map((message) => [message.id, message.body]));
  assert.deepEqual(
    ids.map((id) => received.get(id)),
    bodies,
  );
});

test('what comes again keeps its id though it is forgotten before it is handed out', async () => {
  const server = await startSqs({ remember: 3 });
  const client = createSqsClient({
    queue: 'q',
    region: server.region,
    endpoint: server.endpoint,
    receivers: 1,
  });
  const receive = async (): Promise<readonly RawMessage[]> =>
    client.receive({ maxMessages: 10, waitS: 0, visibilityS: 30 }, never);
  try {
    await server.createQueue('q');
    const old = await server.send('q', [{ body: 'a' }, { body: 'b' }, { body: 'c' }]);
    const first = await receive();
    await client.deleteBatch(first.map(({ handle }) => handle));
    // Handed out before the copy: each takes the place of one that is remembered.
    const fresh = await server.send('q', [{ body: 'd' }, { body: 'e' }, { body: 'f' }]);
    await server.redeliver('q', old.slice(0, 1));
    const second = [...(await receive()), ...(await receive())];
    assert.deepEqual(second.map(({ id }) => id).toSorted(), [...fresh, ...old.slice(0, 1)].toSorted());
  } finally {
    client.close();
    await server.stop();
  }
});
