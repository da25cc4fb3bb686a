import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { type Socket, createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { Delivery } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { outlast } from '../../src/policy.js';
import type { QueueAttributes, QueueClient } from '../../src/source/queue-client.js';
import { queueMissing } from '../../src/source/sqs-errors.js';
import { createSqsClient } from '../../src/source/sqs.js';
import { type SourceOptions, type SqsSource, createSource } from '../../src/source/sqs-source.js';
import type { SqsFault } from '../../src/proof/sqs-fault-proxy.js';
import { type TestSqs, startTestSqs } from '../support/sqs.js';
import { AS_IT_IS } from '../support/opening.js';

const never = new AbortController().signal;
const poll = { maxMessages: 10, waitS: 0, visibilityS: 30 };

for (const transport of ['lean', 'sdk'] as const) {
  describe(`SQS by the transport ${transport}`, () => {
    let sqs: TestSqs;
    before(async () => {
      sqs = await startTestSqs(transport);
    });

    after(() => sqs.stop());

    function sourceOf(client: QueueClient, options: Partial<SourceOptions> = {}): SqsSource {
      return createSource({
        client,
        clock: systemClock,
        opening: AS_IT_IS,
        receivers: 2,
        waitTimeS: 1,
        visibilityTimeoutS: 30,
        inFlight: 1_000,
        inFlightBytes: 10_000_000,
        ...options,
      });
    }

    async function drained(source: SqsSource): Promise<readonly Delivery[]> {
      const all: Delivery[] = [];
      for await (const received of source.receive('until_empty', never)) all.push(...received);
      return all;
    }

    /** Applies the faults to the next calls of one action on one queue, one by one, then none. */
    function inject(queue: string, action: string, faults: readonly (SqsFault | null)[]): () => number {
      const left = [...faults];
      let hits = 0;
      const earlier = sqs.proxy.fault;
      sqs.proxy.fault = (call) => {
        if (call.action !== action || !String(call.input['QueueUrl']).endsWith(`/${queue}`))
          return earlier(call);
        const fault = left.shift() ?? null;
        if (fault !== null) hits += 1;
        return fault;
      };
      return () => hits;
    }

    const onQueue = (queue: string, action: string) =>
      sqs.proxy.of(action).filter((call) => String(call.input['QueueUrl']).endsWith(`/${queue}`));

    test('a queue is found by its name, its ARN and its URL', async () => {
      const name = await sqs.queue({ VisibilityTimeout: '77' });
      await sqs.server.send(name, [{ body: 'a', attributes: { k: 'v' } }]);
      for (const address of [name, sqs.server.queueArn(name), await sqs.server.queueUrl(name)]) {
        const attributes = await sqs.client(address).attributes();
        assert.equal(attributes?.arn, sqs.server.queueArn(name));
        assert.equal(attributes.visibilityTimeoutS, 77);
        assert.deepEqual([attributes.visible, attributes.fifo, attributes.redrive], [1, false, null]);
      }
      assert.equal(onQueue(name, 'GetQueueAttributes').length, 3);
      const owners = sqs.proxy.of('GetQueueUrl').map((call) => call.input['QueueOwnerAWSAccountId']);
      assert.ok(owners.includes('000000000000'));
    });

    test('a redrive policy and a FIFO queue are recognised', async () => {
      const dlq = await sqs.queue();
      const redrive = { deadLetterTargetArn: sqs.server.queueArn(dlq), maxReceiveCount: '3' };
      const name = await sqs.queue({ RedrivePolicy: JSON.stringify(redrive) });
      const fifo = await sqs.queue({}, '.fifo');
      assert.deepEqual((await sqs.client(name).attributes())?.redrive, {
        deadLetterArn: sqs.server.queueArn(dlq),
        maxReceiveCount: 3,
      });
      assert.equal((await sqs.client(fifo).attributes())?.fifo, true);
    });

    test('a queue that is created late is waited for, then read', async () => {
      const name = 'created-late';
      const client = sqs.client(name);
      assert.equal(await client.attributes(), null);
      await assert.rejects(client.receive(poll, never), {
        code: 'sqs_unavailable',
        message: /created-late does not exist/,
      });
      const waits: unknown[] = [];
      let told = (): void => undefined;
      const secondWait = new Promise<void>((resolve) => {
        told = resolve;
      });
      const look = async (): Promise<QueueAttributes> => {
        const attributes = await client.attributes();
        if (attributes === null) throw queueMissing(client.queue);
        return attributes;
      };
      const onWait = (error: unknown): void => {
        waits.push(error);
        if (waits.length === 2) told();
      };
      const found = outlast(systemClock, look, never, onWait, 30_000);
      await secondWait;
      await sqs.server.createQueue(name);
      assert.equal((await found).visible, 0);
      await sqs.server.send(name, [{ body: 'a' }]);
      const [message] = await client.receive(poll, never);
      assert.equal(message?.body, 'a');
    });

    test('all that a message carries arrives, whatever characters are in it', async () => {
      const name = await sqs.queue();
      const body = JSON.stringify({ text: 'naïve 日本 \u0000 \\N \t', big: '9'.repeat(300_000) });
      const attributes = { tenant: 'a', __proto__x: 'b' };
      const from = Date.now();
      const [id] = await sqs.server.send(name, [{ body, attributes }]);
      const [message] = await sqs.client(name).receive(poll, never);
      assert.ok(message);
      assert.deepEqual(
        { ...message, handle: '', sentAt: 0 },
        { id, body, attributes, receiveCount: 1, handle: '', sentAt: 0 },
      );
      assert.ok(message.sentAt >= from && message.sentAt <= Date.now());
    });

    test('entry ids are indexes, so the same message may be twice in one call, and answers find their entries', async () => {
      const name = await sqs.queue();
      const client = sqs.client(name);
      await sqs.server.send(name, [{ body: 'a' }, { body: 'b' }]);
      const received = await client.receive(poll, never);
      const handles = received.map((message) => message.handle);
      const all = [...handles, ...handles, 'stale'];
      inject(name, 'ChangeMessageVisibilityBatch', [
        { kind: 'fail_entries', code: 'InternalError', ids: () => ['1'] },
        null,
      ]);
      const changes = all.map((handle) => ({ handle, seconds: 60 }));
      assert.deepEqual(await client.changeVisibilityBatch(changes), [
        'done',
        'failed',
        'done',
        'done',
        'gone',
      ]);
      inject(name, 'DeleteMessageBatch', [
        { kind: 'fail_entries', code: 'ServiceUnavailable', ids: () => ['0', '4'] },
      ]);
      assert.deepEqual(await client.deleteBatch(all), ['failed', 'done', 'done', 'done', 'failed']);
      const [call] = onQueue(name, 'DeleteMessageBatch');
      assert.ok(call);
      assert.deepEqual(
        (call.input['Entries'] as readonly { Id: string }[]).map((entry) => entry.Id),
        ['0', '1', '2', '3', '4'],
      );
    });

    test('an entry that SQS does not answer for has failed', async () => {
      const name = await sqs.queue();
      const client = sqs.client(name);
      const forget = (answer: string): string => answer.replace('{"Id":"1"},', '');
      inject(name, 'DeleteMessageBatch', [{ kind: 'answer', change: forget }]);
      assert.deepEqual(await client.deleteBatch(['a', 'b', 'c']), ['done', 'failed', 'done']);
    });

    test("an endpoint from the SDK's own environment is used, whatever host the queue's URL has", async () => {
      const name = await sqs.queue();
      process.env['AWS_ENDPOINT_URL_SQS'] = sqs.endpoint;
      try {
        const client = createSqsClient({
          queue: name,
          region: 'us-east-1',
          endpoint: null,
          receivers: 1,
          transport,
        });
        assert.equal((await client.attributes())?.visible, 0);
        client.close();
      } finally {
        delete process.env['AWS_ENDPOINT_URL_SQS'];
      }
      assert.equal(onQueue(name, 'GetQueueAttributes').length, 1);
    });

    test('messages whose delete failed, in part or wholly, or whose answer was lost, are deleted in the end', async () => {
      const name = await sqs.queue();
      const source = sourceOf(sqs.client(name));
      await sqs.server.send(
        name,
        Array.from({ length: 30 }, (_, index) => ({ body: `m${index}` })),
      );
      const received = await drained(source);
      const hits = inject(name, 'DeleteMessageBatch', [
        {
          kind: 'fail_entries',
          code: 'InternalError',
          ids: (ids) => ids.filter((id) => Number(id) % 2 === 0),
        },
        { kind: 'fail_entries', code: 'InternalError', ids: (ids) => ids },
        { kind: 'error', status: 503, type: 'com.amazonaws.sqs#ServiceUnavailable' },
        { kind: 'lost_answer' },
        { kind: 'reset' },
        { kind: 'fail_entries', code: 'InternalError', ids: () => ['0'] },
      ]);

      await source.ack(received.map((delivery) => delivery.receipt));

      assert.equal(hits(), 6);
      assert.deepEqual(await source.depth(), { visible: 0, inFlight: 0, delayed: 0 });
      assert.equal(source.holding.messages, 0);
      await source.stop();
    });

    test('a throttle, a 5xx, a reset and a broken checksum each cost a pause, and no message', async () => {
      const name = await sqs.queue();
      const waits: string[] = [];
      const source = sourceOf(sqs.client(name), {
        receivers: 1,
        visibilityTimeoutS: 1,
        onEvent: (event) => {
          if (event.kind === 'waiting') waits.push(event.error.message);
        },
      });
      const ids = await sqs.server.send(name, [{ body: 'a' }, { body: 'b' }]);
      const corrupt = (answer: string): string =>
        answer.replace(/"MD5OfBody":"[0-9a-f]{8}/, '"MD5OfBody":"00000000');
      inject(name, 'ReceiveMessage', [
        { kind: 'error', status: 400, type: 'com.amazonaws.sqs#RequestThrottled' },
        { kind: 'error', status: 500, type: 'com.amazonaws.sqs#InternalFailure' },
        { kind: 'reset' },
        { kind: 'answer', change: corrupt },
      ]);
      // The corrupted messages are invisible for a second; a drain may rightly end before they come again.
      const stop = new AbortController();
      const seen: Delivery[] = [];
      for await (const received of source.receive('continuous', stop.signal)) {
        seen.push(...received);
        if (seen.length === 2) stop.abort();
      }

      assert.deepEqual(seen.map((delivery) => delivery.envelope.messageId).toSorted(), ids.toSorted());
      assert.ok(seen.every((delivery) => delivery.receipt.receiveCount === 2));
      assert.equal(waits.length, 4);
      assert.match(waits[0] ?? '', /RequestThrottled, HTTP 400/);
      assert.match(waits[1] ?? '', /InternalFailure, HTTP 500/);
      assert.match(waits[2] ?? '', /ECONNRESET|TimeoutError/);
      assert.match(waits[3] ?? '', /MD5 mismatch/);
      for (const [index, call] of onQueue(name, 'ReceiveMessage').slice(1, 5).entries()) {
        const previous = onQueue(name, 'ReceiveMessage')[index];
        assert.ok(previous && call.at - previous.at >= 240, 'a failed poll is followed by a pause');
      }
      await source.ack(seen.map((delivery) => delivery.receipt));
      await source.stop('hard');
    });

    test('missing rights are thrown as such; text of the answer is not repeated', async () => {
      const name = await sqs.queue();
      const client = sqs.client(name);
      for (const type of [
        'AccessDenied',
        'InvalidClientTokenId',
        'SignatureDoesNotMatch',
        'KmsAccessDenied',
      ]) {
        inject(name, 'ReceiveMessage', [{ kind: 'error', status: 403, type: `com.amazonaws.sqs#${type}` }]);
        await assert.rejects(client.receive(poll, never), {
          code: 'source_unfit',
          message: new RegExp(`${type}, HTTP 403`),
        });
      }
      inject(name, 'ReceiveMessage', [
        { kind: 'error', status: 403, type: 'com.amazonaws.sqs#ExpiredToken' },
      ]);
      await assert.rejects(client.receive(poll, never), { code: 'sqs_unavailable' });
      await sqs.server.send(name, [{ body: 'canary-4711' }]);
      // Node's parser quotes what it could not read.
      inject(name, 'ReceiveMessage', [
        { kind: 'answer', change: (answer) => answer.replace('"canary', 'canary') },
      ]);
      await assert.rejects(client.receive(poll, never), (error: unknown) => {
        assert.ok(error instanceof PipelineError);
        assert.equal(error.code, 'sqs_unavailable');
        assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /canary/);
        return true;
      });
    });

    test('an endpoint that leaves out the timestamp of sending is refused: repeats could not be told', async () => {
      const name = await sqs.queue();
      await sqs.server.send(name, [{ body: 'a' }]);
      inject(name, 'ReceiveMessage', [
        { kind: 'answer', change: (answer) => answer.replace('"SentTimestamp"', '"Sent"') },
      ]);
      await assert.rejects(sqs.client(name).receive(poll, never), {
        code: 'source_unfit',
        message: /SentTimestamp/,
      });
    });

    test('nothing listens at the endpoint: unavailable, within the time that a connection may take', async () => {
      const gone = await startTestSqs(transport);
      const client = gone.client('any');
      await gone.proxy.stop();
      const from = Date.now();
      await assert.rejects(client.attributes(), { code: 'sqs_unavailable', message: /ECONNREFUSED/ });
      assert.ok(Date.now() - from < 5_000);
      await gone.stop();
    });

    test('closing ends calls that wait for an answer', async () => {
      const silent = createServer();
      const asked = new Promise<Socket>((resolve) => silent.once('connection', resolve));
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
      const address = silent.address();
      const port = typeof address === 'object' ? address?.port : undefined;
      const client = createSqsClient({
        queue: 'any',
        region: 'us-east-1',
        endpoint: `http://127.0.0.1:${port}`,
        receivers: 1,
      });
      const from = Date.now();
      const ended = assert.rejects(client.attributes(), { code: 'sqs_unavailable' });
      const socket = await asked;
      client.close();
      await ended;
      assert.ok(Date.now() - from < 5_000, 'long before it would have given up');
      socket.destroy();
      silent.close();
    });

    test('deletes and attributes do not queue behind long polls', async () => {
      const name = await sqs.queue();
      const client = sqs.client(name, { receivers: 40 });
      const stop = new AbortController();
      setMaxListeners(0, stop.signal);
      const polls = Array.from({ length: 40 }, () => client.receive({ ...poll, waitS: 20 }, stop.signal));
      const ended = Promise.allSettled(polls);
      while (onQueue(name, 'ReceiveMessage').length < 40)
        await new Promise((resolve) => setImmediate(resolve));
      const from = Date.now();
      await Promise.all([client.attributes(), client.deleteBatch(['stale'])]);
      assert.ok(Date.now() - from < 1_000);
      stop.abort();
      const results = await ended;
      assert.ok(Date.now() - from < 2_000);
      for (const result of results) {
        assert.ok(result.status === 'rejected' && result.reason instanceof PipelineError);
        assert.equal(result.reason.code, 'canceled');
      }
    });

    test('without any credentials the error says so, and waits for them', async () => {
      const name = await sqs.queue();
      const kept = process.env;
      process.env = {
        ...Object.fromEntries(Object.entries(kept).filter(([variable]) => !variable.startsWith('AWS_'))),
        AWS_EC2_METADATA_DISABLED: 'true',
        AWS_SHARED_CREDENTIALS_FILE: '/nonexistent/credentials',
        AWS_CONFIG_FILE: '/nonexistent/config',
      };
      try {
        const client = createSqsClient({
          queue: name,
          region: 'us-east-1',
          endpoint: sqs.endpoint,
          receivers: 1,
          transport,
        });
        await assert.rejects(client.attributes(), { code: 'sqs_unavailable', message: /no AWS credentials/ });
        client.close();
      } finally {
        process.env = kept;
      }
    });
  });
}
