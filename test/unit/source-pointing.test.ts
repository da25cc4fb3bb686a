import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Opening, openMessage, prepareOpening } from '../../src/source/unwrap.js';
import { AUTO } from '../support/opening.js';

await prepareOpening();

const BUCKETS = ['amzn-s3-demo-bucket', 'mine'];
const FOLLOWED: Opening = { ...AUTO, buckets: BUCKETS };

// As printed in AWS's guides, shortened in parts that nobody reads: "Event message structure", Amazon S3 User Guide;
// "Amazon S3 events" in the same for EventBridge; and what S3 sends when a notification is set up.
const notification = (
  object: string,
  eventName = 'ObjectCreated:Put',
  bucket = 'amzn-s3-demo-bucket',
): string =>
  `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"1970-01-01T00:00:00.000Z",
  "eventName":"${eventName}","userIdentity":{"principalId":"AIDAJDPLRKLG7UEXAMPLE"},"s3":{"s3SchemaVersion":"1.0",
  "configurationId":"testConfigRule","bucket":{"name":"${bucket}","ownerIdentity":{"principalId":"A3NL1KOZZKExample"},
  "arn":"arn:aws:s3:::${bucket}"},"object":${object}}}]}`;
const OBJECT =
  '{"key":"HappyFace.jpg","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e","versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"}';
const eventBridge = (type = 'Object Created'): string =>
  `{"version":"0","id":"17793124-05d4-b198-2fde-7ededc63b103","detail-type":"${type}","source":"aws.s3","account":"111122223333",
  "time":"2021-11-12T00:00:00Z","region":"ca-central-1","resources":["arn:aws:s3:::amzn-s3-demo-bucket"],"detail":{"version":"0",
  "bucket":{"name":"amzn-s3-demo-bucket"},"object":{"key":"a+b%20c","size":5,"etag":"b1946ac92492d2347c6235b4d2611184",
  "version-id":"IYV3p45BT0ac8hjHg1houSdS1a.Mro8e","sequencer":"617f08299329d189"},"request-id":"N4N7GDK58NMKJ12R","reason":"PutObject"}}`;
const TEST_EVENT =
  '{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z","Bucket":"amzn-s3-demo-bucket","RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE"}';
const POINTERS = [
  '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"mine","s3Key":"f7a0c3"}]',
  '["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"mine","s3Key":"f7a0c3"}]',
];
const sns = (Message: string): string =>
  JSON.stringify({ Type: 'Notification', TopicArn: 'arn:aws:sns:us-west-2:123456789012:MyTopic', Message });
const PAYLOAD = { bucket: 'mine', key: 'f7a0c3', versionId: null, eTag: null };

const opened = (body: string, changes: Partial<Opening> = {}) =>
  openMessage('id', body, { ...FOLLOWED, ...changes });
const objectsOf = (body: string, changes: Partial<Opening> = {}) => {
  const { points, records } = opened(body, changes);
  return points?.kind === 'objects' ? points.objects : records;
};

test('an event of a new object points to it, plainly, in SNS, and from EventBridge', () => {
  const place = {
    bucket: 'amzn-s3-demo-bucket',
    key: 'HappyFace.jpg',
    versionId: '096fKKXTRTtl3on89fVO.nfljtsv6qko',
    eTag: 'd41d8cd98f00b204e9800998ecf8427e',
  };
  const bridged = {
    bucket: 'amzn-s3-demo-bucket',
    key: 'a+b%20c',
    versionId: 'IYV3p45BT0ac8hjHg1houSdS1a.Mro8e',
    eTag: 'b1946ac92492d2347c6235b4d2611184',
  };
  for (const envelope of ['auto', 's3'] as const) {
    assert.deepEqual(objectsOf(notification(OBJECT), { envelope }), [place]);
    assert.deepEqual(objectsOf(sns(notification(OBJECT)), { envelope }), [place]);
    assert.deepEqual(objectsOf(eventBridge(), { envelope }), [bridged]);
    assert.deepEqual(objectsOf(sns(eventBridge()), { envelope }), [bridged]);
  }
});

test('keys of notifications are decoded as S3 encodes them', () => {
  const keyOf = (key: string) =>
    objectsOf(notification(JSON.stringify({ key }))).map((place) => 'key' in place && place.key);
  assert.deepEqual(keyOf('red+flower.jpg'), ['red flower.jpg']);
  assert.deepEqual(keyOf('a%2Bb/%C3%A9%25'), ['a+b/é%']);
});

test('events of what is no new object, and the one by which S3 tries out a queue, hold no records', () => {
  const none = [
    TEST_EVENT,
    sns(TEST_EVENT),
    notification(OBJECT, 'ObjectRemoved:Delete'),
    eventBridge('Object Deleted'),
  ];
  for (const body of none) {
    for (const envelope of ['auto', 's3'] as const) {
      assert.deepEqual(opened(body, { envelope }).points, { kind: 'objects', objects: [] });
    }
  }
});

test('a pointer of the Extended Client Library points to the body, which is opened as the settings say', () => {
  for (const pointer of POINTERS) {
    const pointsOf = (body: string, envelope: Opening['envelope']) => {
      const { points } = opened(body, { envelope });
      assert.ok(points?.kind === 'payload');
      assert.deepEqual(points.payload, PAYLOAD);
      assert.equal(points.opening.buckets, undefined, 'what it holds is not followed');
      return points.opening.envelope;
    };
    assert.equal(pointsOf(pointer, 'auto'), 'auto');
    assert.equal(pointsOf(pointer, 'eventbridge'), 'eventbridge');
    assert.equal(pointsOf(pointer, 's3'), 'auto');
    assert.equal(pointsOf(sns(pointer), 'auto'), 'auto');
    assert.equal(pointsOf(sns(pointer), 'sns'), 'none');
  }
});

test('only buckets that are named are read', () => {
  const bodies = [
    notification(OBJECT, 'ObjectCreated:Put', 'other'),
    POINTERS[0]?.replace('mine', 'other') ?? '',
  ];
  for (const body of bodies) {
    assert.deepEqual(opened(body), {
      records: [{ id: 'id', body, rejected: 'bad_envelope' }],
      attributes: {},
      bytes: Buffer.byteLength(body),
    });
  }
});

test('nothing is followed without source.s3, nor under envelope: none', () => {
  const bodies = [notification(OBJECT), eventBridge(), TEST_EVENT, ...POINTERS];
  for (const body of bodies) {
    const { points, records } = openMessage('id', body, AUTO);
    assert.equal(points, undefined);
    assert.equal(records.length, 1);
    assert.deepEqual(opened(body, { envelope: 'none', records: 'one' }).records, [{ id: 'id', body }]);
  }
});

test('what only looks like an event or a pointer is left alone by auto, and rejected by name', () => {
  const alike = [
    '{"a":1}',
    '{"Records":[]}',
    '{"Records":[{"eventSource":"aws:sqs","s3":{}}],"x":"aws:s3"}',
    notification('{"size":1}'),
    notification('{"key":"%E0%A4%A"}'),
    '{"Event":"s3:TestEvent"}',
    '{"source":"aws.s3","detail":{}}',
    '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"mine"}]',
    '["mine.S3Pointer",{"s3BucketName":"mine","s3Key":"k"}]',
    '[["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"mine","s3Key":"k"}]]',
    '{"__proto__":{"Service":"Amazon S3","Event":"s3:TestEvent"}}',
    '"s3:TestEvent" "aws.s3" S3Pointer" "s3BucketName"',
  ];
  for (const body of alike) {
    assert.equal(opened(body).points, undefined, body);
    assert.deepEqual(opened(body, { records: 'one' }).records, [{ id: 'id', body }]);
    assert.deepEqual(opened(body, { envelope: 's3' }).records, [
      { id: 'id', body, rejected: 'bad_envelope' },
    ]);
  }
});
