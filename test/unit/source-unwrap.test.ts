import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memberText } from '../../src/source/json-member.js';
import { recordsOf } from '../../src/source/unwrap.js';

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
