import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import type { Batch, InputRecord, MaskedBatch, MessageHead, RecordKey, Rejection } from '../../src/batch.js';
import { PipelineError } from '../../src/errors.js';
import { asMasked } from '../../src/masking/masked.js';
import { batchCodec, maskedCodec } from '../../src/queue/payload.js';
import { openBatch, pack, sealBatch, unpack } from '../../src/queue/sealed.js';
import { batchOf, testSealer } from '../support/queue.js';

const sealer = testSealer();
const QUEUE = 'transform.logins';

const time = fc.integer({ min: 0, max: 4_102_444_800_000 });
/** Any string that JavaScript can hold, lone surrogates and control characters among them. */
const anyText = fc.string({
  unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
});
const texts = fc.oneof(fc.string({ unit: 'grapheme' }), anyText);

function messageHead(): fc.Arbitrary<MessageHead> {
  const required = {
    messageId: texts,
    sentAt: time,
    receivedAt: time,
    attributes: fc.dictionary(texts, texts, { noNullPrototype: true }),
  };
  return fc.record(
    { ...required, groupId: texts, sequenceNumber: texts },
    { requiredKeys: ['messageId', 'sentAt', 'receivedAt', 'attributes'], noNullPrototype: true },
  );
}

function record(messages: readonly MessageHead[]): fc.Arbitrary<InputRecord> {
  const message = fc.nat({ max: messages.length - 1 });
  const shape = {
    message,
    body: texts,
    rejected: fc.constantFrom(
      'bad_envelope',
      'too_large',
      'object_gone',
      'no_route',
      'crashed_worker' as const,
    ),
    own: fc.option(texts),
  };
  return fc
    .record(shape, { requiredKeys: ['message', 'body', 'own'] })
    .map(({ own, ...rest }) => ({ ...rest, id: own ?? messages[rest.message]?.messageId ?? '' }));
}

const batches: fc.Arbitrary<Batch> = fc.array(messageHead(), { maxLength: 8 }).chain((messages) =>
  fc.record(
    {
      batchId: texts,
      runId: texts,
      pipeline: texts,
      messages: fc.constant(messages),
      records: messages.length === 0 ? fc.constant([]) : fc.array(record(messages), { maxLength: 12 }),
    },
    { noNullPrototype: true },
  ),
);

const MESSAGES = 5;

const recordKey: fc.Arbitrary<RecordKey> = fc
  .record({ id: texts, sentAt: time, own: fc.option(texts), message: fc.nat({ max: MESSAGES - 1 }) })
  .map(({ own, ...key }) => ({ ...key, messageId: own ?? key.id }));

const kid = fc.integer({ min: 1, max: 0xffff_ffff });
const bytes = (): fc.Arbitrary<Buffer> => fc.uint8Array().map((array) => Buffer.from(array));

const rejections: fc.Arbitrary<Rejection> = fc
  .record({
    key: recordKey,
    quarantineId: texts,
    code: fc.constantFrom('not_json' as const, 'crashed_worker' as const, 'refused_22P04' as const),
    path: fc.option(texts),
    kind: fc.constantFrom('raw' as const, 'masked' as const),
    sealed: bytes(),
    kid,
    held: fc.boolean(),
  })
  .map(({ key, ...rest }) => ({ ...key, ...rest }));

/** Rows of further tables, for a batch of so many of its own. */
function several(keys: number): fc.Arbitrary<NonNullable<MaskedBatch['several']>> {
  const records: fc.Arbitrary<readonly number[]> =
    keys === 0 ? fc.constant([]) : fc.array(fc.nat({ max: keys - 1 }), { maxLength: 5 });
  const further = fc
    .record({ table: texts, columns: fc.array(texts), records }, { noNullPrototype: true })
    .map(({ records: unsorted, ...rest }) => ({
      ...rest,
      records: unsorted.toSorted((a, b) => a - b),
      rows: asMasked(Buffer.from([...unsorted].map((record) => `row of ${record}\n`).join(''))),
    }));
  return fc.record({ table: texts, further: fc.array(further, { maxLength: 3 }) }, { noNullPrototype: true });
}

const maskedBatches: fc.Arbitrary<MaskedBatch> = fc
  .record({
    batchId: texts,
    runId: texts,
    pipeline: texts,
    receivedAt: time,
    policySha256: fc
      .uint8Array({ minLength: 32, maxLength: 32 })
      .map((hash) => Buffer.from(hash).toString('hex')),
    kids: fc.array(kid),
    columns: fc.array(texts),
    // A row is any bytes but a newline, and ends with one.
    rows: fc.array(
      fc.tuple(
        recordKey,
        bytes().map((row) => Buffer.concat([row.filter((byte) => byte !== 10), Buffer.from('\n')])),
      ),
    ),
    rejections: fc.array(rejections),
    groups: fc.option(
      fc.array(fc.option(fc.nat({ max: MESSAGES - 1 })), { minLength: MESSAGES, maxLength: MESSAGES }),
    ),
  })
  .chain((batch) =>
    fc.option(several(batch.rows.length)).map((tables) => ({
      ...batch,
      several: tables,
    })),
  )
  .map(({ rows, groups, several: tables, ...rest }) => ({
    ...rest,
    ...(groups === null ? {} : { groups }),
    ...(tables === null ? {} : { several: tables }),
    messages: MESSAGES,
    keys: rows.map(([key]) => key),
    rows: asMasked(Buffer.concat(rows.map(([, line]) => line))),
  }));

/** The refusal that decoding owes to anything that was not written by it. */
function isRefused(error: unknown): boolean {
  return error instanceof PipelineError && error.code === 'payload_corrupt' && error.cause === undefined;
}

describe('a batch on its way', () => {
  test('is the same batch at the other end', () => {
    fc.assert(
      fc.property(batches, (batch) => {
        const data = sealBatch(batchCodec, sealer, QUEUE, batch);
        const stored: unknown = JSON.parse(JSON.stringify(data));
        assert.deepEqual(openBatch(batchCodec, sealer, QUEUE, batch.batchId, stored), batch);
        assert.equal(data.n, batch.records.length);
      }),
      { numRuns: 300 },
    );
  });

  test('is the same masked batch at the other end', () => {
    fc.assert(
      fc.property(maskedBatches, (batch) => {
        const data = sealBatch(maskedCodec, sealer, QUEUE, batch);
        const stored: unknown = JSON.parse(JSON.stringify(data));
        assert.deepEqual(openBatch(maskedCodec, sealer, QUEUE, batch.batchId, stored), batch);
        assert.equal(data.n, batch.keys.length + batch.rejections.length);
      }),
      { numRuns: 300 },
    );
  });

  test('takes its trace along, which a reader that knows of none leaves, and which can be nothing else', () => {
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const untraced = batchOf([]);
    const traced = { ...untraced, trace };
    const data = sealBatch(batchCodec, sealer, QUEUE, traced);
    const opened = (over: object): unknown =>
      openBatch(batchCodec, sealer, QUEUE, traced.batchId, { ...data, ...over });
    assert.deepEqual(opened({}), traced);
    assert.equal(data.v, 1);
    for (const other of ['alice@example.com', `${trace}-x`, trace.toUpperCase(), 7, null, undefined])
      assert.deepEqual(opened({ trace: other }), untraced);
  });

  test('may be empty', () => {
    const empty = batchOf([]);
    const data = sealBatch(batchCodec, sealer, QUEUE, empty);
    assert.deepEqual(openBatch(batchCodec, sealer, QUEUE, empty.batchId, data), empty);
  });

  test('keeps an attribute named __proto__, as an own property', () => {
    const attributes = Object.fromEntries([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
    const [head] = batchOf(['{}']).messages;
    assert.ok(head);
    const batch: Batch = { ...batchOf(['{}']), messages: [{ ...head, attributes }] };
    const [read] = batchCodec.decode(batchCodec.encode(batch)).messages;
    assert.deepEqual(Object.entries(read?.attributes ?? {}), Object.entries(attributes));
    assert.equal(Object.getPrototypeOf(read?.attributes), Object.prototype);
  });

  test('carries bodies as they are: neither escaped nor encoded', () => {
    const body = '{"quoted":"\\"a\\" \\\\ \\u0001"}';
    assert.ok(batchCodec.encode(batchOf([body])).includes(body));
  });

  test('of 1,000 like messages takes less than a quarter of their size', () => {
    const bodies = Array.from({ length: 1_000 }, (_, index) =>
      JSON.stringify({
        user_id: `user-${index}`,
        device_type: 'android',
        ip: `10.1.${index % 250}.7`,
        locale: 'en_US',
        app_version: '2.3.0',
      }),
    );
    const data = sealBatch(batchCodec, sealer, QUEUE, batchOf(bodies));
    assert.ok(data.ct.length < bodies.join('').length / 4);
  });
});

describe('what was not written by us', () => {
  const batch = batchOf(['{"a":1}', '{"b":2}']);
  const data = sealBatch(batchCodec, sealer, QUEUE, batch);
  const open = (changed: unknown): Batch => openBatch(batchCodec, sealer, QUEUE, batch.batchId, changed);

  test('any flipped bit of what is sealed is refused', () => {
    const sealed = Buffer.from(data.ct, 'base64');
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const flipped = Buffer.from(sealed);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      assert.throws(() => open({ ...data, ct: flipped.toString('base64') }), isRefused);
    }
  });

  test('any flipped bit of its base64 is refused, with or without padding', () => {
    const paddings = new Set<number>();
    // How long it is when deflated differs a little from one run to the next: until each padding was met.
    for (let length = 1; paddings.size < 3; length += 1) {
      const body = 'abcdefghijklmnopqrstuvwxyz'.slice(0, length);
      const other = { ...batchOf([body]), batchId: batch.batchId };
      const { ct, ...rest } = sealBatch(batchCodec, sealer, QUEUE, other);
      const text = Buffer.from(ct);
      paddings.add(ct.length - ct.replaceAll('=', '').length);
      for (let bit = 0; bit < text.length * 8; bit += 1) {
        const flipped = Buffer.from(text);
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        assert.throws(() => open({ ...rest, ct: flipped.toString('latin1') }), isRefused);
      }
    }
  });

  test('another spelling of the same bytes is refused', () => {
    const urlSafe = data.ct.replaceAll('+', '-').replaceAll('/', '_');
    for (const ct of [
      `${data.ct}\n`,
      ` ${data.ct}`,
      `${data.ct}=`,
      ...(urlSafe === data.ct ? [] : [urlSafe]),
    ]) {
      assert.throws(() => open({ ...data, ct }), isRefused);
    }
  });

  test('moved to another batch or another queue it is refused', () => {
    const other = batchOf([]).batchId;
    assert.throws(() => openBatch(batchCodec, sealer, QUEUE, other, data), isRefused);
    assert.throws(() => openBatch(batchCodec, sealer, 'load.logins', batch.batchId, data), isRefused);
    // Sealed for that place, but holding another batch.
    const moved = pack(sealer, `${QUEUE}/${other}`, batchCodec.encode(batch), 2);
    assert.throws(() => openBatch(batchCodec, sealer, QUEUE, other, moved), isRefused);
  });

  const fields: readonly unknown[] = [undefined, null, -1, 0, 1.5, 2 ** 53, '1', '', [], {}, true, NaN];
  for (const field of ['v', 'kid', 'n', 'bytes', 'ct'] as const) {
    test(`any other ${field} is refused`, () => {
      for (const value of fields) {
        if (value === data[field]) continue;
        assert.throws(() => open({ ...data, [field]: value }), PipelineError, JSON.stringify(value));
      }
    });
  }

  test('no object at all is refused', () => {
    for (const value of [undefined, null, 1, 'x', [], {}]) assert.throws(() => open(value), isRefused);
  });

  test('a wrong count of records is refused', () => {
    assert.throws(() => open({ ...data, n: 3 }), isRefused);
  });

  test('what inflates to more, or to less, than it says is refused, and is not inflated any further', () => {
    const bomb = deflateRawSync(Buffer.alloc(32 * 1024 * 1024));
    const id = `${QUEUE}/${batch.batchId}`;
    const sealed = sealer.seal(id, bomb).sealed.toString('base64');
    const before = process.memoryUsage().arrayBuffers;
    assert.throws(() => open({ ...data, bytes: 1_000, ct: sealed }), isRefused);
    assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024);
    assert.throws(() => open({ ...data, bytes: 33 * 1024 * 1024, ct: sealed }), isRefused);
    assert.throws(() => open({ ...data, bytes: 65 * 1024 * 1024, ct: sealed }), isRefused);
    assert.throws(() => open({ ...data, bytes: data.bytes - 1 }), isRefused);
    assert.throws(() => open({ ...data, bytes: data.bytes + 1 }), isRefused);
  });

  test('a newer payload, or a newer frame in it, is left to a newer worker', () => {
    assert.throws(() => open({ ...data, v: 2 }), { code: 'payload_newer' });
    const frame = batchCodec.encode(batch);
    frame.writeUInt8(6, 0);
    assert.throws(() => open(pack(sealer, `${QUEUE}/${batch.batchId}`, frame, 2)), { code: 'payload_newer' });
  });

  test('rows of several tables are of a version that a reader of one table leaves alone', () => {
    const batch = fc.sample(maskedBatches, { numRuns: 1, seed: 7 })[0];
    assert.ok(batch);
    const { several: _, ...alone } = batch;
    assert.ok(maskedCodec.encode(alone).readUInt8(0) < 5);
    assert.equal(maskedCodec.encode({ ...alone, several: { table: 't', further: [] } }).readUInt8(0), 5);
  });

  test('a frame says that it is of the version before, unless that could not read it', () => {
    const record = { id: 'm', message: 0, body: '[]' };
    const sent = batchOf(['{}']);
    const versionOf = (rejected: InputRecord['rejected']) =>
      batchCodec
        .encode({ ...sent, records: [{ ...record, ...(rejected ? { rejected } : {}) }] })
        .readUInt8(0);
    const reasons = [
      undefined,
      'bad_envelope',
      'crashed_worker',
      'too_large',
      'object_gone',
      'no_route',
    ] as const;
    assert.deepEqual(reasons.map(versionOf), [1, 1, 1, 2, 4, 5]);
    const masked = batchOf(['{}']).records.map(({ id }) => ({ id, sentAt: 0, messageId: id, message: 0 }));
    const rejected = masked.map((key) => ({
      ...key,
      quarantineId: 'q',
      code: 'object_gone' as const,
      path: null,
      kind: 'raw' as const,
      sealed: Buffer.from('x'),
      kid: 1,
      held: false,
    }));
    const gone: MaskedBatch = {
      ...sent,
      messages: 1,
      receivedAt: 0,
      policySha256: '0'.repeat(64),
      kids: [],
      columns: [],
      keys: [],
      rows: asMasked(Buffer.alloc(0)),
      rejections: rejected,
    };
    assert.equal(maskedCodec.encode(gone).readUInt8(0), 4);
    assert.deepEqual(maskedCodec.decode(maskedCodec.encode(gone)).rejections, rejected);
    const other = rejected.map((one) => ({ ...one, code: 'too_large' as const }));
    assert.equal(maskedCodec.encode({ ...gone, rejections: other }).readUInt8(0), 1);
    const unrouted = rejected.map((one) => ({ ...one, code: 'no_route' as const }));
    assert.equal(maskedCodec.encode({ ...gone, rejections: unrouted }).readUInt8(0), 5);
  });

  test('a key that is not there is said to be that', () => {
    assert.throws(() => openBatch(batchCodec, testSealer(2), QUEUE, batch.batchId, data), {
      code: 'key_unavailable',
    });
  });

  test('what another keyring sealed is said to be that, under the same key id too', () => {
    const other = testSealer(1, 'kr_other');
    const theirs = pack(other, `${QUEUE}/${batch.batchId}`, batchCodec.encode(batch), 2);
    assert.equal(theirs.kid, data.kid);
    assert.throws(() => open(theirs), {
      code: 'key_unavailable',
      message: /sealed under another keyring \(kr_other; this process has kr_test\)/,
    });
    assert.throws(
      () => open({ ...theirs, keyring: 'c4nary <b>' }),
      (error: Error) => {
        assert.ok(!error.message.includes('c4nary'));
        return true;
      },
    );
  });

  test('a batch that is too large to be read is not written', () => {
    assert.throws(() => pack(sealer, 'x', Buffer.alloc(64 * 1024 * 1024 + 1), 1), { code: 'config_invalid' });
  });

  test('an unpacked frame is what was packed, whatever it holds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8 }), fc.nat(), (frame, n) => {
        assert.deepEqual(unpack(sealer, 'x', pack(sealer, 'x', Buffer.from(frame), n)), {
          frame: Buffer.from(frame),
          n,
        });
      }),
    );
  });
});

describe('a frame that is not as it should be', () => {
  /** A frame written by hand: version, kind, head, parts. */
  function frameOf(kind: string, head: unknown, ...parts: readonly (string | Buffer)[]): Buffer {
    const json = Buffer.from(JSON.stringify(head));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(json.length);
    return Buffer.concat([
      Buffer.from([1]),
      Buffer.from(kind),
      length,
      json,
      ...parts.map((part) => Buffer.from(part)),
    ]);
  }

  const message = ['m', 1, 2, {}, null, null];
  const sha = 'ab'.repeat(32);
  const masked = ['b', 'r', 'p', 1, 2, sha, [1], ['c'], [['m', 1, null, 0]], 2, []];
  const rejection = ['m', 1, null, 0, 'q', 'not_json', null, 'raw', 1, false, 3];

  function changed(list: readonly unknown[], index: number, value: unknown): readonly unknown[] {
    return list.map((item, at) => (at === index ? value : item));
  }

  test('written by hand as it should be, it is read', () => {
    const batch = batchCodec.decode(
      frameOf(
        'B',
        [
          'b',
          'r',
          'p',
          [message],
          [
            [null, 0, 2, 0],
            ['x', 0, 2, 3],
          ],
        ],
        '{}',
        'a\0',
      ),
    );
    assert.deepEqual(batch.records, [
      { id: 'm', message: 0, body: '{}' },
      { id: 'x', message: 0, body: 'a', rejected: 'bad_envelope' },
    ]);
    const read = maskedCodec.decode(frameOf('M', changed(masked, 10, [rejection]), 'a\n', 'xyz'));
    assert.equal(read.rows.toString(), 'a\n');
    assert.equal(read.rejections[0]?.sealed.toString(), 'xyz');
  });

  const badBatches: readonly [string, Buffer][] = [
    ['nothing', Buffer.alloc(0)],
    ['another kind', frameOf('M', ['b', 'r', 'p', [], []])],
    [
      'version 0',
      Buffer.from(frameOf('B', ['b', 'r', 'p', [], []]).map((byte, at) => (at === 0 ? 0 : byte))),
    ],
    ['a head beyond its end', Buffer.from([1, 0x42, 0, 0, 255, 255, 91, 93])],
    ['a head that is no JSON', Buffer.from([1, 0x42, 0, 0, 0, 2, 91, 91])],
    ['a head that is no UTF-8', Buffer.from([1, 0x42, 0, 0, 0, 4, 0x5b, 0x22, 0xff, 0x5d])],
    ['a head that is no list', frameOf('B', {})],
    ['too few fields', frameOf('B', ['b', 'r', 'p', []])],
    ['too many fields', frameOf('B', ['b', 'r', 'p', [], [], 1])],
    ['bytes left over', frameOf('B', ['b', 'r', 'p', [], []], 'x')],
    ['a batch id that is no string', frameOf('B', [1, 'r', 'p', [], []])],
    ['a negative time', frameOf('B', ['b', 'r', 'p', [changed(message, 1, -1)], []])],
    ['a time with a fraction', frameOf('B', ['b', 'r', 'p', [changed(message, 2, 1.5)], []])],
    ['attributes that are a list', frameOf('B', ['b', 'r', 'p', [changed(message, 3, [])], []])],
    ['an attribute that is a number', frameOf('B', ['b', 'r', 'p', [changed(message, 3, { a: 1 })], []])],
    ['a group id that is a number', frameOf('B', ['b', 'r', 'p', [changed(message, 4, 7)], []])],
    ['a record of no message', frameOf('B', ['b', 'r', 'p', [message], [[null, 1, 0, 0]]])],
    ['a record of message -1', frameOf('B', ['b', 'r', 'p', [message], [[null, -1, 0, 0]]])],
    ['a record without a message', frameOf('B', ['b', 'r', 'p', [], [['x', 0, 0, 0]]])],
    ['a body longer than the frame', frameOf('B', ['b', 'r', 'p', [message], [[null, 0, 9, 0]]], 'x')],
    ['a body of negative length', frameOf('B', ['b', 'r', 'p', [message], [[null, 0, -1, 0]]])],
    [
      'a body that is no UTF-8',
      frameOf('B', ['b', 'r', 'p', [message], [[null, 0, 1, 0]]], Buffer.from([0xff])),
    ],
    [
      'bodies that split a character',
      frameOf(
        'B',
        [
          'b',
          'r',
          'p',
          [message],
          [
            [null, 0, 1, 0],
            [null, 0, 1, 0],
          ],
        ],
        'é',
      ),
    ],
    ['half a UTF-16 unit', frameOf('B', ['b', 'r', 'p', [message], [[null, 0, 1, 1]]], 'a')],
    ['unknown flags', frameOf('B', ['b', 'r', 'p', [message], [[null, 0, 0, 64]]])],
    ['two reasons not to read a body', frameOf('B', ['b', 'r', 'p', [message], [[null, 0, 0, 6]]])],
  ];
  for (const [what, frame] of badBatches) {
    test(`a batch with ${what} is refused`, () => {
      assert.throws(() => batchCodec.decode(frame), isRefused);
    });
  }

  const badMasked: readonly [string, Buffer][] = [
    ['another kind', frameOf('B', masked, 'a\n')],
    ['fewer rows than keys', frameOf('M', changed(masked, 9, 0))],
    ['more rows than keys', frameOf('M', changed(masked, 9, 4), 'a\nb\n')],
    ['a row that does not end', frameOf('M', changed(masked, 9, 3), 'a\nb')],
    ['no policy', frameOf('M', changed(masked, 5, 'x'), 'a\n')],
    ['a policy in capitals', frameOf('M', changed(masked, 5, sha.toUpperCase()), 'a\n')],
    ['the key id 0', frameOf('M', changed(masked, 6, [0]), 'a\n')],
    ['a key id beyond u32', frameOf('M', changed(masked, 6, [2 ** 32]), 'a\n')],
    ['a column that is a number', frameOf('M', changed(masked, 7, [1]), 'a\n')],
    ['a key of no message', frameOf('M', changed(masked, 8, [['m', 1, null, 1]]), 'a\n')],
    ['a short key', frameOf('M', changed(masked, 8, [['m', 1, null]]), 'a\n')],
    ['an unknown code', frameOf('M', changed(masked, 10, [changed(rejection, 5, 'whatever')]), 'a\n', 'xyz')],
    [
      'the code constructor',
      frameOf('M', changed(masked, 10, [changed(rejection, 5, 'constructor')]), 'a\n', 'xyz'),
    ],
    [
      'a refusal without SQLSTATE',
      frameOf('M', changed(masked, 10, [changed(rejection, 5, 'refused_x')]), 'a\n', 'xyz'),
    ],
    ['a path that is a number', frameOf('M', changed(masked, 10, [changed(rejection, 6, 1)]), 'a\n', 'xyz')],
    ['an unknown kind', frameOf('M', changed(masked, 10, [changed(rejection, 7, 'rare')]), 'a\n', 'xyz')],
    ['held that is no boolean', frameOf('M', changed(masked, 10, [changed(rejection, 9, 1)]), 'a\n', 'xyz')],
    ['a sealed body cut short', frameOf('M', changed(masked, 10, [rejection]), 'a\n', 'xy')],
    ['no groups and nothing behind them', frameOf('M', [...masked, null], 'a\n')],
    ['a further row of no record', frameOf('M', [...masked, null, ['t', [['u', [], [1], 2]]]], 'a\n', 'b\n')],
    [
      'further rows out of order',
      frameOf(
        'M',
        [
          ...changed(
            changed(masked, 8, [
              ['m', 1, null, 0],
              ['n', 1, null, 0],
            ]),
            9,
            4,
          ),
          null,
          ['t', [['u', [], [1, 0], 4]]],
        ],
        'a\na\n',
        'b\nb\n',
      ),
    ],
    [
      'fewer further rows than it says',
      frameOf('M', [...masked, null, ['t', [['u', [], [0, 0], 2]]]], 'a\n', 'b\n'),
    ],
    [
      'a further table without a name',
      frameOf('M', [...masked, null, ['t', [[1, [], [0], 2]]]], 'a\n', 'b\n'),
    ],
  ];
  for (const [what, frame] of badMasked) {
    test(`a masked batch with ${what} is refused`, () => {
      assert.throws(() => maskedCodec.decode(frame), isRefused);
    });
  }

  test('whatever bytes there are, they are read or refused, and nothing of them is quoted', () => {
    const canary = 'canary-c0ffee';
    const real = batchCodec.encode(batchOf([canary, canary]));
    fc.assert(
      fc.property(fc.nat({ max: real.length - 1 }), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const frame = Buffer.from(real);
        frame.writeUInt8(byte, at);
        try {
          batchCodec.decode(frame);
        } catch (error) {
          assert.ok(error instanceof PipelineError);
          assert.ok(['payload_corrupt', 'payload_newer'].includes(error.code));
          assert.ok(!error.message.includes('canary') && error.cause === undefined);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
