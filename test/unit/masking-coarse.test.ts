// The masks that make many values one: what they show, and what they refuse.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';

import { maskOf } from '../../src/masking/masks.js';
import type { ColumnSpec, MaskSpec } from '../../src/masking/methods.js';
import { noneNormalized } from '../../src/masking/refusal.js';
import { column, primaryMaster, testKeyring } from '../support/masking.js';
import { keyOracle } from '../support/oracle.js';

const keyring = testKeyring();

function maskAll(
  mask: MaskSpec,
  values: readonly unknown[],
  options: Partial<ColumnSpec> = {},
  companions: readonly unknown[] = [],
): readonly unknown[] {
  return maskOf(column('c', { mask, ...options }), keyring)(values, noneNormalized(), companions);
}

type Pair = readonly [value: unknown, expected: string];

/** An expected text that begins with `!` is a refusal of that code. */
function assertPairs(mask: MaskSpec, pairs: readonly Pair[], options: Partial<ColumnSpec> = {}): void {
  const values = pairs.map(([value]) => value);
  const expected = pairs.map(([, cell]) => (cell.startsWith('!') ? { refused: cell.slice(1) } : cell));
  assert.deepEqual(maskAll(mask, values, options), expected);
}

test('ip-truncate keeps the network, whatever the spelling, and prints no suffix', () => {
  assertPairs({ method: 'ip-truncate', v4: 24, v6: 48 }, [
    ['1.2.3.4', '1.2.3.0'],
    [' 255.255.255.255\n', '255.255.255.0'],
    ['::ffff:1.2.3.4', '1.2.3.0'],
    ['2001:DB8:85A3:1:2:3:4:5', '2001:db8:85a3::'],
    ['::1', '::'],
    ['::1.2.3.4', '::'],
    ['fe80::1%eth0', '!bad_ip'],
    ['1.2.3', '!bad_ip'],
    ['1.2.3.0/24', '!bad_ip'],
    ['', '\\N'],
    [16909060, '!wrong_type'],
  ]);
  assertPairs({ method: 'ip-truncate', v4: 1, v6: 127 }, [
    ['255.1.2.3', '128.0.0.0'],
    ['127.1.2.3', '0.0.0.0'],
    ['ffff::ffff', 'ffff::fffe'],
  ]);
  assertPairs({ method: 'ip-truncate', v4: 31, v6: 1 }, [
    ['1.2.3.255', '1.2.3.254'],
    ['ffff::ffff', '8000::'],
  ]);
});

test('an email shows its first letter and its domain; a local part of one letter shows nothing', () => {
  assertPairs({ method: 'partial', kind: 'email' }, [
    ['alice@Example.COM', 'a***@example.com'],
    [' Alice.B+tag@sub.example.org ', 'A***@sub.example.org'],
    ['a@example.com', '***@example.com'],
    ['e\u0301va@example.com', 'é***@example.com'],
    ['😀a@example.com', '!bad_text'],
    ['用户@例子.公司', '用***@例子.公司'],
    ["o'neil@example.com", 'o***@example.com'],
    ['alice', '!bad_text'],
    ['alice@', '!bad_text'],
    ['@example.com', '!bad_text'],
    ['alice@localhost', '!bad_text'],
    ['a@b@example.com', '!bad_text'],
    ['al ice@example.com', '!bad_text'],
    ['.alice@example.com', '!bad_text'],
    ['alice@example..com', '!bad_text'],
    ['"a b"@example.com', '!bad_text'],
    ['Alice <alice@example.com>', '!bad_text'],
    [`${'a'.repeat(64)}@example.com`, 'a***@example.com'],
    [`${'a'.repeat(65)}@example.com`, '!bad_text'],
    [`a@${'b'.repeat(300)}.com`, '!bad_text'],
    ['', '\\N'],
    [7, '!wrong_type'],
  ]);
  assertPairs({ method: 'partial', kind: 'email' }, [['alice@example.com', '!too_long']], { maxLength: 15 });
});

test('a phone number shows its last digits only; one that is too short to hide any is refused', () => {
  assertPairs({ method: 'partial', kind: 'phone', show: 4 }, [
    ['+49 30 1234-5678', '***5678'],
    ['(030) 123 45 67', '***4567'],
    ['030/1234.567', '***4567'],
    ['5551234', '***1234'],
    ['555123', '!bad_text'],
    ['112', '!bad_text'],
    ['123456789012345', '***2345'],
    ['1234567890123456', '!bad_text'],
    ['++491234567', '!bad_text'],
    ['49+1234567', '!bad_text'],
    ['555-1234 x12', '!bad_text'],
    ['٠٣٠١٢٣٤٥٦٧', '!bad_text'],
    ['+', '!bad_text'],
    [5551234, '!wrong_type'],
    [' ', '\\N'],
  ]);
  assertPairs({ method: 'partial', kind: 'phone', show: 1 }, [
    ['1234', '***4'],
    ['123', '!bad_text'],
  ]);
});

test('a card shows its first six and last four digits; what is no card number is refused', () => {
  // Numbers that schemes publish for tests, of 13, 14, 15, 16 and 19 digits.
  assertPairs({ method: 'partial', kind: 'card' }, [
    ['4222222222222', '422222***2222'],
    ['30569309025904', '305693****5904'],
    ['3782 822463 10005', '378282*****0005'],
    ['4111-1111-1111-1111', '411111******1111'],
    ['6304000000000000000', '630400*********0000'],
    ['4111111111111112', '!bad_text'],
    ['411111111111', '!bad_text'],
    ['41111111111111111111', '!bad_text'],
    ['4111.1111.1111.1111', '!bad_text'],
    ['４１１１111111111111', '!bad_text'],
    [4111111111111111, '!wrong_type'],
  ]);
});

test('a pattern stores what its replacement says of whole values of at most 1 KiB, and refuses all others', () => {
  const mask: MaskSpec = {
    method: 'partial',
    kind: 'pattern',
    pattern: '([A-Z]{2})\\d+(\\d{2})',
    replace: '$1…$2 $$',
  };
  assertPairs(mask, [
    ['DE1234567', 'DE…67 $'],
    ['XDE1234567', '!bad_text'],
    ['DE1234567 and more', '!bad_text'],
    ['DE', '!bad_text'],
    [`DE${'1'.repeat(1022)}`, 'DE…11 $'],
    [`DE${'1'.repeat(1023)}`, '!too_long'],
    [`é${'é'.repeat(512)}`, '!too_long'],
  ]);
  assertPairs({ method: 'partial', kind: 'pattern', pattern: '.*', replace: 'a\\b' }, [['x', 'a\\\\b']]);
});

test('buckets are half-open ranges between edges, open below the first and from the last on', () => {
  const mask: MaskSpec = { method: 'bucket', edges: ['-0.5', '0', '18', '65'] };
  assertPairs(mask, [
    ['-1e3', '(,-0.5)'],
    ['-0.50', '[-0.5,0)'],
    ['-0', '[0,18)'],
    ['17.99999999999999999999999999999999', '[0,18)'],
    ['18', '[18,65)'],
    ['180e-1', '[18,65)'],
    ['64.9', '[18,65)'],
    ['65.0', '[65,)'],
    ['1e131071', '[65,)'],
    ['-1e-999999999999999999999', '[-0.5,0)'],
    ['1e999999999999999999999', '[65,)'],
    ['18a', '!wrong_type'],
    ['0x12', '!wrong_type'],
    ['', '\\N'],
    [true, '!wrong_type'],
  ]);
});

test('buckets of a width are exact, below zero too', () => {
  assertPairs({ method: 'bucket', width: '10' }, [
    ['0', '[0,10)'],
    ['9.999999999999999999999999', '[0,10)'],
    ['10', '[10,20)'],
    ['-0.000000000000000000000001', '[-10,0)'],
    ['-10', '[-10,0)'],
    ['-10.1', '[-20,-10)'],
    ['9007199254740993', '[9007199254740990,9007199254741000)'],
    ['99999999999999999999999999999', '[99999999999999999999999999990,100000000000000000000000000000)'],
    ['1e30', '!out_of_range'],
    ['1e-400', '[0,10)'],
  ]);
  assertPairs({ method: 'bucket', width: '0.1' }, [
    ['0.3', '[0.3,0.4)'],
    ['0.29999999999999999999', '[0.2,0.3)'],
    ['1.0', '[1,1.1)'],
    ['-0.05', '[-0.1,0)'],
  ]);
});

test('dates are generalized to the first day of their period, times to its beginning in UTC', () => {
  const of = (
    to: 'year' | 'quarter' | 'month' | 'week' | 'day' | 'hour',
    type: 'date' | 'timestamptz',
    pairs: readonly Pair[],
  ): void => assertPairs({ method: 'generalize', to }, pairs, { type });
  of('year', 'date', [
    ['2024-02-29', '2024-01-01'],
    ['0001-12-31', '0001-01-01'],
    ['2023-02-29', '!out_of_range'],
    ['2024-2-9', '!wrong_type'],
  ]);
  of('quarter', 'date', [
    ['2024-01-01', '2024-01-01'],
    ['2024-03-31', '2024-01-01'],
    ['2024-04-01', '2024-04-01'],
    ['2024-12-31', '2024-10-01'],
  ]);
  of('month', 'date', [['9999-12-31', '9999-12-01']]);
  // ISO weeks: 2024-01-01 and 0001-01-01 are Mondays.
  of('week', 'date', [
    ['2024-01-07', '2024-01-01'],
    ['2023-12-31', '2023-12-25'],
    ['2024-01-01', '2024-01-01'],
    ['0001-01-03', '0001-01-01'],
    ['2024-03-03', '2024-02-26'],
  ]);
  of('hour', 'timestamptz', [
    ['2024-02-29T23:59:59.999Z', '2024-02-29T23:00:00Z'],
    ['2024-03-01T01:30:00+02:00', '2024-02-29T23:00:00Z'],
    ['2024-02-29t20:10:00-03:45', '2024-02-29T23:00:00Z'],
    ['1990-12-31T23:59:60Z', '1990-12-31T23:00:00Z'],
    ['0001-01-01T00:00:00+00:01', '!out_of_range'],
    ['9999-12-31T23:59:59-00:01', '!out_of_range'],
    ['2024-02-29T23:59:59', '!wrong_type'],
    ['2024-02-29', '!wrong_type'],
    [1709164800, '!wrong_type'],
  ]);
  of('day', 'timestamptz', [['2024-03-01T01:30:00+02:00', '2024-02-29T00:00:00Z']]);
  of('month', 'timestamptz', [['2024-03-01T01:30:00+02:00', '2024-02-01T00:00:00Z']]);
  of('year', 'timestamptz', [['2023-12-31T23:00:00-01:00', '2024-01-01T00:00:00Z']]);
});

test('an address is generalized to its version, an IPv4-mapped one to 4', () => {
  assertPairs({ method: 'generalize', to: 'ip_version' }, [
    ['1.2.3.4', '4'],
    ['::ffff:1.2.3.4', '4'],
    ['::1.2.3.4', '6'],
    ['2001:db8::1', '6'],
    ['localhost', '!bad_ip'],
  ]);
});

test('texts are generalized to their groups; others to the group for others, to NULL, or to a rejection', () => {
  const map = [
    ['berlin', 'DE'],
    ['münchen', 'DE'],
    ['wien', '\\N'],
    ['__proto__', 'P'],
  ] as const;
  const mask = { method: 'generalize', map, lower: true } as const;
  assertPairs(mask, [
    [' Berlin', 'DE'],
    ['MU\u0308NCHEN', 'DE'],
    ['wien', '\\\\N'],
    ['__proto__', 'P'],
    ['constructor', '!bad_text'],
    ['Paris', '!bad_text'],
    [7, '!wrong_type'],
  ]);
  assertPairs({ ...mask, other: 'elsewhere' }, [['Paris', 'elsewhere']]);
  assertPairs({ ...mask, other: null }, [['Paris', '\\N']]);
  assertPairs({ ...mask, lower: false }, [['Berlin', '!bad_text']]);
});

test('all dates of one entity move by the days that its HMAC says, and keep their time and offset as written', () => {
  const mask: MaskSpec = { method: 'date-shift', domain: 'd', entity: { name: 'user', steps: [] }, days: 10 };
  const key = keyOracle(primaryMaster, 'date-shift', 'd', 2, 32);
  const shiftOf = (entity: string): number =>
    Number(createHmac('sha256', key).update(entity, 'utf8').digest().readBigUInt64BE(0) % 21n) - 10;
  const shifted = (day: string, entity: string): string =>
    new Date(Date.parse(`${day}T00:00:00Z`) + shiftOf(entity) * 86_400_000).toISOString().slice(0, 10);
  const entities = Array.from({ length: 60 }, (_, i) => `user ${i}`);
  const days = entities.map((_, i) => (i % 2 === 0 ? '2024-02-29' : '2023-12-31'));
  assert.deepEqual(
    maskAll(mask, days, { type: 'date' }, entities),
    days.map((day, i) => shifted(day, entities[i] ?? '')),
  );
  assert.deepEqual(
    maskAll(
      mask,
      days.map((day) => `${day}t23:30:00.5-11:30`),
      { type: 'timestamptz' },
      entities,
    ),
    days.map((day, i) => `${shifted(day, entities[i] ?? '')}T23:30:00.5-11:30`),
  );
  assert.equal(new Set(entities.map(shiftOf)).size > 10, true, 'the shifts differ');
});

test('a date-shift without its entity, or beyond the years 1 to 9999, is a rejection', () => {
  const mask: MaskSpec = {
    method: 'date-shift',
    domain: 'd',
    entity: { name: 'user', steps: [] },
    days: 400,
  };
  const shift = (day: unknown, entity: unknown): unknown =>
    maskAll(mask, [day], { type: 'date' }, [entity])[0];
  assert.deepEqual(shift('2024-01-01', undefined), { refused: 'missing_field' });
  assert.deepEqual(shift('2024-01-01', null), { refused: 'missing_field' });
  assert.deepEqual(shift('2024-01-01', ' \t'), { refused: 'missing_field' });
  assert.deepEqual(shift('2024-01-01', 7), { refused: 'wrong_type' });
  assert.deepEqual(shift('2024-01-01', 'a\u0000'), { refused: 'bad_text' });
  assert.equal(shift('2024-01-01', ' e\u0301'), shift('2024-01-01', 'é'));
  assert.equal(shift('', undefined), '\\N');
  const ends = Array.from({ length: 50 }, (_, i) => `e${i}`);
  const atEnds = [
    ...ends.map((entity) => shift('0001-01-01', entity)),
    ...ends.map((entity) => shift('9999-12-31', entity)),
  ];
  const refusals = atEnds.filter((cell) => typeof cell !== 'string');
  assert.ok(refusals.length > 20 && refusals.length < 80);
  for (const refusal of refusals) assert.deepEqual(refusal, { refused: 'out_of_range' });
  for (const cell of atEnds) if (typeof cell === 'string') assert.match(cell, /^(?!0000)\d{4}-\d{2}-\d{2}$/);
});
