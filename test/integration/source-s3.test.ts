// What messages point to in S3, read over HTTP from an emulator, behind a proxy that breaks answers off.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, beforeEach, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../../src/clock.js';
import { type SqsServer, startSqs } from '../../src/embedded/sqs.js';
import { ObjectReader } from '../../src/source/object-reader.js';
import type { ObjectStore } from '../../src/source/object-store.js';
import type { Received } from '../../src/source/parts.js';
import { createS3Store } from '../../src/source/s3.js';
import type { SourceEvent } from '../../src/source/source-events.js';
import { type Opening, type Points, openMessage, prepareOpening } from '../../src/source/unwrap.js';
import { AUTO } from '../support/opening.js';
import { S3Proxy, createBucket, deleteObject, objectsCreated, putObject } from '../support/s3.js';

const BUCKET = 'events';
const never = new AbortController().signal;
const OPENING: Opening = { ...AUTO, buckets: [BUCKET] };

let sqs: SqsServer;
let proxy: S3Proxy;
let store: ObjectStore;
before(async () => {
  process.env['AWS_ACCESS_KEY_ID'] ??= 'test';
  process.env['AWS_SECRET_ACCESS_KEY'] ??= 'test';
  await prepareOpening();
  sqs = await startSqs();
  await createBucket(sqs.endpoint, BUCKET);
  proxy = new S3Proxy(sqs.port);
  const endpoint = await proxy.start();
  store = createS3Store({ region: 'us-east-1', endpoint, forcePathStyle: true });
});
beforeEach(() => {
  proxy.fault = () => null;
  proxy.ranges.length = 0;
});
after(async () => {
  store.close();
  await proxy.stop();
  await sqs.stop();
});

const put = (key: string, body: string | Buffer): Promise<string> =>
  putObject(sqs.endpoint, BUCKET, key, body);

function reader(events: SourceEvent[] = [], opening: Opening = OPENING): ObjectReader {
  const onEvent = (event: SourceEvent): void => void events.push(event);
  return new ObjectReader({
    store,
    clock: systemClock,
    opening,
    maxRecords: 100,
    maxBytes: 1 << 16,
    onEvent,
  });
}

function received(body: string, opening: Opening = OPENING): Received & { readonly points: Points } {
  const { points, records, attributes } = openMessage('m', body, opening);
  assert.ok(points, 'it points to nothing');
  assert.deepEqual(records, []);
  const envelope = { messageId: 'm', body, sentAt: 1, receivedAt: 2, attributes };
  const receipt = { messageId: 'm', handle: 'h', receiveCount: 1, receivedAt: 2, bytes: body.length };
  return { envelope, records, receipt, points };
}

/** All records that a message comes to, and the sizes of the pieces that they came in. */
async function follow(
  body: string,
  { events, opening = OPENING }: { events?: SourceEvent[]; opening?: Opening } = {},
) {
  const pieces = reader(events, opening).follow(received(body, opening), never);
  assert.ok(pieces);
  const records = [];
  const sizes = [];
  for await (const piece of pieces) {
    records.push(...piece);
    sizes.push(piece.length);
  }
  return { records, sizes };
}

const bodiesOf = async (body: string, opening?: Opening): Promise<readonly string[]> =>
  (await follow(body, opening === undefined ? {} : { opening })).records.map((record) => record.body);

const lines = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, n) => `{"n":${n},"é":"${'x'.repeat(n % 50)}"}`);

describe('an event of new objects', () => {
  test('comes to the lines of the object, in pieces no larger than a batch, with ids that are always the same', async () => {
    const texts = lines(1_234);
    const eTag = await put('a/b c+d é%.json', texts.join('\n'));
    const event = objectsCreated(BUCKET, [{ key: 'a/b c+d é%.json', eTag }]);
    const { records, sizes } = await follow(event);
    assert.deepEqual(
      records,
      texts.map((body, n) => ({ id: `m#${n}`, body })),
    );
    assert.ok(Math.max(...sizes) <= 100);
    assert.deepEqual((await follow(event)).records, records);
  });

  test('of several objects numbers them, and blank lines, ends of lines and empty objects are no records', async () => {
    const objects = [
      { key: 'one', body: '{"a":1}\r\n\r\n  \n{"a":2}\n' },
      { key: 'folder/', body: '' },
      { key: 'two', body: '{"a":3}' },
    ];
    const events = await Promise.all(
      objects.map(async ({ key, body }) => ({ key, eTag: await put(key, body) })),
    );
    assert.deepEqual((await follow(objectsCreated(BUCKET, events))).records, [
      { id: 'm#0.0', body: '{"a":1}' },
      { id: 'm#0.1', body: '{"a":2}' },
      { id: 'm#2.0', body: '{"a":3}' },
    ]);
  });

  test('is read with gzip and zstd unpacked by their first bytes, whatever the names', async () => {
    const texts = lines(3_000);
    const plain = texts.join('\n');
    const cut = plain.indexOf('\n', 20_000) + 1;
    const packed = {
      'log.gz': gzipSync(plain),
      'two-members': Buffer.concat([gzipSync(plain.slice(0, cut)), gzipSync(plain.slice(cut))]),
      'log.json': execFileSync('zstd', ['-q', '-c'], { input: plain }),
      'log.txt': Buffer.from(plain),
    };
    for (const [key, bytes] of Object.entries(packed)) {
      await put(key, bytes);
      assert.deepEqual(await bodiesOf(objectsCreated(BUCKET, [{ key }])), texts, key);
    }
  });

  test('a small object is taken apart like a message, a large one by its lines', async () => {
    await put('array', '[{"a":1},\n{"a":2}]');
    await put('document', '{\n "a": 1\n}');
    const event = (key: string): string => objectsCreated(BUCKET, [{ key }]);
    assert.deepEqual(await bodiesOf(event('array')), ['{"a":1}', '{"a":2}']);
    assert.deepEqual(await bodiesOf(event('document')), ['{\n "a": 1\n}']);
    assert.deepEqual(await bodiesOf(event('array'), { ...OPENING, records: 'lines' }), [
      '[{"a":1},',
      '{"a":2}]',
    ]);
    const large = lines(5_000);
    await put('large', large.join('\n'));
    const small = { ...OPENING, maxUnpackedBytes: 10_000 };
    assert.deepEqual(await bodiesOf(event('large'), small), large);
    assert.deepEqual((await follow(event('large'), { opening: { ...small, records: 'array' } })).records, [
      { id: 'm#rest', body: event('large'), rejected: 'too_large' },
    ]);
  });

  test('lines that are too long or no text are rejected alone, and the others are records', async () => {
    const opening: Opening = { ...OPENING, records: 'lines', maxUnpackedBytes: 1_000 };
    await put(
      'odd',
      Buffer.concat([
        Buffer.from(`{"a":1}\n${'x'.repeat(5_000)}\n`),
        Buffer.from([0xff, 0x0a]),
        Buffer.from('{"a":2}'),
      ]),
    );
    const { records } = await follow(objectsCreated(BUCKET, [{ key: 'odd' }]), { opening });
    assert.deepEqual(
      records.map(({ id, body, rejected }) => [id, body.slice(0, 7), rejected]),
      [
        ['m#0', '{"a":1}', undefined],
        ['m#1', 'xxxxxxx', 'too_large'],
        ['m#2', '\ufffd', 'bad_envelope'],
        ['m#3', '{"a":2}', undefined],
      ],
    );
  });

  test('what is damaged is read as far as it goes, and the rest is one rejected record with the id of the rest', async () => {
    const texts = lines(200_000);
    const whole = gzipSync(texts.join('\n'));
    const damaged = Buffer.from(whole.subarray(0, whole.length - 100));
    await put('damaged.gz', damaged);
    const event = objectsCreated(BUCKET, [{ key: 'damaged.gz' }]);
    const { records } = await follow(event);
    const rest = records.at(-1);
    assert.deepEqual(rest, { id: 'm#rest', body: event, rejected: 'bad_envelope' });
    const read = records.slice(0, -1).map((record) => record.body);
    assert.ok(read.length > 100_000, `${read.length} lines`);
    assert.deepEqual(read.slice(0, -1), texts.slice(0, read.length - 1));
  });

  test('an object that is gone, or another by now, is rejected as that; it is never the wrong one that is read', async () => {
    const eTag = await put('gone', '{"a":1}');
    await deleteObject(sqs.endpoint, BUCKET, 'gone');
    const other = await put('other', '{"a":1}');
    await put('other', '{"a":2}');
    for (const object of [
      { key: 'gone', eTag },
      { key: 'other', eTag: other },
    ]) {
      const event = objectsCreated(BUCKET, [object]);
      assert.deepEqual((await follow(event)).records, [
        { id: 'm#rest', body: event, rejected: 'object_gone' },
      ]);
    }
    for (const code of ['NoSuchVersion', 'InvalidObjectState']) {
      proxy.fault = () => ({ kind: 'answer', status: code === 'NoSuchVersion' ? 404 : 403, code });
      const event = objectsCreated(BUCKET, [{ key: 'other' }]);
      assert.equal((await follow(event)).records[0]?.rejected, 'object_gone');
    }
  });
});

describe('S3 that misbehaves', () => {
  test('an answer that breaks off is gone on with from there, of the very same object', async () => {
    const texts = lines(20_000);
    for (const body of [Buffer.from(texts.join('\n')), gzipSync(texts.join('\n'))]) {
      await put('breaking', body);
      proxy.ranges.length = 0;
      const afterBytes = Math.floor(body.length / 3);
      proxy.fault = (_, gets) => (gets <= 2 ? { kind: 'cut', afterBytes } : null);
      const events: SourceEvent[] = [];
      const { records } = await follow(objectsCreated(BUCKET, [{ key: 'breaking' }]), { events });
      assert.deepEqual(
        records.map((record) => record.body),
        texts,
      );
      const from = proxy.ranges.map((range) => Number(/^bytes=(\d+)-$/.exec(range ?? 'bytes=0-')?.[1]));
      assert.deepEqual(from, [0, afterBytes, 2 * afterBytes]);
      assert.equal(events.filter((event) => event.kind === 'waiting').length, 2);
    }
  });

  test('an object that is overwritten in the middle of its reading is noticed', async () => {
    const body = lines(200_000).join('\n');
    await put('changing', body);
    proxy.fault = (_, gets) => (gets === 1 ? { kind: 'cut', afterBytes: 5_000_000 } : null);
    const pieces = reader().follow(received(objectsCreated(BUCKET, [{ key: 'changing' }])), never);
    assert.ok(pieces);
    const records = [];
    let isOverwritten = false;
    for await (const piece of pieces) {
      if (!isOverwritten) await put('changing', body.toUpperCase());
      isOverwritten = true;
      records.push(...piece);
    }
    assert.equal(records.at(-1)?.rejected, 'object_gone');
    assert.ok(records.slice(0, -1).every((record) => !record.body.includes('É')));
  });

  test('throttles and server errors are waited out, and whoever begins meanwhile waits for that', async () => {
    await put('busy', '{"a":1}');
    proxy.fault = (_, gets) => (gets <= 4 ? { kind: 'answer', status: 503, code: 'SlowDown' } : null);
    const events: SourceEvent[] = [];
    const own = reader(events);
    const pieces = own.follow(received(objectsCreated(BUCKET, [{ key: 'busy' }])), never);
    assert.ok(pieces);
    const order: string[] = [];
    const read = (async () => {
      for await (const piece of pieces) order.push(...piece.map((record) => record.body));
    })();
    while (events.length === 0) await new Promise(setImmediate);
    await Promise.all([read, own.ready(never)]);
    assert.deepEqual(order, ['{"a":1}']);
    const [waiting] = events;
    assert.ok(waiting?.kind === 'waiting' && waiting.error.code === 's3_unavailable');
  });

  test('a refusal is thrown, without a word of the key; a halt ends the reading, and never as if it were the end', async () => {
    await put('secret-key-of-jane', '{"a":1}');
    proxy.fault = () => ({ kind: 'answer', status: 403, code: 'AccessDenied' });
    await assert.rejects(
      follow(objectsCreated(BUCKET, [{ key: 'secret-key-of-jane' }])),
      (error: unknown) => {
        assert.ok(error instanceof Error && 'code' in error && error.code === 'source_unfit');
        assert.match(error.message, /AccessDenied.*s3:GetObject.*s3:ListBucket/);
        assert.doesNotMatch(error.message, /jane/);
        return true;
      },
    );
    proxy.fault = () => ({ kind: 'answer', status: 503, code: 'SlowDown' });
    const halt = new AbortController();
    const pieces = reader().follow(received(objectsCreated(BUCKET, [{ key: 'x' }])), halt.signal);
    assert.ok(pieces);
    const reading = assert.rejects(
      (async () => {
        for await (const _ of pieces) assert.fail('there is nothing to read');
      })(),
      { code: 'canceled' },
    );
    while (proxy.ranges.length === 0) await new Promise(setImmediate);
    halt.abort();
    await reading;
  });
});

describe('a payload of the Extended Client Library', () => {
  const pointer = (key: string, name = 'software.amazon.payloadoffloading.PayloadS3Pointer'): string =>
    JSON.stringify([name, { s3BucketName: BUCKET, s3Key: key }]);
  const fetched = (body: string, opening: Opening = OPENING): Promise<Received> =>
    reader([], opening).fetch(received(body, opening), never);

  test('takes the place of the body, by either name, and is opened as any body', async () => {
    await put('p1', JSON.stringify([{ a: 1 }, { a: 2 }]));
    await put('p2', gzipSync('{"a":3}').toString('base64'));
    for (const name of [undefined, 'com.amazon.sqs.javamessaging.MessageS3Pointer']) {
      const { records, receipt, points } = await fetched(pointer('p1', name));
      assert.deepEqual(records, [
        { id: 'm#0', body: '{"a":1}' },
        { id: 'm#1', body: '{"a":2}' },
      ]);
      assert.deepEqual([receipt.bytes, points], [17, undefined]);
    }
    assert.deepEqual((await fetched(pointer('p2'))).records, [{ id: 'm', body: '{"a":3}' }]);
  });

  test('that is gone, too large, or no text is rejected with the pointer as its body', async () => {
    await put('large', 'x'.repeat(2_000));
    await put('binary', Buffer.from([0xff, 0xfe]));
    const cases = { absent: 'object_gone', large: 'too_large', binary: 'bad_envelope' };
    for (const [key, rejected] of Object.entries(cases)) {
      const body = pointer(key);
      const { records } = await fetched(body, { ...OPENING, maxUnpackedBytes: 1_000 });
      assert.deepEqual(records, [{ id: 'm', body, rejected }]);
    }
  });

  test('that is a pointer itself is not followed again', async () => {
    await put('loop', pointer('loop'));
    assert.deepEqual((await fetched(pointer('loop'))).records, [{ id: 'm', body: pointer('loop') }]);
  });
});

test('a bucket is looked at without reading of it', async () => {
  await store.check(BUCKET);
  await assert.rejects(store.check('no-such-bucket'), { code: 'source_unfit' });
});
