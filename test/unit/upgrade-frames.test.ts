import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchCodec, maskedCodec } from '../../src/queue/payload.js';

// Frames as each version has written them, by hand: `version, kind, length of the head, head, parts`. They stand for
// what an older process has left in the queue, so they are never changed.

function frame(
  version: number,
  kind: 'B' | 'M',
  head: readonly unknown[],
  ...parts: readonly string[]
): Buffer {
  const json = Buffer.from(JSON.stringify(head));
  const prefix = Buffer.from([version, kind.charCodeAt(0), 0, 0, 0, 0]);
  prefix.writeUInt32BE(json.length, 2);
  return Buffer.concat([prefix, json, ...parts.map((part) => Buffer.from(part))]);
}

const MESSAGE = ['m-1', 1_700_000_000_000, 1_700_000_000_500, { trace: 't' }, null, null];
const POLICY = 'ab'.repeat(32);
const KEYS = [['m-1', 1_700_000_000_000, null, 0]];
const REJECTED = ['m-2', 1_700_000_000_001, null, 1, 'q-1'];
const MASKED = ['b-1', 'r-1', 'logins', 2, 1_700_000_000_500, POLICY, [1], ['id', 'ip'], KEYS, 9];
/** One row of two columns. */
const ROW = 'm-1\ts1.x';

test('version 1: a batch, with a record whose envelope could not be opened', () => {
  const records = [
    [null, 0, 7, 0],
    ['m-1#1', 0, 3, 2],
  ];
  const batch = batchCodec.decode(
    frame(1, 'B', ['b-1', 'r-1', 'logins', [MESSAGE], records], '{"a":1}', 'bad'),
  );
  assert.deepEqual(batch, {
    batchId: 'b-1',
    runId: 'r-1',
    pipeline: 'logins',
    messages: [
      {
        messageId: 'm-1',
        sentAt: 1_700_000_000_000,
        receivedAt: 1_700_000_000_500,
        attributes: { trace: 't' },
      },
    ],
    records: [
      { id: 'm-1', message: 0, body: '{"a":1}' },
      { id: 'm-1#1', message: 0, body: 'bad', rejected: 'bad_envelope' },
    ],
  });
});

test('version 1: a masked batch, with a rejection', () => {
  const rejections = [[...REJECTED, 'missing_field', 'ip', 'raw', 1, false, 6]];
  const batch = maskedCodec.decode(frame(1, 'M', [...MASKED, rejections], `${ROW}\n`, 'sealed'));
  assert.equal(batch.rows.toString(), `${ROW}\n`);
  assert.deepEqual(batch.columns, ['id', 'ip']);
  assert.deepEqual(batch.keys, [{ id: 'm-1', sentAt: 1_700_000_000_000, messageId: 'm-1', message: 0 }]);
  const [{ sealed, ...rejection } = { sealed: Buffer.alloc(0) }] = batch.rejections;
  assert.equal(sealed.toString(), 'sealed');
  assert.deepEqual(rejection, {
    ...{ id: 'm-2', sentAt: 1_700_000_000_001, messageId: 'm-2', message: 1, quarantineId: 'q-1' },
    ...{ code: 'missing_field', path: 'ip', kind: 'raw', kid: 1, held: false },
  });
  assert.equal(batch.groups, undefined);
  assert.equal(batch.several, undefined);
});

test('version 2: a record that is too large; version 4: one whose object is gone; version 5: one of no route', () => {
  for (const [version, flag, rejected] of [
    [2, 8, 'too_large'],
    [4, 16, 'object_gone'],
    [5, 32, 'no_route'],
  ] as const) {
    const head = ['b-1', 'r-1', 'logins', [MESSAGE], [[null, 0, 2, flag]]];
    assert.equal(batchCodec.decode(frame(version, 'B', head, '{}')).records[0]?.rejected, rejected);
  }
});

test('version 3: the groups of a FIFO queue', () => {
  const batch = maskedCodec.decode(frame(3, 'M', [...MASKED, [], [0, null]], `${ROW}\n`));
  assert.deepEqual(batch.groups, [0, null]);
});

test('a version that is still to come is left to who can read it, and says that an upgrade is under way', () => {
  const head = ['b-1', 'r-1', 'logins', [], []];
  assert.throws(() => batchCodec.decode(frame(6, 'B', head)), {
    code: 'payload_newer',
    message: /has version 6, and this maskline reads up to 5: finish the upgrade/,
  });
});
