import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Batch } from '../../src/batch.js';
import { type Clock, systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { type MaskCounts, compileMasker } from '../../src/masking/mask.js';
import { type ColumnPolicy, type ColumnSpec, policySha256 } from '../../src/masking/methods.js';
import { open } from '../../src/masking/seal.js';
import {
  batchOf,
  column,
  decodeCopy,
  policyOf,
  primaryMaster,
  testKeyring,
  token,
} from '../support/masking.js';
import { openSealOracle, rawRecordOracle, tokenOracle } from '../support/oracle.js';

const keyring = testKeyring();

interface Result {
  readonly rows: (string | null)[][];
  readonly rejections: { readonly id: string; readonly code: string; readonly path: string | null }[];
  readonly counts: MaskCounts;
}

function mask(policy: ColumnPolicy, batch: Batch): Result {
  const { masked, counts } = compileMasker(policy, keyring, systemClock).mask(batch);
  assert.equal(masked.keys.length + masked.rejections.length, batch.records.length);
  return {
    rows: decodeCopy(masked.rows),
    rejections: masked.rejections.map(({ id, code, path }) => ({ id, code, path })),
    counts,
  };
}

const maskJson = (columns: readonly ColumnSpec[], ...bodies: object[]): Result =>
  mask(policyOf(columns), batchOf(bodies.map((body) => JSON.stringify(body))));

const logins = [
  column('user_id', { maxLength: 128, required: true }),
  column('masked_ip', {
    path: 'ip',
    source: { kind: 'field', name: 'ip' },
    required: true,
    mask: token('siv', { domain: 'ip', as: 'ip' }),
  }),
  column('device', { mask: token('hmac', { domain: 'device' }), maxLength: 256 }),
  column('app_version', { type: 'version_int' }),
  column('locale', { maxLength: 5 }),
];
const good = { user_id: 'u1', ip: '1.2.3.4', device: 'd-1', app_version: '2.3.0', locale: 'RU' };

test('a batch becomes rows of kept and masked values, keyed by record, with all that loading must know', () => {
  const policy = policyOf(logins);
  const batch = batchOf([JSON.stringify(good), '{', JSON.stringify({ ...good, user_id: 'u2' })]);
  const { masked } = compileMasker(policy, keyring, systemClock).mask(batch);
  const ip = tokenOracle(primaryMaster, 2, 'siv', 'ip', 'ip', '1.2.3.4');
  const device = tokenOracle(primaryMaster, 2, 'hmac', 'device', 'text', 'd-1');
  assert.deepEqual(decodeCopy(masked.rows), [
    ['u1', ip, device, '2003000', 'RU'],
    ['u2', ip, device, '2003000', 'RU'],
  ]);
  assert.deepEqual(masked.columns, ['user_id', 'masked_ip', 'device', 'app_version', 'locale']);
  assert.deepEqual(masked.keys, [
    { id: 'message-0', sentAt: 1_700_000_000_000, messageId: 'message-0', message: 0 },
    { id: 'message-2', sentAt: 1_700_000_000_002, messageId: 'message-2', message: 2 },
  ]);
  assert.equal(masked.messages, 3);
  assert.equal(masked.receivedAt, 1_700_000_004_998);
  assert.equal(masked.policySha256, policy.sha256);
  assert.deepEqual(masked.kids, [2]);
  assert.deepEqual([masked.batchId, masked.runId, masked.pipeline], [batch.batchId, batch.runId, 'logins']);
  assert.equal(masked.rejections.length, 1);
});

test('every rejection says its code and the configured path, and nothing of the value', () => {
  const columns = [
    ...logins,
    column('n', { type: 'integer', path: 'n' }),
    column('token', { mask: token('siv', { domain: 'token' }), maxLength: 64 }),
    column('address', { type: 'inet' }),
  ];
  const cases: readonly (readonly [string, string, string | null])[] = [
    ['', 'not_json', null],
    ['{', 'not_json', null],
    ['[1]', 'not_object', null],
    [JSON.stringify({ ...good, deep: [[[[]]]] }), 'too_deep', null],
    [JSON.stringify({ ...good, long: 'x'.repeat(5000) }), 'too_large', null],
    [JSON.stringify({ ...good, user_id: undefined }), 'missing_field', 'user_id'],
    [JSON.stringify({ ...good, user_id: null }), 'missing_field', 'user_id'],
    [JSON.stringify({ ...good, user_id: ' \t' }), 'missing_field', 'user_id'],
    [JSON.stringify({ ...good, ip: '' }), 'missing_field', 'ip'],
    [JSON.stringify({ ...good, secret_name: 1 }), 'unknown_field', '*'],
    [JSON.stringify({ ...good, user_id: 7 }), 'wrong_type', 'user_id'],
    [JSON.stringify({ ...good, device: 593 }), 'wrong_type', 'device'],
    [JSON.stringify({ ...good, ip: { v4: '1.2.3.4' } }), 'wrong_type', 'ip'],
    [JSON.stringify({ ...good, n: 2 ** 31 }), 'out_of_range', 'n'],
    [JSON.stringify({ ...good, app_version: '1' }), 'bad_version', 'app_version'],
    [JSON.stringify({ ...good, ip: '1.2.3' }), 'bad_ip', 'ip'],
    [JSON.stringify({ ...good, address: '1.2.3' }), 'bad_ip', 'address'],
    [JSON.stringify({ ...good, device: 'a\u200bb' }), 'bad_text', 'device'],
    [JSON.stringify({ ...good, user_id: 'a\0' }), 'bad_text', 'user_id'],
    [JSON.stringify({ ...good, locale: 'toolong' }), 'too_long', 'locale'],
    [JSON.stringify({ ...good, token: 'x'.repeat(31) }), 'too_long', 'token'],
  ];
  const policy = policyOf(columns, { maxDepth: 4, maxBody: 4096, onUnknownField: 'quarantine' });
  const bodies = [JSON.stringify(good), ...cases.map(([body]) => body), JSON.stringify(good)];
  const { rows, rejections } = mask(policy, batchOf(bodies));
  assert.deepEqual(
    rejections,
    cases.map(([, code, path], i) => ({ id: `message-${i + 1}`, code, path })),
  );
  assert.equal(rows.length, 2);
});

test('of several failing columns the first in file order is named, and unknown fields come last', () => {
  const bad = JSON.stringify({
    user_id: 'u',
    ip: 'x',
    device: 1,
    app_version: 'x',
    locale: 'toolong',
    other: 1,
  });
  const lateBad = JSON.stringify({ ...good, locale: 'toolong', other: 1 });
  const policy = policyOf(logins, { onUnknownField: 'quarantine' });
  assert.deepEqual(
    mask(policy, batchOf([bad, lateBad])).rejections.map(({ code, path }) => [code, path]),
    [
      ['bad_ip', 'ip'],
      ['too_long', 'locale'],
    ],
  );
});

test('a record whose envelope could not be read keeps that code', () => {
  const batch = batchOf([JSON.stringify(good), 'not even JSON']);
  const records = batch.records.map((record) => ({ ...record, rejected: 'bad_envelope' as const }));
  const { rejections } = mask(policyOf(logins), { ...batch, records });
  assert.deepEqual(
    rejections.map(({ code, path }) => [code, path]),
    [
      ['bad_envelope', null],
      ['bad_envelope', null],
    ],
  );
});

test('a rejection carries its raw body, sealed for its quarantine id only', () => {
  const body = '{"user_id":"canary-é"';
  const { masked } = compileMasker(policyOf(logins), keyring, systemClock).mask(batchOf([body, '']));
  const [first, second] = masked.rejections;
  assert.ok(first && second);
  assert.match(first.quarantineId, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(first.quarantineId, second.quarantineId);
  assert.equal(first.kind, 'raw');
  assert.equal(first.kid, 2);
  assert.equal(first.held, false);
  assert.ok(!first.sealed.includes('canary'));
  const opened = openSealOracle(primaryMaster, 2, 'quarantine', first.quarantineId, first.sealed);
  assert.deepEqual(rawRecordOracle(opened), { flags: 0, head: [1_700_000_005_000, {}, null, null], body });
  const empty = open(keyring, 'quarantine', second.quarantineId, second.kid, second.sealed);
  assert.equal(rawRecordOracle(empty).body, '');
  assert.throws(
    () => open(keyring, 'quarantine', second.quarantineId, first.kid, first.sealed),
    PipelineError,
  );
});

test('on_reject: dlq holds rejected records for the queue', () => {
  const masker = compileMasker(policyOf(logins, { onReject: 'dlq' }), keyring, systemClock);
  assert.deepEqual(
    masker.mask(batchOf(['', '[]'])).masked.rejections.map((rejection) => rejection.held),
    [true, true],
  );
});

test('null, missing and, where masked, empty values are NULL; a kept empty text stays one', () => {
  const columns = [
    column('kept'),
    column('siv', { mask: token('siv') }),
    column('ip', { mask: token('hmac', { as: 'ip' }) }),
  ];
  const { rows, counts } = maskJson(
    columns,
    {},
    { kept: null, siv: null, ip: null },
    { kept: '', siv: '', ip: ' \t ' },
    { kept: ' ', siv: ' x', ip: '1.2.3.4\n' },
  );
  assert.deepEqual(rows.slice(0, 3), [
    [null, null, null],
    [null, null, null],
    ['', null, null],
  ]);
  assert.equal(rows[3]?.[0], ' ');
  assert.equal(rows[3]?.[1], tokenOracle(primaryMaster, 2, 'siv', 'd', 'text', 'x'));
  assert.equal(rows[3]?.[2], tokenOracle(primaryMaster, 2, 'hmac', 'd', 'ip', '1.2.3.4'));
  assert.deepEqual(counts.normalized, { trimmed: 2, empty_to_null: 2, sentinel_to_null: 0 });
});

test('constant, null and drop leave nothing of the value', () => {
  const columns = [
    column('a', { mask: { method: 'constant', value: 'x\\\ty' } }),
    column('b', { mask: { method: 'null' } }),
    column('c', { mask: { method: 'drop' } }),
    column('d'),
  ];
  const policy = policyOf(columns, { onUnknownField: 'quarantine' });
  const bodies = [
    { a: 'secret', b: 'secret', c: 'secret', d: 'd' },
    { a: 7, d: '' },
    { a: null },
    { a: ' ' },
  ];
  const { masked, counts } = compileMasker(policy, keyring, systemClock).mask(
    batchOf(bodies.map((body) => JSON.stringify(body))),
  );
  assert.deepEqual(masked.columns, ['a', 'b', 'd']);
  assert.deepEqual(decodeCopy(masked.rows), [
    ['x\\\ty', null, 'd'],
    ['x\\\ty', null, ''],
    [null, null, null],
    [null, null, null],
  ]);
  assert.deepEqual(masked.kids, []);
  assert.deepEqual(counts.masked, { constant: 2, null: 4, drop: 4 });
});

test('rows are counted by method, dropped fields by row, rejections apart', () => {
  const { counts } = mask(
    policyOf(logins),
    batchOf([
      JSON.stringify(good),
      JSON.stringify({ ...good, device: null, x: 1, y: 2 }),
      JSON.stringify({ ...good, ip: 'bad', z: 3 }),
    ]),
  );
  assert.deepEqual(counts, {
    rows: 2,
    rejected: 1,
    masked: { siv: 2, hmac: 1 },
    normalized: { trimmed: 0, empty_to_null: 0, sentinel_to_null: 0 },
    fieldsDropped: 2,
  });
});

test('what is known of a message fills columns, times in UTC', () => {
  const meta = (name: string, source: ColumnSpec['source'], options: Partial<ColumnSpec> = {}): ColumnSpec =>
    column(name, { path: `$${name}`, source, ...options });
  const sent = { kind: 'meta', name: 'sent_at' } as const;
  const loaded = { kind: 'meta', name: 'loaded_at' } as const;
  const columns = [
    meta('id', { kind: 'meta', name: 'message_id' }),
    meta('day', sent, { type: 'date' }),
    meta('at', sent, { type: 'timestamptz' }),
    meta('iso', sent),
    meta('received', { kind: 'meta', name: 'received_at' }, { type: 'timestamptz' }),
    meta('loaded', loaded, { type: 'timestamptz' }),
    meta('loaded_day', loaded, { type: 'date' }),
    meta('loaded_text', loaded),
    meta('group', { kind: 'meta', name: 'group_id' }),
    meta('sequence', { kind: 'meta', name: 'sequence_number' }, { type: 'numeric' }),
    meta('batch', { kind: 'meta', name: 'batch_id' }, { type: 'uuid' }),
    meta('run', { kind: 'meta', name: 'run_id' }, { type: 'uuid' }),
    meta('tenant', { kind: 'attribute', name: 'tenant' }),
    meta('none', { kind: 'attribute', name: 'toString' }),
    meta('masked', { kind: 'attribute', name: 'tenant' }, { mask: token('hmac') }),
    meta('json', { kind: 'attribute', name: 'tenant' }, { type: 'jsonb' }),
  ];
  const clock: Clock = { ...systemClock, now: () => Date.UTC(2026, 5, 1, 12) };
  const batch = batchOf(['{}'], {
    sentAt: Date.UTC(2024, 1, 29, 23, 59, 59, 999),
    receivedAt: Date.UTC(2024, 2, 1),
    groupId: 'g',
    sequenceNumber: '18870000000000000001',
    attributes: { tenant: 'T"1' },
  });
  const { masked } = compileMasker(policyOf(columns), keyring, clock).mask(batch);
  assert.deepEqual(decodeCopy(masked.rows), [
    [
      'message-0',
      '2024-02-29',
      '2024-02-29T23:59:59.999Z',
      '2024-02-29T23:59:59.999Z',
      '2024-03-01T00:00:00.000Z',
      'now',
      'now',
      '2026-06-01T12:00:00.000Z',
      'g',
      '18870000000000000001',
      batch.batchId,
      batch.runId,
      'T"1',
      null,
      tokenOracle(primaryMaster, 2, 'hmac', 'd', 'text', 'T"1'),
      '"T\\"1"',
    ],
  ]);
});

test('kept numbers and JSON keep the digits that were sent', () => {
  const columns = [
    column('n', { type: 'numeric' }),
    column('j', { type: 'jsonb' }),
    column('s', { type: 'numeric' }),
  ];
  const bodies = [
    '{"n":1.50,"j":{"a":12345678901234567890},"s":"2.50"}',
    '{"n":7,"j":"","s":null}',
    '\ufeff{"j":[1.10, null]}',
  ];
  const { rows } = mask(policyOf(columns), batchOf(bodies));
  assert.deepEqual(rows, [
    ['1.50', '{"a":12345678901234567890}', '2.50'],
    ['7', '""', null],
    [null, '[1.10, null]', null],
  ]);
  const required = policyOf([column('j', { type: 'jsonb', required: true })]);
  const codes = mask(required, batchOf(['{"j":" "}', '{"j":null}', '{"j":0}'])).rejections.map(
    ({ code }) => code,
  );
  assert.deepEqual(codes, ['missing_field', 'missing_field']);
});

test('a value that makes its column throw rejects its own record only', () => {
  const columns = [
    column('day', { path: '$sent_at', source: { kind: 'meta', name: 'sent_at' }, type: 'date' }),
    column('j', { type: 'jsonb' }),
  ];
  const batch = batchOf(['{"j":1}', '{"j":2}', '{"j":3}']);
  const messages = batch.messages.map((head, i) => (i === 1 ? { ...head, sentAt: Number.NaN } : head));
  const { rows, rejections } = mask(policyOf(columns), { ...batch, messages });
  assert.deepEqual(
    rows.map((row) => row[1]),
    ['1', '3'],
  );
  assert.deepEqual(rejections, [{ id: 'message-1', code: 'mask_failed', path: '$sent_at' }]);

  // JSON.stringify is recursive: with the limit lifted, such a body exhausts the stack within the mask.
  const deep = `{"j":${'['.repeat(50_000)}1.5${']'.repeat(50_000)}}`;
  const lifted = mask(
    policyOf([column('j', { type: 'jsonb' })], { maxDepth: 100_000 }),
    batchOf(['{"j":1}', deep, '{"j":3}']),
  );
  assert.deepEqual(lifted.rows, [['1'], ['3']]);
  assert.deepEqual(lifted.rejections, [{ id: 'message-1', code: 'mask_failed', path: 'j' }]);
});

test('an empty batch, and one without a good record, give no rows and no kids', () => {
  for (const bodies of [[], ['', '[]']]) {
    const { masked } = compileMasker(policyOf(logins), keyring, systemClock).mask(batchOf(bodies));
    assert.equal(masked.rows.length, 0);
    assert.deepEqual(masked.kids, []);
    assert.deepEqual(masked.keys, []);
  }
});

test('a policy that cannot be is config_invalid at the start', () => {
  const time = { kind: 'meta', name: 'sent_at' } as const;
  const bad = [
    [],
    [column('a', { mask: { method: 'drop' } })],
    [column('a', { mask: { method: 'constant', value: '\0' } })],
    [column('a', { source: time, type: 'integer' })],
    [column('a', { mask: token('siv', { domain: 'x'.repeat(70_000) }) })],
  ];
  for (const columns of bad) {
    assert.throws(
      () => compileMasker(policyOf(columns), keyring, systemClock),
      (error) => error instanceof PipelineError && error.code === 'config_invalid',
    );
  }
});

test('a key that is gone stops the batch: nothing is masked, nothing rejected', () => {
  const masker = compileMasker(policyOf(logins), keyring, systemClock);
  const derive = keyring.derive.bind(keyring);
  const gone = (): never => {
    throw new PipelineError('key_unavailable', 'key 2 is away');
  };
  keyring.derive = gone;
  try {
    assert.throws(
      () => masker.mask(batchOf([JSON.stringify(good), 'bad'])),
      (error) => error instanceof PipelineError && error.code === 'key_unavailable',
    );
    assert.throws(() => compileMasker(policyOf(logins), keyring, systemClock), PipelineError);
  } finally {
    keyring.derive = derive;
  }
});

test('a batch that names a message it does not hold is not masked', () => {
  const batch = batchOf([JSON.stringify(good)]);
  const masker = compileMasker(policyOf(logins), keyring, systemClock);
  assert.throws(() => masker.mask({ ...batch, messages: [] }), PipelineError);
});

test('the hash of a policy depends on what it says, not on the order it was written in', () => {
  const { sha256, ...policy } = policyOf(logins);
  assert.match(sha256, /^[0-9a-f]{64}$/);
  const [first, ...others] = policy.columns;
  assert.ok(first);
  const reversed = Object.fromEntries(Object.entries(first).toReversed()) as typeof first;
  assert.equal(policySha256({ ...policy, columns: [reversed, ...others] }), sha256);
  const changes: readonly Partial<ColumnPolicy>[] = [
    { pipeline: 'other' },
    { columns: others },
    { columns: [...others, first] },
    { columns: [{ ...first, maxLength: 127 }, ...others] },
    { columns: [{ ...first, mask: token('siv') }, ...others] },
    { maxDepth: 31 },
    { maxBody: 1 },
    { onUnknownField: 'quarantine' },
    { onReject: 'dlq' },
  ];
  const hashes = new Set(changes.map((change) => policySha256({ ...policy, ...change })));
  assert.equal(hashes.size, changes.length);
  assert.ok(!hashes.has(sha256));
});
