// examples/s3-pointer as it stands there, between real servers: objects of lines, large messages, kills, and S3 away.

import assert from 'node:assert/strict';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { parse } from 'yaml';
import { assertHas } from '../support/cli.js';
import { tokenOracle } from '../support/oracle.js';
import { eventually } from '../support/queue.js';
import { S3Proxy, createBucket, objectsCreated, putObject } from '../support/s3.js';
import { type ConfigFile, type Deployment, type Stack, assertAddsUp, startStack } from '../support/stack.js';

const EXAMPLE = fileURLToPath(new URL('../../../examples/s3-pointer', import.meta.url));
const BUCKET = 'access-logs';
/** Some forty batches and pieces of the default sizes. */
const LINES = 12_000;

let stack: Stack;
let proxy: S3Proxy;
let endpoint: string;
before(async () => {
  stack = await startStack();
  for (const bucket of [BUCKET, 'large-messages']) await createBucket(stack.sqs.endpoint, bucket);
  proxy = new S3Proxy(stack.sqs.port);
  endpoint = await proxy.start();
});
beforeEach(() => {
  proxy.fault = () => null;
});
after(async () => {
  await stack.stop();
  await proxy.stop();
});

/** The example, with S3 behind the proxy and settings of its pipeline over its own. */
async function deploy(keys: Readonly<{ [key: string]: unknown }> = {}): Promise<Deployment> {
  const deployment = await stack.deployment({ ddl: null });
  const example = parse(readFileSync(join(EXAMPLE, 'maskline.yaml'), 'utf8')) as ConfigFile;
  const { accesses } = example.pipelines;
  deployment.configure(({ keyring, queue }) => ({
    ...example,
    keyring,
    queue,
    pipelines: { accesses: { ...accesses, batch: { linger: '200ms' }, ...keys } },
  }));
  const { code, stderr } = await deployment.cli.run(['migrate']);
  assert.equal(code, 0, stderr);
  return deployment;
}

const env = (): Readonly<{ [name: string]: string }> => ({ AWS_ENDPOINT_URL_S3: endpoint });
const accessOf = (i: number) => ({
  id: `r-${i}`,
  path: `/p/${i % 7}`,
  client: { ip: `198.51.100.${i % 200}`, email: `Jane.${i % 9}@Example.com` },
});
const linesOf = (from: number, count: number): string =>
  Array.from({ length: count }, (_, i) => JSON.stringify(accessOf(from + i))).join('\n');
const NOTHING = { visible: 0, inFlight: 0, delayed: 0 };

test('the cases of the example pass', async () => {
  const deployment = await deploy();
  cpSync(join(EXAMPLE, 'maskline.tests.yaml'), join(deployment.dir, 'maskline.tests.yaml'));
  const { code, stdout, stderr } = await deployment.cli.run(['test']);
  assert.equal(code, 0, stdout + stderr);
});

test('lines of objects, large messages and plain ones are rows; what is gone is quarantined, and S3 is tried out', async () => {
  const deployment = await deploy();
  const put = (bucket: string, key: string, body: string | Buffer): Promise<string> =>
    putObject(stack.sqs.endpoint, bucket, key, body);
  const eTag = await put(BUCKET, '2026/11/a b.json.gz', gzipSync(`${linesOf(0, LINES)}\n{"id":`));
  await put(BUCKET, 'second', linesOf(LINES, 10));
  await put(
    'large-messages',
    'payload',
    JSON.stringify({ ...accessOf(LINES + 10), more: 'x'.repeat(300_000) }),
  );
  const [first = '', second = '', large = '', plain = '', gone = ''] = await deployment.sendMessages([
    { body: objectsCreated(BUCKET, [{ key: '2026/11/a b.json.gz', eTag }]) },
    { body: objectsCreated(BUCKET, [{ key: 'second' }, { key: 'no such object' }]) },
    {
      body: '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"large-messages","s3Key":"payload"}]',
      attributes: { ExtendedPayloadSize: '300100' },
    },
    { body: JSON.stringify(accessOf(LINES + 11)) },
    { body: objectsCreated(BUCKET, [{ key: 'second', eTag: 'f'.repeat(32) }]) },
    { body: `{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"${BUCKET}"}` },
  ]);
  const { code, rows, stderr } = await deployment.cli.run(['drain'], { env: env() });
  assert.equal(code, 0, stderr);
  const loaded = LINES + 12;
  assertHas(rows[0], { received: loaded + 3, loaded, quarantined: 3, duplicates: 0, released: 0 });
  assert.deepEqual(await deployment.depth(), NOTHING);

  const master = deployment.masters().get(1);
  assert.ok(master);
  const messageOf = (i: number): string => {
    if (i < LINES) return first;
    return i < LINES + 10 ? second : i === LINES + 10 ? large : plain;
  };
  const expected = Array.from({ length: loaded }, (_, i) => {
    const { id, path, client } = accessOf(i);
    return {
      request_id: id,
      path,
      client: tokenOracle(master, 1, 'siv', 'ip', 'ip', client.ip),
      network: '198.51.100.0',
      user_token: tokenOracle(master, 1, 'hmac', 'email', 'text', client.email.toLowerCase()),
      message_id: messageOf(i),
    };
  });
  const found = await deployment.query('select * from public.accesses order by substr(request_id, 3)::int');
  assert.deepEqual(found, expected);
  assert.deepEqual(
    await deployment.query('select record_id, code from maskline.quarantine order by code, record_id'),
    [
      { record_id: `${first}#${LINES}`, code: 'not_json' },
      ...[`${gone}#rest`, `${second}#1.rest`].sort().map((record_id) => ({ record_id, code: 'object_gone' })),
    ],
  );
  const proven = await deployment.cli.run(['prove']);
  assert.equal(proven.code, 0, proven.stdout + proven.stderr);
  assertAddsUp(await deployment.runs());
});

test('killed in the middle of a large object, the same end: each line once, and acked after the last', async () => {
  const keys = {
    schedule: '* * * * * *',
    source: { sqs: { visibility_timeout: '6s' }, s3: { buckets: [BUCKET], force_path_style: true } },
    batch: { max_messages: 500, linger: '50ms' },
    limits: { in_flight: 1_000 },
  };
  const deployment = await deploy(keys);
  await putObject(stack.sqs.endpoint, BUCKET, 'large', linesOf(0, LINES));
  await deployment.send([objectsCreated(BUCKET, [{ key: 'large' }])]);
  const armed = { MASKLINE_ALLOW_FAILPOINTS: '1', MASKLINE_FAILPOINTS: 'load.committed=crash@at:6' };
  const victim = deployment.cli.spawn(['run', 'all'], { env: { ...env(), ...armed }, limitMs: 60_000 });
  assert.equal((await victim.ended).signal, 'SIGKILL', victim.stderr);
  const before = await deployment.count('public.accesses');
  assert.ok(before > 0 && before < LINES, `${before} lines were committed`);
  assert.notDeepEqual(await deployment.depth(), NOTHING);
  const survivor = deployment.cli.spawn(['run', 'all'], { env: env(), limitMs: 120_000 });
  await deployment.countUntil('public.accesses', (count) => count >= LINES, 90_000);
  await eventually(
    () => deployment.depth(),
    ({ visible, inFlight, delayed }) => visible + inFlight + delayed === 0,
    90_000,
  );
  survivor.signal('SIGTERM');
  assert.equal((await survivor.ended).code, 0, survivor.stderr);
  assert.equal(await deployment.count('public.accesses'), LINES);
  assert.equal(await deployment.count('(select distinct request_id from public.accesses) as once'), LINES);
  const runs = await deployment.runs();
  assertAddsUp(runs.filter(({ state }) => state !== 'abandoned'));
  assert.ok(runs.some(({ duplicates }) => Number(duplicates) >= before));
  assert.equal((await deployment.cli.run(['prove'])).code, 0);
});

test('while S3 is away everything waits; nothing is lost, and no message is received again', async () => {
  const deployment = await deploy();
  await putObject(stack.sqs.endpoint, BUCKET, 'waited-for', linesOf(0, LINES));
  let refused = 0;
  proxy.fault = (_, gets) => {
    if (gets === 1) return { kind: 'cut', afterBytes: 400_000 };
    refused += 1;
    return refused <= 6 ? { kind: 'answer', status: 503, code: 'ServiceUnavailable' } : null;
  };
  proxy.ranges.length = 0;
  await deployment.send([objectsCreated(BUCKET, [{ key: 'waited-for' }])]);
  const { code, rows, stderr } = await deployment.cli.run(['drain'], { env: env() });
  assert.equal(code, 0, stderr);
  assert.ok(refused > 6);
  assertHas(rows[0], { received: LINES, loaded: LINES, duplicates: 0, released: 0 });
});

test('a refusal ends the run before anything is lost; validate --connect and the start say what is wrong', async () => {
  const deployment = await deploy({
    source: { s3: { buckets: [BUCKET, 'not-there'], force_path_style: true } },
  });
  const looked = await deployment.cli.run(['validate', '--connect'], { env: env() });
  assert.equal(looked.code, 2);
  assert.match(looked.stdout + looked.stderr, /HeadBucket in bucket not-there/);
  proxy.fault = () => ({ kind: 'answer', status: 403, code: 'AccessDenied' });
  const [id] = await deployment.send([objectsCreated(BUCKET, [{ key: 'x' }])]);
  assert.ok(id);
  const { code, stderr } = await deployment.cli.run(['drain'], { env: env() });
  assert.equal(code, 2);
  assert.match(stderr, /AccessDenied.*s3:GetObject/s);
  const { visible, inFlight, delayed } = await deployment.depth();
  assert.equal(visible + inFlight + delayed, 1);
  assert.equal(await deployment.count('maskline.ledger'), 0);
});
