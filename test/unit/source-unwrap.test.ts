import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { elementTexts, memberText } from '../../src/source/json-member.js';
import { type EnvelopeMode, type Opening, openMessage, prepareOpening } from '../../src/source/unwrap.js';
import { AS_IT_IS, AUTO } from '../support/opening.js';

await prepareOpening();

const recordsOf = (id: string, body: string, envelope: EnvelopeMode, opening: Partial<Opening> = {}) =>
  openMessage(id, body, { ...AS_IT_IS, envelope, ...opening }).records;
/** By the settings of a pipeline file that says nothing of them. */
const opened = (body: string, changes: Partial<Opening> = {}) =>
  openMessage('id', body, { ...AUTO, ...changes });
const bodiesOf = (body: string, changes: Partial<Opening> = {}) =>
  opened(body, changes).records.map((record) => record.body);
const rejectedAs = (rejected: string, body: string) => [{ id: 'id', body, rejected }];

// Both as printed in AWS's developer guides, shortened in names and signatures only.
const sns = (message: string): string =>
  JSON.stringify({
    Type: 'Notification',
    MessageId: '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324',
    TopicArn: 'arn:aws:sns:us-west-2:123456789012:MyTopic',
    Subject: 'My First Message',
    Message: message,
    Timestamp: '2012-05-02T00:54:06.655Z',
    SignatureVersion: '1',
  });
const event = (detail: string): string =>
  `{"version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": "EC2 Instance State-change Notification",
  "source": "aws.ec2", "account": "111122223333", "time": "2017-12-22T18:43:48Z", "region": "us-west-1",
  "resources": ["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"], "detail": ${detail} }`;

const plain = '{"user_id":"u","detail":{"a":1},"Type":"Notification"}';

test('without an envelope the body is the record, byte for byte', () => {
  for (const body of [plain, '', 'not json', sns('x'), event('{}')]) {
    assert.deepEqual(recordsOf('id', body, 'none'), [{ id: 'id', body }]);
  }
});

test('auto opens an SNS notification and an EventBridge event, and an event inside a notification', () => {
  assert.deepEqual(recordsOf('id', sns(plain), 'auto'), [{ id: 'id', body: plain }]);
  assert.deepEqual(recordsOf('id', event('{"a":1}'), 'auto'), [{ id: 'id', body: '{"a":1}' }]);
  assert.deepEqual(recordsOf('id', sns(event('{"a":1}')), 'auto'), [{ id: 'id', body: '{"a":1}' }]);
  assert.deepEqual(recordsOf('id', sns(''), 'auto'), [{ id: 'id', body: '' }]);
});

test('auto leaves alone whatever is not surely an envelope', () => {
  const alike = [
    plain,
    '',
    'null',
    '[]',
    '"TopicArn" "Notification"',
    '{"Type":"Notification","TopicArn":"arn:x","Message":{"not":"a string"}}',
    '{"Type":"SubscriptionConfirmation","TopicArn":"arn:x","Message":"\\"Notification\\""}',
    '{"__proto__":{"Type":"Notification","TopicArn":"arn:x","Message":"m"}}',
    '{"detail-type":"mine","detail":{"a":1}}',
    event('[1]'),
    event('null'),
    event('{"a":1'),
    `[${event('{}')}]`,
  ];
  for (const body of alike) assert.deepEqual(recordsOf('id', body, 'auto'), [{ id: 'id', body }], body);
});

test('a forced envelope that is not there rejects the record and keeps its body', () => {
  for (const body of [plain, '', 'x', event('{}')]) {
    assert.deepEqual(recordsOf('id', body, 'sns'), [{ id: 'id', body, rejected: 'bad_envelope' }]);
  }
  for (const body of [plain, '', 'x', sns('{}')]) {
    assert.deepEqual(recordsOf('id', body, 'eventbridge'), [{ id: 'id', body, rejected: 'bad_envelope' }]);
  }
  assert.deepEqual(recordsOf('id', sns(plain), 'sns'), [{ id: 'id', body: plain }]);
  assert.deepEqual(recordsOf('id', event('{"b":2}'), 'eventbridge'), [{ id: 'id', body: '{"b":2}' }]);
});

test('the detail of an event keeps every digit, escape, space and duplicate of its source', () => {
  const detail = '{ "id": 12345678901234567890.00,"e":1E400, "s":"\\u00e9\\n}\\"{", "s":2,"deep":[[{}]] }';
  assert.deepEqual(recordsOf('id', event(detail), 'eventbridge'), [{ id: 'id', body: detail }]);
});

test('a member is found wherever it stands, by its last occurrence, under any spelling of its name', () => {
  const cases: readonly (readonly [string, string | null])[] = [
    ['{"detail":{"a":1}}', '{"a":1}'],
    [' {\n "x" : "}" , "detail" :\t[1, {"detail":2}] } ', '[1, {"detail":2}]'],
    ['{"detail":1,"detail":"two"}', '"two"'],
    ['{"det\\u0061il":-1.50e+3}', '-1.50e+3'],
    ['{"a":{"detail":1}}', null],
    ['{"a":"\\\\","detail":null}', 'null'],
    ['{"a":"\\"detail\\":1","b":[],"c":{},"detail":true,"d":0}', 'true'],
    ['{"":1}', null],
    ['{}', null],
  ];
  for (const [json, expected] of cases) {
    assert.equal(memberText(json, 'detail'), expected, json);
    // The text means what JSON.parse finds.
    const parsed = (JSON.parse(json) as { readonly detail?: unknown }).detail;
    if (expected !== null) assert.deepEqual(JSON.parse(expected), parsed);
    else assert.equal(parsed, undefined);
  }
});

test('a deeply nested detail is cut out without recursion', () => {
  const depth = 200_000;
  const detail = `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  assert.equal(memberText(`{"detail":${detail},"x":1}`, 'detail'), detail);
});

test('the elements of an array keep every digit, escape and duplicate of their source, and lose only space', () => {
  const elements = [
    '{ "id": 12345678901234567890.00 }',
    '1E400',
    '"],[\\""',
    '[[{}], "]"]',
    '{"a":1,"a":2}',
    'null',
  ];
  assert.deepEqual(elementTexts(`\n[ ${elements.join(' ,\t')} ] `, 6), elements);
  assert.equal(elementTexts(`[${elements.join()}]`, 5), null);
  assert.deepEqual(elementTexts('[ ]', 0), []);
});

test('any array of any JSON comes apart into the texts that it was made of', () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue({ depthSize: 'small' })),
      fc.constantFrom('', ' ', '\n\t'),
      (values, space) => {
        const texts = values.map((value) => JSON.stringify(value));
        assert.deepEqual(
          elementTexts(`${space}[${space}${texts.join(`${space},${space}`)}${space}]`, 1_000),
          texts,
        );
      },
    ),
  );
});

const many = (texts: readonly string[]) => texts.map((body, index) => ({ id: `id#${index}`, body }));

test('a message of several records gives each its place in the message as id; one alone has that of the message', () => {
  assert.deepEqual(opened('[{"a":1.50},{"b":2}]').records, many(['{"a":1.50}', '{"b":2}']));
  assert.deepEqual(opened('{"a":1.50}\n{"b":2}\n').records, many(['{"a":1.50}', '{"b":2}']));
  assert.deepEqual(opened('[{"a":1}]').records, [{ id: 'id', body: '{"a":1}' }]);
  assert.deepEqual(opened('{"a":1}\n', { records: 'lines' }).records, [{ id: 'id', body: '{"a":1}' }]);
  assert.deepEqual(opened('[]').records, []);
});

test('auto takes apart arrays that begin with an object, and leaves others, which are no objects, as they are', () => {
  assert.deepEqual(bodiesOf(' [ {"a":1} , null, 5, [{}] ]'), ['{"a":1}', 'null', '5', '[{}]']);
  assert.deepEqual(bodiesOf('\ufeff[{"a":1},{}]'), ['{"a":1}', '{}']);
  for (const body of [
    '[1,{"a":1}]',
    '["event",{"a":1}]',
    '[[{"a":1}]]',
    '[null]',
    '[{"a":1},]',
    '[{"a":1}',
    '[{',
  ]) {
    assert.deepEqual(opened(body).records, [{ id: 'id', body }]);
  }
});

test('auto takes lines apart where the first is an object and the second begins like one, whatever follows', () => {
  assert.deepEqual(bodiesOf('\n{"a":1}\r\n\r\n \t{"b":\nnot json\n'), ['{"a":1}', ' \t{"b":', 'not json']);
  assert.deepEqual(bodiesOf('\ufeff{"a":1}\n{}'), ['\ufeff{"a":1}', '{}']);
  const alike = [
    '{\n"a":1\n}',
    '{"a":\n{"b":1}}',
    '{"a":1}',
    '{"a":1}\n',
    '{"a":1}\n5',
    '5\n{"a":1}',
    'x\n{',
    '{"a":1}{}',
  ];
  for (const body of alike) assert.deepEqual(opened(body).records, [{ id: 'id', body }]);
});

test('a form that is named is the form: one takes nothing apart, array takes any element, lines any line', () => {
  for (const body of ['[{"a":1},{}]', '{"a":1}\n{}'])
    assert.deepEqual(bodiesOf(body, { records: 'one' }), [body]);
  assert.deepEqual(bodiesOf('[1,{"a":1},[]]', { records: 'array' }), ['1', '{"a":1}', '[]']);
  for (const body of ['{"a":1}', '[1', '', '"[]"'])
    assert.deepEqual(opened(body, { records: 'array' }).records, rejectedAs('bad_envelope', body));
  assert.deepEqual(bodiesOf('x\n\n[1]\n{', { records: 'lines' }), ['x', '[1]', '{']);
  // No JSON, which is what it is called then.
  for (const body of ['', ' \n\t\r\n']) assert.deepEqual(bodiesOf(body, { records: 'lines' }), [body]);
});

test('a message of more records than it may have is one, too large, with the body as it came', () => {
  const [array, lines] = ['[{},{},{}]', '{}\n{}\n{}'];
  for (const body of [array, lines]) {
    assert.equal(opened(body, { maxRecords: 3 }).records.length, 3);
    assert.deepEqual(opened(body, { maxRecords: 2 }).records, rejectedAs('too_large', body));
  }
});

const encoded: Readonly<{ [name: string]: (text: string) => string }> = {
  base64: (text) => Buffer.from(text).toString('base64'),
  gzip: (text) => gzipSync(text).toString('base64'),
  deflate: (text) => deflateSync(text).toString('base64'),
};
const lineBroken = (text: string) => text.replaceAll(/.{1,76}/g, '$&\r\n');
const urlSafe = (text: string) => text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

test('a body in base64, compressed or not, is decoded by auto and by name, however its base64 is spelled', () => {
  const text = `{"a":1.50,"b":"${'é\u2028'.repeat(50)}"}`;
  for (const [encoding, encode] of Object.entries(encoded)) {
    const body = encode(text);
    for (const spelled of [body, lineBroken(body), urlSafe(body), `\n${body}`]) {
      assert.deepEqual(bodiesOf(spelled), [text], encoding);
      assert.deepEqual(
        bodiesOf(spelled, { encoding: encoding as 'gzip', envelope: 'none' }),
        [text],
        encoding,
      );
    }
    assert.deepEqual(bodiesOf(body, { encoding: 'none' }), [body]);
  }
  assert.deepEqual(bodiesOf(deflateRawSync(text).toString('base64'), { encoding: 'deflate' }), [text]);
  assert.deepEqual(bodiesOf(encoded['gzip']?.('[{"a":1},{"b":2}]') ?? ''), ['{"a":1}', '{"b":2}']);
});

test('auto leaves alone what only looks like base64', () => {
  for (const body of [
    '',
    ' ',
    '12345678',
    'true',
    'null',
    '"H4sI"',
    'eJ no base64',
    'abcd',
    'H4sI {}',
    'e30===',
  ])
    assert.deepEqual(opened(body).records, [{ id: 'id', body }]);
  // Base64 of what begins like JSON, and is no text.
  const body = Buffer.from([0x7b, 0xff, 0xfe]).toString('base64');
  assert.deepEqual(opened(body).records, [{ id: 'id', body }]);
});

test('a body that claims an encoding and fails is rejected with the body as it came', () => {
  const gzip = encoded['gzip']?.('{"a":1}') ?? '';
  const cut = gzipSync('{"a":1}'.repeat(100)).subarray(0, -9).toString('base64');
  const damaged = Buffer.from(gzip, 'base64').fill(7, 12).toString('base64');
  const noText = gzipSync(Buffer.from([0x7b, 0xff])).toString('base64');
  for (const body of ['H4sIAAAAAAAA', cut, damaged, noText]) {
    for (const encoding of ['auto', 'gzip'] as const)
      assert.deepEqual(opened(body, { encoding }).records, rejectedAs('bad_envelope', body));
  }
  for (const encoding of ['base64', 'gzip', 'deflate'] as const) {
    for (const body of ['', '{"a":1}', 'a b$']) {
      assert.deepEqual(opened(body, { encoding }).records, rejectedAs('bad_envelope', body), encoding);
    }
  }
  assert.deepEqual(opened(gzip, { encoding: 'deflate' }).records, rejectedAs('bad_envelope', gzip));
});

test('a bomb is refused at its limit, in little memory, and what just fits is not', () => {
  const limit = 64 * 1024;
  const fits = `{"a":"${'x'.repeat(limit - 8)}"}`;
  assert.equal(Buffer.byteLength(fits), limit);
  for (const compress of [gzipSync, deflateSync]) {
    const body = compress(fits).toString('base64');
    assert.deepEqual(bodiesOf(body, { maxUnpackedBytes: limit }), [fits]);
    assert.deepEqual(opened(body, { maxUnpackedBytes: limit - 1 }).records, rejectedAs('too_large', body));
  }
  const bomb = gzipSync(Buffer.alloc(512 * 1024 * 1024, 0x20)).toString('base64');
  const before = process.memoryUsage();
  assert.deepEqual(opened(bomb).records, rejectedAs('too_large', bomb));
  const after = process.memoryUsage();
  assert.ok(after.arrayBuffers - before.arrayBuffers + after.external - before.external < 64 * 1024 * 1024);
});

test('what counts of a message against the bytes in flight is its body, or what it unpacks to', () => {
  assert.equal(opened('{"a":"é"}').bytes, 10);
  assert.equal(opened(encoded['gzip']?.(`{"a":"${'é'.repeat(1_000)}"}`) ?? '').bytes, 2_008);
  const wrapped = sns('{"a":1}');
  assert.equal(opened(wrapped).bytes, wrapped.length);
});

test('SNS, EventBridge, encodings and lists are opened in each other', () => {
  const list = '[{"a":1.50},{"b":2}]';
  const expected = ['{"a":1.50}', '{"b":2}'];
  for (const encode of Object.values(encoded)) {
    assert.deepEqual(bodiesOf(sns(encode(list))), expected);
    assert.deepEqual(bodiesOf(encode(sns(list))), expected);
    assert.deepEqual(bodiesOf(encode(sns(encode(list)))), expected);
    assert.deepEqual(bodiesOf(encode(event('{"a":1}'))), ['{"a":1}']);
    assert.deepEqual(bodiesOf(sns(encode(event('{"a":1}')))), ['{"a":1}']);
  }
  // Around the envelope, and in it, and no deeper.
  const twice = gzipSync(encoded['gzip']?.(list) ?? '').toString('base64');
  assert.deepEqual(bodiesOf(twice), [encoded['gzip']?.(list)]);
  assert.deepEqual(bodiesOf(sns('{"a":1}\n{"b":2}')), ['{"a":1}', '{"b":2}']);
  assert.deepEqual(bodiesOf(event('{"list":[{"a":1},{"b":2}]}')), ['{"list":[{"a":1},{"b":2}]}']);
  // A named encoding is that of the innermost text.
  const gzip = encoded['gzip'] ?? String;
  assert.deepEqual(
    bodiesOf(sns(gzip(list)), { envelope: 'sns', encoding: 'gzip', records: 'array' }),
    expected,
  );
  assert.deepEqual(bodiesOf(gzip(event('{"a":1}')), { envelope: 'eventbridge', encoding: 'gzip' }), [
    '{"a":1}',
  ]);
  const plainInside = sns(list);
  assert.deepEqual(
    opened(plainInside, { envelope: 'sns', encoding: 'gzip' }).records,
    rejectedAs('bad_envelope', plainInside),
  );
});

test('the attributes of an SNS notification are those of the message, but for binary ones', () => {
  const notification = JSON.stringify({
    ...(JSON.parse(sns('{}')) as object),
    MessageAttributes: {
      tenant: { Type: 'String', Value: 't é' },
      n: { Type: 'Number', Value: '1.50' },
      list: { Type: 'String.Array', Value: '["a"]' },
      bytes: { Type: 'Binary', Value: 'AAAA' },
      none: { Type: 'String' },
      odd: 5,
      ['__proto__']: null,
    },
  });
  assert.deepEqual(opened(notification).attributes, { tenant: 't é', n: '1.50', list: '["a"]' });
  assert.deepEqual(opened(notification, { envelope: 'none' }).attributes, {});
  for (const odd of ['null', '5', '[]', '"x"']) {
    assert.deepEqual(opened(sns('{}').replace('{', `{"MessageAttributes":${odd},`)).attributes, {});
  }
});

// By the reference implementation (zstd 1.5.4): of unknown size with a checksum; of known size without one; and 64 KiB
// of spaces, of unknown size.
const ZSTD_TEXT = `{"a":1.50,"b":"${'é'.repeat(100)}"}`;
const ZSTD_CHECKED = 'KLUv/QRo1QAAmHsiYSI6MS41MCwiYiI6IsOpIn0BAIdRbgl0L4/A';
const ZSTD_SIZED = 'KLUv/SDZ1QAAmHsiYSI6MS41MCwiYiI6IsOpIn0BAIdRbgk=';
const ZSTD_SPACES = 'KLUv/QRoTQAACCABAPx/HQgBsz2EaQ==';
const joinedBase64 = (...parts: readonly string[]) =>
  Buffer.concat(parts.map((part) => Buffer.from(part, 'base64'))).toString('base64');

test('zstd is decoded by auto and by name, also of several frames and with frames to be skipped', () => {
  const skipped = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9]).toString('base64');
  for (const body of [ZSTD_CHECKED, ZSTD_SIZED]) {
    assert.deepEqual(bodiesOf(body), [ZSTD_TEXT]);
    assert.deepEqual(bodiesOf(body, { encoding: 'zstd' }), [ZSTD_TEXT]);
    const framed = joinedBase64(body, skipped, ZSTD_SPACES, body);
    assert.deepEqual(bodiesOf(framed, { records: 'one' }), [ZSTD_TEXT + ' '.repeat(65_536) + ZSTD_TEXT]);
    assert.deepEqual(bodiesOf(joinedBase64(skipped, body), { encoding: 'zstd' }), [ZSTD_TEXT]);
  }
  assert.deepEqual(bodiesOf(sns(ZSTD_SIZED)), [ZSTD_TEXT]);
});

test('zstd that is cut off, altered, or too much is rejected, whatever it claims', () => {
  const bytes = Buffer.from(ZSTD_CHECKED, 'base64');
  for (let length = 3; length < bytes.length; length += 1) {
    const body = bytes.subarray(0, length).toString('base64');
    assert.deepEqual(opened(body).records, rejectedAs('bad_envelope', body), `${length} bytes`);
  }
  for (let at = 4; at < bytes.length; at += 1) {
    const altered = Buffer.from(bytes);
    altered.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
    const body = altered.toString('base64');
    const [record] = opened(body).records;
    // Nothing alters a text unnoticed. Where the frame still is whole, it may as well be too much.
    if (record?.rejected === undefined) assert.equal(record?.body, ZSTD_TEXT, `byte ${at}`);
  }
  const fits = { maxUnpackedBytes: 65_536, records: 'one' } as const;
  assert.deepEqual(bodiesOf(ZSTD_SPACES, fits), [' '.repeat(65_536)]);
  assert.deepEqual(
    opened(ZSTD_SPACES, { maxUnpackedBytes: 65_535 }).records,
    rejectedAs('too_large', ZSTD_SPACES),
  );
  assert.deepEqual(
    opened(ZSTD_SIZED, { maxUnpackedBytes: 216 }).records,
    rejectedAs('too_large', ZSTD_SIZED),
  );
  // A window of a terabyte, a size of an exabyte, and blocks that never end.
  const window = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0xff]), Buffer.alloc(300, 0xff)]);
  const size = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0]);
  const endless = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x58]), Buffer.alloc(400_000)]);
  for (const [hostile, rejected] of [
    [window, 'bad_envelope'],
    [size, 'too_large'],
    [endless, 'bad_envelope'],
  ] as const) {
    const body = hostile.toString('base64');
    assert.deepEqual(opened(body).records, rejectedAs(rejected, body));
  }
  const blocks = Buffer.from('02001020', 'hex');
  const bomb = Buffer.concat([
    endless.subarray(0, 6),
    ...Array.from({ length: 50_000 }, () => blocks),
    Buffer.from([1, 0, 0]),
  ]);
  const body = bomb.toString('base64');
  assert.deepEqual(opened(body).records, rejectedAs('too_large', body));
});
