// Values at and beyond the edges of every type, and values of the wrong type in every column.

import {
  EVENT,
  type Fate,
  type Field,
  type HostileCase,
  type PipelineName,
  fieldCase,
  rejected,
  rowWith,
  eventBody,
  tokenFor,
} from './hostile-case.js';

/** Pairs of JSON text and what the table then holds. */
type Stored = readonly (readonly [json: string, stored: Field])[];

const stores = (field: string, pairs: Stored): readonly HostileCase[] =>
  pairs.map(([json, stored]) => fieldCase('every', field, json, { stored }));
const refuses = (field: string, code: string, values: readonly string[]): readonly HostileCase[] =>
  values.map((json) => fieldCase('every', field, json, { code }));
const quoted = (texts: readonly string[]): readonly string[] => texts.map((text) => JSON.stringify(text));
const same = (texts: readonly string[]): Stored => texts.map((text) => [JSON.stringify(text), text]);

const NINES = '9'.repeat(400);

/** Texts that look like integers to some parser, but are not canonical decimals. */
const NO_INTEGERS = quoted([
  '',
  ' ',
  ' 1',
  '1 ',
  '01',
  '+1',
  '-0',
  '--1',
  '1.0',
  '1e3',
  '0x1',
  '1_000',
  '1,000',
  '１',
  '٣',
  '1\n',
  '1\0',
  'one',
  'NaN',
  'Infinity',
]);

/** JSON numbers that are no integers, though JSON.parse would round some of them to one. */
const FRACTIONS = [
  '0.5',
  '-1.5',
  '1e-1',
  '1e-400',
  '-1e-400',
  '0.99999999999999999999',
  '1.00000000000000000001',
  '4503599627370497.5',
  '9007199254740990.9999',
  '123456789e-9',
  '10e-2',
];

function integers(): readonly HostileCase[] {
  const whole: Stored = [
    ['0', '0'],
    ['-0', '0'],
    ['1.0', '1'],
    ['1e3', '1000'],
    ['1E+2', '100'],
    ['10e-1', '1'],
    ['-5.000', '-5'],
    ['0e-400', '0'],
    ['0.0e99', '0'],
    ['"0"', '0'],
    ['"-1"', '-1'],
    ['null', null],
  ];
  return [
    ...stores('int', whole),
    ...stores('big', whole),
    ...stores('int', [
      ['2147483647', '2147483647'],
      ['-2147483648', '-2147483648'],
      ['"2147483647"', '2147483647'],
      ['"-2147483648"', '-2147483648'],
      ['2.147483647e9', '2147483647'],
    ]),
    ...stores('big', [
      ['9007199254740991', '9007199254740991'],
      ['-9007199254740991', '-9007199254740991'],
      ['90071992547409910e-1', '9007199254740991'],
      ['"9007199254740993"', '9007199254740993'],
      ['"9223372036854775807"', '9223372036854775807'],
      ['"-9223372036854775808"', '-9223372036854775808'],
    ]),
    ...refuses('int', 'out_of_range', [
      '2147483648',
      '-2147483649',
      '"2147483648"',
      '"-2147483649"',
      '9007199254740993',
      '1e308',
      '1e400',
      '-1e400',
      '1e99999999999',
      NINES,
      `"${NINES}"`,
      `"-${NINES}"`,
    ]),
    ...refuses('big', 'out_of_range', [
      '9007199254740992',
      '9007199254740993',
      '-9007199254740992',
      '9223372036854775807',
      '"9223372036854775808"',
      '"-9223372036854775809"',
      '1e400',
      NINES,
      `"${NINES}"`,
      `"${'9'.repeat(100_000)}"`,
    ]),
    ...refuses('int', 'wrong_type', [...NO_INTEGERS, ...FRACTIONS]),
    ...refuses('big', 'wrong_type', [...NO_INTEGERS, ...FRACTIONS]),
  ];
}

function numerics(): readonly HostileCase[] {
  const digits = '3.14159265358979323846264338327950288419716939937510';
  return [
    ...stores('num', [
      ['0', '0'],
      ['-0', '0'],
      ['0.0', '0.0'],
      ['1.50', '1.50'],
      ['-1.50', '-1.50'],
      ['9007199254740993', '9007199254740993'],
      ['123456789012345678901234567890', '123456789012345678901234567890'],
      [digits, digits],
      [`"${digits}"`, digits],
      [NINES, NINES],
      ['1e3', '1000'],
      ['1E-3', '0.001'],
      ['1.5e+2', '150'],
      ['"12E-3"', '0.012'],
      ['1e400', `1${'0'.repeat(400)}`],
      ['1e-400', `0.${'0'.repeat(399)}1`],
      ['1e131071', `1${'0'.repeat(131_071)}`],
      ['1e-16383', `0.${'0'.repeat(16_382)}1`],
      ['0.99999999999999999999', '0.99999999999999999999'],
      ['null', null],
    ]),
    ...refuses('num', 'out_of_range', [
      '1e131072',
      '1e-16384',
      '1e999999999999999999999',
      '"1e131072"',
      `1e${NINES}`,
      `0.${'1'.repeat(16_384)}`,
      '9'.repeat(131_073),
    ]),
    ...refuses('num', 'wrong_type', [
      ...quoted([
        '',
        ' ',
        ' 1',
        '1 ',
        '.5',
        '1.',
        '01',
        '+1',
        '--1',
        '1e',
        '1e+',
        'NaN',
        'Infinity',
        '-Infinity',
      ]),
      ...quoted(['1_0', '1,0', '0x1', '１', '1\n', '$1', '1%', 'abc', '1e1.5']),
      'true',
      '{}',
      '[1]',
    ]),
  ];
}

function times(): readonly HostileCase[] {
  return [
    ...stores('day', [
      ...same(['2024-02-29', '2000-02-29', '0001-01-01', '9999-12-31', '1970-01-01', '1582-10-10']),
      ['null', null],
    ]),
    ...refuses(
      'day',
      'out_of_range',
      quoted(['2023-02-29', '1900-02-29', '2024-04-31', '2024-13-01', '2024-00-01']),
    ),
    ...refuses('day', 'out_of_range', quoted(['2024-01-00', '2024-01-32', '0000-01-01', '9999-99-99'])),
    ...refuses('day', 'wrong_type', [
      ...quoted([
        '',
        ' ',
        'today',
        'now',
        'infinity',
        '-infinity',
        'epoch',
        'yesterday',
        '2024-02',
        '2024',
        '20240229',
      ]),
      ...quoted([
        '24-02-29',
        '2024-2-29',
        '2024/02/29',
        '29.02.2024',
        '2024-02-29 ',
        ' 2024-02-29',
        '2024-02-29T00:00:00Z',
      ]),
      ...quoted([
        '2024-02-29 BC',
        '+2024-02-29',
        '-2024-02-29',
        '12024-02-29',
        '２０２４-02-29',
        '2024-02-29\n',
        'J2451187',
      ]),
      '20240229',
      '1709164800000',
      'true',
    ]),
    ...stores('at', [
      ['"2024-02-29T00:00:00Z"', '2024-02-29 00:00:00+00'],
      ['"2024-02-29t00:00:00z"', '2024-02-29 00:00:00+00'],
      ['"2024-02-29T00:00:00.1Z"', '2024-02-29 00:00:00.1+00'],
      ['"2024-02-29T00:00:00.123456Z"', '2024-02-29 00:00:00.123456+00'],
      ['"2024-02-29T23:59:59.999999+00:00"', '2024-02-29 23:59:59.999999+00'],
      ['"2024-02-29T00:00:00-00:00"', '2024-02-29 00:00:00+00'],
      ['"2024-02-29T00:00:00+15:59"', '2024-02-28 08:01:00+00'],
      ['"2024-02-29T00:00:00-15:59"', '2024-02-29 15:59:00+00'],
      ['"2024-02-29T05:45:00+05:45"', '2024-02-29 00:00:00+00'],
      ['"0001-01-01T00:00:00Z"', '0001-01-01 00:00:00+00'],
      ['"9999-12-31T23:59:59Z"', '9999-12-31 23:59:59+00'],
      ['"2016-12-31T23:59:60Z"', '2017-01-01 00:00:00+00'],
      ['"2016-12-31T15:59:60-08:00"', '2017-01-01 00:00:00+00'],
      ['null', null],
    ]),
    ...refuses('at', 'out_of_range', [
      ...quoted([
        '2023-02-29T00:00:00Z',
        '2024-02-29T24:00:00Z',
        '2024-02-29T23:60:00Z',
        '2024-02-29T23:59:61Z',
      ]),
      ...quoted([
        '2024-02-29T00:00:00+16:00',
        '2024-02-29T00:00:00+00:60',
        '2024-02-28T23:59:60Z',
        '0000-01-01T00:00:00Z',
      ]),
      ...quoted([
        '2024-13-01T00:00:00Z',
        '2024-02-29T99:00:00Z',
        '2016-12-31T23:59:60.5Z',
        '2024-02-29T00:00:00-24:00',
      ]),
    ]),
    ...refuses('at', 'wrong_type', [
      ...quoted([
        '',
        ' ',
        'now',
        'infinity',
        '2024-02-29',
        '2024-02-29T00:00:00',
        '2024-02-29 00:00:00Z',
        '2024-02-29T00:00Z',
      ]),
      ...quoted([
        '2024-02-29T00:00:00+0000',
        '2024-02-29T00:00:00+00',
        '2024-02-29T00:00:00.Z',
        '2024-02-29T0:0:0Z',
        '20240229T000000Z',
      ]),
      ...quoted([
        '2024-02-29T00:00:00Z ',
        ' 2024-02-29T00:00:00Z',
        '2024-02-29T00:00:00 UTC',
        '2024-02-29T00:00:00,5Z',
        'Thu, 29 Feb 2024',
      ]),
      ...quoted([
        '2024-W09-4T00:00:00Z',
        '2024-060T00:00:00Z',
        '2024-02-29T00:00:00Z\n',
        '+002024-02-29T00:00:00Z',
        '2024-02-29T00:00:00−01:00',
      ]),
      '1709164800',
      '{}',
    ]),
  ];
}

/** Spellings of addresses, and the address as Postgres prints it. */
const ADDRESSES: readonly (readonly [text: string, printed: string])[] = [
  ['0.0.0.0', '0.0.0.0/32'],
  ['127.0.0.1', '127.0.0.1/32'],
  ['255.255.255.255', '255.255.255.255/32'],
  ['224.0.0.1', '224.0.0.1/32'],
  ['240.1.2.3', '240.1.2.3/32'],
  ['::', '::/128'],
  ['::1', '::1/128'],
  ['0:0:0:0:0:0:0:1', '::1/128'],
  ['0000:0000:0000:0000:0000:0000:0000:0001', '::1/128'],
  ['2001:DB8::A', '2001:db8::a/128'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1/128'],
  ['2001:0db8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1/128'],
  ['fe80::1', 'fe80::1/128'],
  ['ff02::1', 'ff02::1/128'],
  ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8/128'],
  ['1::8', '1::8/128'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0/128'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8/128'],
  ['1:2:3::5:6:7:8', '1:2:3:0:5:6:7:8/128'],
  ['::ffff:1.2.3.4', '::ffff:1.2.3.4/128'],
  ['::FFFF:1.2.3.4', '::ffff:1.2.3.4/128'],
  ['0:0:0:0:0:ffff:1.2.3.4', '::ffff:1.2.3.4/128'],
  ['::ffff:102:304', '::ffff:1.2.3.4/128'],
  ['::1.2.3.4', '::1.2.3.4/128'],
  ['64:ff9b::1.2.3.4', '64:ff9b::102:304/128'],
  ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304/128'],
];

const NO_ADDRESSES = [
  'localhost',
  '1',
  '127.1',
  '127.0.1',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.4.',
  '.1.2.3.4',
  '1..2.3',
  '256.0.0.1',
  '1.2.3.256',
  '1.2.3.999999999999',
  '01.2.3.4',
  '1.2.3.04',
  '010.0.0.1',
  '0x7f.0.0.1',
  '0x7f000001',
  '2130706433',
  '017700000001',
  '1.2.3.-4',
  '+1.2.3.4',
  '1.2.3.4:80',
  '1.2.3.4, 5.6.7.8',
  '1.2.3.4 5.6.7.8',
  '1. 2.3.4',
  '１.２.３.４',
  '1。2。3。4',
  '①.②.③.④',
  '1.2.3.4\0',
  '1.2.3.4\u200b',
  '1.2.3.4x',
  'x1.2.3.4',
  '[::1]',
  '::1]',
  '[::1]:80',
  ':::',
  ':1',
  '1:',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '::12345',
  '::g',
  '::1%eth0',
  'fe80::1%1',
  'fe80::1%',
  '::ffff:1.2.3',
  '::ffff:1.2.3.256',
  '::ffff:01.2.3.4',
  '::1.2.3.4:5',
  '1.2.3.4::',
  '::-1',
  '::0x1',
  '::1 ::2',
  '∷1',
  'http://1.2.3.4',
];

/** As networks: the inet type takes them, a masked address does not. */
const NETWORKS: readonly (readonly [text: string, printed: string])[] = [
  ['1.2.3.4/32', '1.2.3.4/32'],
  ['1.2.3.4/0', '1.2.3.4/0'],
  ['10.1.2.3/8', '10.1.2.3/8'],
  ['2001:db8::/32', '2001:db8::/32'],
  ['::/0', '::/0'],
  ['::1/128', '::1/128'],
  ['::ffff:1.2.3.4/96', '::ffff:1.2.3.4/96'],
];
const NO_NETWORKS = [
  '1.2.3.4/33',
  '1.2.3.4/-1',
  '1.2.3.4/',
  '1.2.3.4/032',
  '1.2.3.4/8/8',
  '::1/129',
  '::1/x',
  '/8',
  '1.2.3.4/255.0.0.0',
  '1.2.3.4 /8',
  '10/8',
  '1.2.3/24',
];

const IP_FIELDS: readonly (readonly [PipelineName, string])[] = [
  ['login', 'ip'],
  ['every', 'addr'],
  ['every', 'hashed_ip'],
];

function addresses(): readonly HostileCase[] {
  const masked = (text: string, fate: (name: PipelineName, field: string) => Fate) =>
    IP_FIELDS.map(([name, field]) => fieldCase(name, field, JSON.stringify(text), fate(name, field)));
  return [
    ...ADDRESSES.flatMap(([text, printed]) => [
      fieldCase('every', 'net', JSON.stringify(text), { stored: printed }),
      ...masked(text, (name, field) => ({ stored: tokenFor(name, field, text) })),
      ...masked(` \t${text}\n`, (name, field) => ({ stored: tokenFor(name, field, text) })),
    ]),
    ...NO_ADDRESSES.flatMap((text) => [
      fieldCase('every', 'net', JSON.stringify(text), { code: 'bad_ip' }),
      ...masked(text, () => ({ code: 'bad_ip' })),
    ]),
    ...NETWORKS.flatMap(([text, printed]) => [
      fieldCase('every', 'net', JSON.stringify(text), { stored: printed }),
      ...masked(text, () => ({ code: 'bad_ip' })),
    ]),
    ...NO_NETWORKS.flatMap((text) => [
      fieldCase('every', 'net', JSON.stringify(text), { code: 'bad_ip' }),
      ...masked(text, () => ({ code: 'bad_ip' })),
    ]),
    // An IPv4-mapped address is that IPv4 address.
    fieldCase('every', 'addr', '"::ffff:192.0.2.1"', { stored: tokenFor('every', 'addr', '192.0.2.1') }),
    fieldCase('every', 'addr', '"::ffff:c000:201"', { stored: tokenFor('every', 'addr', '192.0.2.1') }),
  ];
}

function identifiers(): readonly HostileCase[] {
  const uuid = '424cdd21-063a-43a7-b91b-7ca1a833afae';
  return [
    ...stores('uid', [
      [`"${uuid}"`, uuid],
      [`"${uuid.toUpperCase()}"`, uuid],
      ['"00000000-0000-0000-0000-000000000000"', '00000000-0000-0000-0000-000000000000'],
      ['"ffffffff-ffff-ffff-ffff-ffffffffffff"', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
      ['null', null],
    ]),
    ...refuses('uid', 'wrong_type', [
      ...quoted([
        '',
        ' ',
        `{${uuid}}`,
        `urn:uuid:${uuid}`,
        uuid.replaceAll('-', ''),
        `${uuid} `,
        ` ${uuid}`,
        `${uuid}0`,
      ]),
      ...quoted([
        uuid.slice(1),
        uuid.replace('4', 'g'),
        uuid.replace('-', '_'),
        `${uuid}\n`,
        uuid.replace('4', '４'),
      ]),
      '1',
      '{}',
    ]),
    ...stores('ver', [
      ['"0.0"', '0'],
      ['"0.60"', '60000'],
      ['"2.0"', '2000000'],
      ['"2.00"', '2000000'],
      ['"02.003.0004"', '2003004'],
      ['"999.999.999"', '999999999'],
      ['null', null],
    ]),
    ...refuses(
      'ver',
      'bad_version',
      quoted(['', ' ', '1', '1.', '.1', '1.2.3.4', '1000.0', '0.1000', '1.2.1000', 'v1.2', '1.2-beta']),
    ),
    ...refuses(
      'ver',
      'bad_version',
      quoted(['1.2 ', ' 1.2', '1.-2', '+1.2', '1,2', '１.２', '1.2\n', `${NINES}.1`, '1e1.1', '1..2', '1.x']),
    ),
    ...refuses('ver', 'wrong_type', ['1.2', '2', 'true', '[1,2]', '{"major":1}']),
    ...stores('flag', [
      ['true', 'true'],
      ['false', 'false'],
      ['null', null],
    ]),
    ...refuses('flag', 'wrong_type', [
      '0',
      '1',
      '"true"',
      '"false"',
      '"t"',
      '"on"',
      '""',
      '[]',
      '{}',
      '[true]',
    ]),
  ];
}

/** The last of two members counts; Postgres reads them all, so the others must not get there. */
const REPLACED: Stored = [
  ['{"a":"\\u0000","a":1}', '{"a": 1}'],
  ['{"a":{"b":"\\ud800"},"a":1}', '{"a": 1}'],
  ['{"a":1e200000,"a":1}', '{"a": 1}'],
  ['{"a":1e-99999,"\\u0061":[2]}', '{"a": [2]}'],
  ['[{"a":{"\\u0000":1},"b":[1,{"c":2}],"a":{"d":3}}]', '[{"a": {"d": 3}, "b": [1, {"c": 2}]}]'],
  ['{"a":{"b":1,"b":"\\u0000"},"a":{"b":"\\u0000","b":2}}', '{"a": {"b": 2}}'],
  ['{"a":"x,\\"a\\":1","a":"{[,]}","b":"\\\\"}', '{"a": "{[,]}", "b": "\\\\"}'],
  [`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)},"a":1}`, '{"a": 1}'],
  [`{"a":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)},"a":null}`, '{"a": null}'],
];

function alone(json: string, stored: Field): Pick<HostileCase, 'body' | 'every'> {
  return { body: eventBody({ num: null, doc: json }), every: rowWith('every', { num: null, doc: stored }) };
}

function documents(): readonly HostileCase[] {
  return [
    ...stores('doc', [
      ['{}', '{}'],
      ['[]', '[]'],
      ['""', '""'],
      ['" "', '" "'],
      ['0', '0'],
      ['-0', '0'],
      ['false', 'false'],
      ['null', null],
      ['[null]', '[null]'],
      ['"text"', '"text"'],
      ['12345678901234567890.12345678901234567890', '12345678901234567890.12345678901234567890'],
      ['[1.0,1.50,1e2,1E-2]', '[1.0, 1.50, 100, 0.01]'],
      ['1e400', `1${'0'.repeat(400)}`],
      [NINES, NINES],
      ['{"b":1,"a":2,"b":3}', '{"a": 2, "b": 3}'],
      ['{"b":1,"\\u0062":3.50}', '{"b": 3.50}'],
      ['{"":1," ":2}', '{"": 1, " ": 2}'],
      ['{"__proto__":{"a":1},"constructor":2}', '{"__proto__": {"a": 1}, "constructor": 2}'],
      ['{"toJSON":1}', '{"toJSON": 1}'],
      ['"\\\\u0000"', '"\\\\u0000"'],
      ['"\\\\\\\\u0000"', '"\\\\\\\\u0000"'],
      ['"\\ud83d\\ude00"', '"😀"'],
      ['"\\n\\t\\\\"', '"\\n\\t\\\\"'],
      ['"\\u007f\\u2028"', '"\u007f\u2028"'],
      ['{"a":"\\\\."}', '{"a": "\\\\."}'],
      [' [ 1 , 2 ] ', '[1, 2]'],
      ['"\\/"', '"/"'],
      [`"${'\\\\'.repeat(5_000)}"`, `"${'\\\\'.repeat(5_000)}"`],
    ]),
    ...refuses('doc', 'bad_text', [
      '"\\u0000"',
      '"a\\u0000b"',
      '["\\u0000"]',
      '{"\\u0000":1}',
      '{"a":{"b":["\\u0000"]}}',
      '"\\\\\\u0000"',
      '"\\ud800"',
      '"\\udc00"',
      '"\\udc00\\ud800"',
      '"\\ud83dx"',
      '{"\\ud800":1}',
      '"\ud800"',
    ]),
    // Numbers that a numeric of Postgres can't hold, or not to the last digit.
    ...refuses('doc', 'out_of_range', [
      '1e131072',
      '[1e131072]',
      '{"a":-1e200000}',
      '1e-16384',
      `[${'9'.repeat(131_073)}]`,
      '1e999999999999999999999',
    ]),
    ...stores('doc', [
      ['"1e999999"', '"1e999999"'],
      ['["a\\"1e999999"]', '["a\\"1e999999"]'],
      [`0.${'0'.repeat(9_999)}e-9`, `0.${'0'.repeat(10_008)}`],
    ]),
    ...refuses('doc', 'out_of_range', [`0.${'1'.repeat(15_500)}e-999`]),
    ...REPLACED.flatMap(([json, stored]) => [
      fieldCase('every', 'doc', json, { stored }),
      // Without any number whose digits matter the text goes another way.
      {
        ...fieldCase('every', 'doc', json, { stored }),
        name: `alone: ${json.slice(0, 40)}`,
        ...alone(json, stored),
      },
    ]),
  ];
}

/** JSON values of every kind, none of which any column takes but where it says so. */
const LITERALS = [
  '1',
  '-1.5',
  'true',
  'false',
  '[]',
  '["a"]',
  '[null]',
  '{}',
  '{"a":1}',
  '{"toString":"x"}',
] as const;

/** Columns that take some of them. */
const TAKEN: Readonly<{ [field: string]: Readonly<{ [json: string]: Field }> }> = {
  int: { '1': '1' },
  big: { '1': '1' },
  num: { '1': '1', '-1.5': '-1.5' },
  flag: { true: 'true', false: 'false' },
  doc: {
    '1': '1',
    '-1.5': '-1.5',
    true: 'true',
    false: 'false',
    '[]': '[]',
    '["a"]': '["a"]',
    '[null]': '[null]',
    '{}': '{}',
    '{"a":1}': '{"a": 1}',
    '{"toString":"x"}': '{"toString": "x"}',
  },
};

/** Fields whose values do not matter. */
const INDIFFERENT: Readonly<{ [field: string]: Field }> = { gone: null, starred: '***', dropped: null };
const REQUIRED = ['user_id', 'ip', 'device_id'];

function wrongTypes(): readonly HostileCase[] {
  return EVENT.flatMap(([field], i) => {
    const name = i < 6 ? 'login' : 'every';
    const fateOf = (json: string): Fate => {
      const taken = TAKEN[field]?.[json];
      if (taken !== undefined) return { stored: taken };
      const indifferent = INDIFFERENT[field];
      return indifferent === undefined ? { code: 'wrong_type' } : { stored: indifferent };
    };
    const absent: Fate = REQUIRED.includes(field) ? { code: 'missing_field' } : { stored: null };
    const without = fieldCase(name, field, 'null', absent);
    return [
      ...LITERALS.map((json) => fieldCase(name, field, json, fateOf(json))),
      without,
      { ...without, name: `without ${field}`, body: eventBody({ [field]: null }) },
    ];
  });
}

/** Lengths at and beyond those of the columns, in code points; and the first failing column decides. */
function lengths(): readonly HostileCase[] {
  const fits = (field: string, max: number) =>
    ['a', 'é', '日', '😀', '\\'].flatMap((character) => [
      fieldCase('login', field, JSON.stringify(character.repeat(max)), { stored: character.repeat(max) }),
      fieldCase('login', field, JSON.stringify(character.repeat(max + 1)), { code: 'too_long' }),
    ]);
  const long = 'x'.repeat(500_000);
  return [
    ...fits('user_id', 128),
    ...fits('device_type', 32),
    ...fits('app_version', 32),
    fieldCase('login', 'locale', JSON.stringify(`${'a'.repeat(32)}${' '.repeat(9)}`), { code: 'too_long' }),
    fieldCase('login', 'locale', JSON.stringify(long), { code: 'too_long' }),
    fieldCase('every', 'kept', JSON.stringify(long), { stored: long }),
    fieldCase('every', 'secret', JSON.stringify(long), { stored: tokenFor('every', 'secret', long) }),
    fieldCase('every', 'hashed', JSON.stringify(long), { stored: tokenFor('every', 'hashed', long) }),
    {
      name: 'the first failing column in the order of the file decides',
      body: eventBody({ device_id: '1', ip: '"x"', user_id: '""', doc: '"\\u0000"', int: '"x"' }),
      login: rejected('missing_field', 'user_id'),
      every: rejected('wrong_type', 'int'),
    },
    {
      name: 'the order of the body does not decide',
      body: `{"device_id":1,"ip":"x","user_id":"u","doc":"\\u0000","kept":"k"}`,
      login: rejected('bad_ip', 'ip'),
      every: rejected('bad_text', 'doc'),
    },
    {
      name: 'nothing but what is required',
      body: '{"user_id":"u","ip":"::1","device_id":"d"}',
      login: loginRow(),
      every: emptyRow(),
    },
  ];
}

function loginRow() {
  const row = rowWith('login', {
    user_id: 'u',
    device_type: null,
    masked_ip: tokenFor('login', 'ip', '::1'),
    masked_device_id: tokenFor('login', 'device_id', 'd'),
    locale: null,
    app_version: null,
  });
  return row;
}

function emptyRow() {
  return rowWith('every', Object.fromEntries(EVENT.slice(6, -1).map(([name]) => [name, null])));
}

/** All of these. */
export function valueCases(): readonly HostileCase[] {
  return [
    ...integers(),
    ...numerics(),
    ...times(),
    ...addresses(),
    ...identifiers(),
    ...documents(),
    ...wrongTypes(),
    ...lengths(),
  ];
}
