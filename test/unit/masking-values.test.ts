import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Cell } from '../../src/masking/refusal.js';
import type { ColumnType } from '../../src/masking/methods.js';
import { keepMask } from '../../src/masking/values.js';
import { column } from '../support/masking.js';

const read = (type: ColumnType, value: unknown, maxLength: number | null = null): Cell | undefined =>
  keepMask(column('c', { type, maxLength }))([value], {
    trimmed: 0,
    empty_to_null: 0,
    sentinel_to_null: 0,
  })[0];

function accepts(type: ColumnType, values: readonly (readonly [unknown, string])[]): void {
  for (const [value, expected] of values)
    assert.equal(read(type, value), expected, `${type} ${JSON.stringify(value)}`);
}

function refuses(type: ColumnType, code: string, values: readonly unknown[]): void {
  for (const value of values) {
    assert.deepEqual(
      read(type, value),
      { refused: code },
      `${type} ${typeof value} ${String(value).slice(0, 80)}`,
    );
  }
}

test('text is stored unchanged, white space and all, but for what Postgres cannot hold', () => {
  accepts('text', [
    ['', ''],
    ['  a b ', '  a b '],
    ['Cafe\u0301\u200b\u0007', 'Cafe\u0301\u200b\u0007'],
    ['a\tb\\', 'a\\tb\\\\'],
    ['😀', '😀'],
  ]);
  refuses('text', 'bad_text', ['\0', 'a\ud800', '\udc00']);
  refuses('text', 'wrong_type', [1, true, {}, ['a']]);
});

test('length is counted in code points, as Postgres counts', () => {
  assert.equal(read('text', '😀😀', 2), '😀😀');
  assert.deepEqual(read('text', '😀😀😀', 2), { refused: 'too_long' });
  assert.equal(read('text', '\t\t', 2), '\\t\\t');
  assert.deepEqual(read('text', 'abc', 2), { refused: 'too_long' });
  assert.equal(read('text', '', 0), '');
});

test('integers are exact and within their type', () => {
  accepts('integer', [
    [0, '0'],
    [-0, '0'],
    [2147483647, '2147483647'],
    [-2147483648, '-2147483648'],
    ['2147483647', '2147483647'],
    ['-1', '-1'],
  ]);
  refuses('integer', 'out_of_range', [
    2147483648,
    -2147483649,
    '2147483648',
    2 ** 53,
    1e308,
    Infinity,
    '9'.repeat(1e5),
  ]);
  refuses('integer', 'wrong_type', [
    1.5,
    '1.0',
    '01',
    '+1',
    ' 1',
    '-0',
    '',
    '1e3',
    '0x1',
    '١',
    true,
    {},
    null,
  ]);
  accepts('bigint', [
    [Number.MAX_SAFE_INTEGER, '9007199254740991'],
    ['9223372036854775807', '9223372036854775807'],
    ['-9223372036854775808', '-9223372036854775808'],
  ]);
  refuses('bigint', 'out_of_range', [2 ** 53, -(2 ** 53), '9223372036854775808', '-9223372036854775809']);
});

test('numerics keep their digits', () => {
  const digits = '3.14159265358979323846264338327950288419716939937510';
  accepts('numeric', [
    [digits, digits],
    ['1.50', '1.50'],
    ['-0.10', '-0.10'],
    ['1e5', '1e5'],
    ['12E-3', '12E-3'],
    ['0', '0'],
  ]);
  refuses('numeric', 'wrong_type', [
    '',
    '.5',
    '1.',
    '01',
    '+1',
    ' 1',
    'NaN',
    'Infinity',
    '1_000',
    '0x1',
    '1e',
    true,
    {},
  ]);
  refuses('numeric', 'out_of_range', ['1e131072', '1e-16384', `1e${'9'.repeat(1000)}`, '9'.repeat(131_073)]);
});

test('booleans are true and false, nothing like them', () => {
  accepts('boolean', [
    [true, 'true'],
    [false, 'false'],
  ]);
  refuses('boolean', 'wrong_type', ['true', 0, 1, 'f', '']);
});

test('dates are days that the calendar has', () => {
  accepts('date', [
    ['2024-02-29', '2024-02-29'],
    ['2000-02-29', '2000-02-29'],
    ['0001-01-01', '0001-01-01'],
    ['9999-12-31', '9999-12-31'],
  ]);
  refuses('date', 'out_of_range', [
    '2023-02-29',
    '1900-02-29',
    '2024-04-31',
    '2024-13-01',
    '2024-00-10',
    '2024-01-00',
    '0000-01-01',
  ]);
  refuses('date', 'wrong_type', [
    '2024-1-1',
    '20240101',
    '2024-01-01T00:00:00Z',
    ' 2024-01-01',
    'today',
    'infinity',
    '',
    1704067200,
  ]);
});

test('times are RFC 3339 with an offset', () => {
  accepts('timestamptz', [
    ['2024-02-29T23:59:59Z', '2024-02-29T23:59:59Z'],
    ['2024-01-01t00:00:00.123456789z', '2024-01-01T00:00:00.123456789Z'],
    ['2024-01-01T00:00:00-03:30', '2024-01-01T00:00:00-03:30'],
    // RFC 3339 5.8.
    ['1990-12-31T23:59:60Z', '1990-12-31T23:59:60Z'],
    ['1990-12-31T15:59:60-08:00', '1990-12-31T15:59:60-08:00'],
  ]);
  refuses('timestamptz', 'out_of_range', [
    '2023-02-29T00:00:00Z',
    '2024-01-01T24:00:00Z',
    '2024-01-01T00:60:00Z',
    '2024-01-01T00:00:61Z',
    '2024-01-01T00:00:60Z',
    '2024-01-30T23:59:60Z',
    '1990-12-31T23:59:60.5Z',
    '2024-01-01T00:00:00+16:00',
    '2024-01-01T00:00:00+01:60',
    '2024-01-01T00:00:00.1234567890Z',
  ]);
  refuses('timestamptz', 'wrong_type', [
    '2024-01-01T00:00:00',
    '2024-01-01 00:00:00Z',
    '2024-01-01T00:00Z',
    '2024-01-01',
    '2024-01-01T00:00:00+0100',
    '2024-01-01T00:00:00.Z',
    'now',
    '',
    1704067200000,
  ]);
});

test('uuids, addresses and networks are taken in the spellings that Postgres takes', () => {
  accepts('uuid', [
    ['424cdd21-063a-43a7-b91b-7ca1a833afae', '424cdd21-063a-43a7-b91b-7ca1a833afae'],
    ['424CDD21-063A-43A7-B91B-7CA1A833AFAE', '424CDD21-063A-43A7-B91B-7CA1A833AFAE'],
  ]);
  refuses('uuid', 'wrong_type', [
    '424cdd21063a43a7b91b7ca1a833afae',
    '{424cdd21-063a-43a7-b91b-7ca1a833afae}',
    '',
    'x',
    1,
  ]);
  accepts('inet', [
    ['1.2.3.4', '1.2.3.4'],
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['2001:DB8::1', '2001:DB8::1'],
    ['2001:db8::/32', '2001:db8::/32'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
  ]);
  refuses('inet', 'bad_ip', [
    '',
    '1.2.3',
    '01.2.3.4',
    '1.2.3.4/33',
    '::/129',
    '1.2.3.4/',
    '1.2.3.4/08',
    '1.2.3.4/8/8',
    'fe80::1%eth0',
    ' 1.2.3.4',
  ]);
  refuses('inet', 'wrong_type', [1, {}]);
});

test('jsonb takes any JSON text but what Postgres cannot hold', () => {
  const texts = [
    '{"a":[1,2.50,null]}',
    '"text"',
    '12345678901234567890',
    '"\\\\u0000"',
    '"\\\\\\\\ud800"',
    '"\\ud83d\\ude00"',
    '[]',
  ];
  accepts(
    'jsonb',
    texts.map((text) => [text, text.replaceAll('\\', '\\\\')]),
  );
  refuses('jsonb', 'bad_text', [
    '"\\u0000"',
    '"a\\\\\\u0000"',
    '{"\\u0000":1}',
    '[["\\ud800"]]',
    '"\\udc00x"',
    '"\ud800"',
  ]);
});

test('versions become one number', () => {
  accepts('version_int', [
    ['0.60', '60000'],
    ['2.3.0', '2003000'],
    ['2.0', '2000000'],
    ['2.00', '2000000'],
    ['0.0.1', '1'],
    ['999.999.999', '999999999'],
    ['007.08.009', '7008009'],
  ]);
  refuses('version_int', 'bad_version', [
    '',
    '1',
    '1.2.3.4',
    '1000.0',
    '1.1000',
    '1.2.1000',
    '1.',
    '.1',
    'v1.2',
    '1.2-rc',
    ' 1.2',
    '1.2 ',
    '-1.2',
    '1,2',
    '１.2',
  ]);
  refuses('version_int', 'wrong_type', [0.6, 1, {}]);
});
