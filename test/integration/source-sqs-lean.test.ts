import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import type { QueueClient } from '../../src/source/queue-client.js';
import { createSqsClient } from '../../src/source/sqs.js';

/** One call as it came over the wire. */
interface Call {
  readonly headers: http.IncomingHttpHeaders;
  readonly url: string;
  readonly body: string;
}

/** What the endpoint says to a call. */
let answer: (call: Call) => { status: number; headers?: http.OutgoingHttpHeaders; body: unknown };
const calls: Call[] = [];
/** The emulator takes any signature, and any clock; this one is asked by the test. */
const server = http.createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = Buffer.concat(chunks).toString();
    const call = { headers: request.headers, url: request.url ?? '', body };
    calls.push(call);
    const { status, headers, body: said } = answer(call);
    response.writeHead(status, headers).end(typeof said === 'string' ? said : JSON.stringify(said));
  });
});
const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
const earlier = { ...process.env };
const never = new AbortController().signal;
const poll = { maxMessages: 10, waitS: 0, visibilityS: 30 };
let client: QueueClient;
let origin: string;

before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  origin = `http://127.0.0.1:${address.port}`;
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: SECRET,
    AWS_SESSION_TOKEN: 'the/session=token',
  });
});

after(() => {
  server.close();
  server.closeAllConnections();
  delete process.env['AWS_SESSION_TOKEN'];
  Object.assign(process.env, earlier);
});

beforeEach(() => {
  calls.length = 0;
  const queue = `${origin}/000000000000/q`;
  client = createSqsClient({ queue, region: 'eu-west-3', endpoint: null, receivers: 1 });
});

afterEach(() => client.close());

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The signature as AWS describes it (IAM User Guide, "Create a signed AWS API request"), of what has arrived. */
function signatureOf({ headers, url, body }: Call, signed: readonly string[], region: string): string {
  const date = String(headers['x-amz-date']);
  const lines = signed.map((name) => `${name}:${String(headers[name]).trim()}\n`).join('');
  const canonical = ['POST', url, '', lines, signed.join(';'), sha256(body)].join('\n');
  const scope = [date.slice(0, 8), region, 'sqs', 'aws4_request'];
  const key = scope.reduce<string | Buffer>(hmac, `AWS4${SECRET}`);
  return hmac(key, ['AWS4-HMAC-SHA256', date, scope.join('/'), sha256(canonical)].join('\n')).toString('hex');
}

test('each call is signed by Signature Version 4, with body, host, time, action and session token in it', async () => {
  answer = () => ({ status: 200, body: { Successful: [{ Id: '0' }] } });
  assert.deepEqual(await client.deleteBatch(['ä handle, with "quotes"']), ['done']);
  const [call] = calls;
  assert.ok(call);
  const [, credential, names = '', signature] =
    /^AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})$/.exec(
      call.headers.authorization ?? '',
    ) ?? [];
  assert.equal(
    credential,
    `AKIDEXAMPLE/${String(call.headers['x-amz-date']).slice(0, 8)}/eu-west-3/sqs/aws4_request`,
  );
  const signed = names.split(';');
  for (const name of ['content-type', 'host', 'x-amz-date', 'x-amz-security-token', 'x-amz-target']) {
    assert.ok(signed.includes(name), name);
  }
  assert.equal(signature, signatureOf(call, signed, 'eu-west-3'));
  assert.equal(call.headers['x-amz-target'], 'AmazonSQS.DeleteMessageBatch');
  assert.equal(call.headers['content-type'], 'application/x-amz-json-1.0');
  assert.equal(call.headers['x-amz-security-token'], 'the/session=token');
});

test('a clock that is wrong by more than five minutes is mended by the answer that says so', async () => {
  const ahead = 3_600_000;
  answer = ({ headers }) => {
    const date = String(headers['x-amz-date']);
    const [, y, mo, d, h, mi, s] = /^(....)(..)(..)T(..)(..)(..)Z$/.exec(date) ?? [];
    const signedAt = Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`);
    const headersOut = { date: new Date(Date.now() + ahead).toUTCString() };
    return Math.abs(signedAt - Date.now() - ahead) < 300_000
      ? { status: 200, headers: headersOut, body: { Successful: [{ Id: '0' }] } }
      : {
          status: 403,
          headers: headersOut,
          body: { __type: 'com.amazon.coral.service#InvalidSignatureException' },
        };
  };
  assert.deepEqual(await client.deleteBatch(['h']), ['done']);
  assert.equal(calls.length, 2);
  assert.deepEqual(await client.deleteBatch(['h']), ['done'], 'the next is right at once');
  assert.equal(calls.length, 3);
});

test('a delete is repeated after an outage, with a pause, and not for ever; a refusal is not repeated', async () => {
  answer = () => ({ status: calls.length < 3 ? 503 : 200, body: { Successful: [{ Id: '0' }] } });
  assert.deepEqual(await client.deleteBatch(['h']), ['done']);
  assert.equal(calls.length, 3);

  calls.length = 0;
  answer = () => ({ status: 500, body: 'not even JSON' });
  await assert.rejects(client.deleteBatch(['h']), { code: 'sqs_unavailable', message: /HTTP 500/ });
  assert.equal(calls.length, 3);

  calls.length = 0;
  answer = () => ({ status: 400, body: { __type: 'com.amazonaws.sqs#InvalidAddress', message: 'quotes h' } });
  await assert.rejects(client.deleteBatch(['h']), {
    code: 'source_unfit',
    message: /InvalidAddress, HTTP 400/,
  });
  assert.equal(calls.length, 1);
});

test('a receive is not repeated: the loop around it waits', async () => {
  answer = () => ({ status: 503, body: {} });
  await assert.rejects(client.receive(poll, never), { code: 'sqs_unavailable' });
  assert.equal(calls.length, 1);
});

test('an answer that is no answer of SQS is an outage, and none of its text is quoted', async () => {
  for (const body of [
    '<html>secret</html>',
    '[]',
    '"secret"',
    { Messages: 'secret' },
    { Messages: [{ Body: 'x' }] },
  ]) {
    answer = () => ({ status: 200, body });
    await assert.rejects(client.receive(poll, never), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'sqs_unavailable');
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  }
});

test('only the system attributes that are read are asked for', async () => {
  answer = () => ({ status: 200, body: {} });
  assert.deepEqual(await client.receive(poll, never), []);
  const asked: unknown = JSON.parse(calls[0]?.body ?? '');
  assert.deepEqual(asked, {
    QueueUrl: `${origin}/000000000000/q`,
    MaxNumberOfMessages: 10,
    WaitTimeSeconds: 0,
    VisibilityTimeout: 30,
    MessageSystemAttributeNames: [
      'SentTimestamp',
      'ApproximateReceiveCount',
      'MessageGroupId',
      'SequenceNumber',
      'DeadLetterQueueSourceArn',
      'AWSTraceHeader',
    ],
    MessageAttributeNames: ['All'],
  });
});
