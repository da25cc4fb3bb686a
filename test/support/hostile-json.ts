// Bodies that break parsers of JSON (RFC 8259), and those that only look as if they should.

import {
  EVENT,
  type HostileCase,
  MAX_BODY,
  MAX_DEPTH,
  eventBody,
  fieldCase,
  harmless,
  rejected,
  rowWith,
  wholeBody,
} from './hostile-case.js';

const BOM = '\ufeff';
const event = eventBody();

/** Values that are not JSON, wherever they stand. */
const NO_VALUES = [
  'undefined',
  'NaN',
  'nan',
  'Infinity',
  '-Infinity',
  '+Infinity',
  'None',
  'nil',
  'True',
  'TRUE',
  'FALSE',
  'Null',
  'nul',
  'tru',
  'truee',
  'falsey',
  '01',
  '00',
  '-01',
  '-',
  '--1',
  '+1',
  '+',
  '.5',
  '-.5',
  '1.',
  '1.e1',
  '1e',
  '1e+',
  '1e-',
  '1e1.5',
  '1ee1',
  '1 2',
  '1..2',
  '1.2.3',
  '0x10',
  '0b1',
  '0o7',
  '1_000',
  '1,000,',
  '1n',
  '1f',
  '１',
  '٣',
  '½',
  '−1',
  "'text'",
  '`text`',
  '“text”',
  'text',
  '"text',
  'text"',
  '"te"xt"',
  '"text"text',
  '"a" "b"',
  '"a"+"b"',
  '"\\x41"',
  '"\\a"',
  '"\\\'"',
  '"\\0"',
  '"\\u"',
  '"\\u1"',
  '"\\u12"',
  '"\\u123"',
  '"\\u00g0"',
  '"\\U0041"',
  '"\\u{41}"',
  '"\\u 041"',
  '"\\',
  '"\\"',
  '"\\\n"',
  '[',
  ']',
  '[1',
  '1]',
  '[1,]',
  '[,1]',
  '[,]',
  '[1,,2]',
  '[1 2]',
  '[1;2]',
  '[1:2]',
  '(1)',
  '{',
  '}}',
  '{"a"}',
  '{"a":}',
  '{"a":1,}',
  '{,"a":1}',
  '{"a":1,,"b":2}',
  '{"a" 1}',
  '{"a"::1}',
  '{"a":1;"b":2}',
  '{"a":1 "b":2}',
  '{a:1}',
  "{'a':1}",
  '{1:1}',
  '{null:1}',
  '{"a":1]',
  '[1}',
  '{"a":{"b":1}',
  '/* comment */1',
  '1/* comment */',
  '// comment\n1',
  '1 # comment',
  '<a/>',
  '...',
  '*',
  '@',
  '$',
  '&a 1',
  '!!int 1',
  '%',
  '\\',
  '\\u0031',
  '\u00a01',
  '\u20031',
  '\u30001',
  '\u20281',
  '\u200b1',
  '\u00851',
  `${BOM}1`,
  '\u000b1',
  '\f1',
  '\u00001',
  '1\u0000',
];

/** Texts that are no JSON as a whole. */
const NO_BODIES = [
  '',
  ' ',
  '\t\r\n ',
  '\0',
  BOM,
  `${BOM} `,
  `${BOM}${BOM}${event}`,
  ` ${BOM}${event}`,
  `${event}${BOM}`,
  '\ufffe{}',
  '\u00ef\u00bb\u00bf{}',
  `${event}${event}`,
  `${event},`,
  `${event};`,
  `${event}\0`,
  `${event} x`,
  `${event}}`,
  `${event}]`,
  `,${event}`,
  `[${event}`,
  `${event.slice(0, -1)},}`,
  `{,${event.slice(1)}`,
  `)]}'\n${event}`,
  `callback(${event})`,
  `/**/${event}`,
  `${event}//`,
  `data: ${event}`,
  `---\nuser_id: a`,
  'user_id=a&ip=1.2.3.4',
  'user_id,ip\na,1.2.3.4',
  '<event><user_id>a</user_id></event>',
  'eyJ1c2VyX2lkIjoiYSJ9',
  Buffer.from(event).toString('base64'),
  Buffer.from(event).toString('hex'),
  'H4sIAAAAAAAAA6tWKi1OLYrPTFGyUkpUqgUAX2Y8YRAAAAA=',
  '\u001f\ufffd\b\0\0\0',
  // What invalid UTF-8 looks like when SQS hands it out: replacement characters.
  '\ufffd\ufffd{}',
  `{"a":"b"\ufffd}`,
  '{\ufffd}',
  '{{}}',
  '{[]}',
  '{""}',
  '{"a":1}{',
  '[[['.repeat(20_000),
  '{"a":'.repeat(20_000),
  `{"a":"${'\\'.repeat(20_001)}"}`,
];

/** JSON, but no object. */
const NO_OBJECTS = [
  'null',
  'true',
  'false',
  '0',
  '-0',
  '1e400',
  '"text"',
  '""',
  '"{}"',
  JSON.stringify(event),
  '[]',
  '[{}]',
  `[${event}]`,
  `[${event},${event}]`,
  `${BOM}[]`,
  ' null ',
  `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
];

/** Names that are something else to JavaScript, with values that no column takes. */
const STRANGE_MEMBERS = [
  '"__proto__":{"user_id":"inherited"}',
  '"__proto__":null',
  '"__proto__":[1]',
  '"\\u005f_proto__":{"int":1}',
  '"constructor":{"prototype":{"kept":"inherited"}}',
  '"prototype":{}',
  '"toString":1',
  '"valueOf":null',
  '"hasOwnProperty":false',
  '"toJSON":"x"',
  '"then":1',
  '"length":99',
  '"0":1,"1":2',
  '"":1',
  '" ":1',
  '"\\u0000":1',
  '"\\ud800":1',
  '"\\udc00\\ud800":"\\udfff"',
  '"$sent_at":"1999-01-01"',
  '"$message_id":"other"',
  '"message_id":"other"',
  '"create_date":"1999-01-01"',
  '"masked_ip":"199.0.0.1"',
  '"*":1',
  '"USER_ID":"other"',
  '"user_id ":"other"',
  '"user_іd":"look-alike"',
  '"user\\u200b_id":"other"',
  '"a.b":1,"a":{"b":2}',
  '"x":"\\u0000"',
  '"x":"\\ud800"',
  '"x":1e400,"y":-1e400',
  '"x":123456789012345678901234567890',
  '"x":0.1234567890123456789012345678901234567890',
  `"${'k'.repeat(100_000)}":1`,
  `"x":"${'v'.repeat(100_000)}"`,
  Array.from({ length: 20_000 }, (_, i) => `"k${i}":${i}`).join(','),
  `"x":[${'0,'.repeat(50_000)}0]`,
];

/** White space and other things that RFC 8259 allows around and between tokens. */
function allowedSpellings(): readonly HostileCase[] {
  const spaced = event.replace(/^\{/, '{ ').replaceAll('":', '" : ').replaceAll(',"', ' , "');
  const pretty = JSON.stringify(JSON.parse(eventBody({ num: '"1.50"' })), null, '\t');
  return [
    harmless('as it is', event),
    harmless('one byte order mark', `${BOM}${event}`),
    harmless('a byte order mark and a space', `${BOM} ${event}`),
    harmless('white space around', ` \t\r\n${event}\n\n`),
    harmless('white space between tokens', spaced),
    harmless('pretty', pretty),
    harmless('much white space', `${' '.repeat(100_000)}${event}${'\n'.repeat(100_000)}`),
    harmless('names escaped', event.replace('"user_id"', '"\\u0075ser_id"').replace('"ip"', '"i\\u0070"')),
    harmless(
      'members backwards',
      `{${EVENT.toReversed()
        .map(([name, json]) => `"${name}":${json}`)
        .join(',')}}`,
    ),
    harmless('a slash escaped', eventBody({ net: '"10.1.0.0\\/16"' })),
    harmless('twice the same', `${event.slice(0, -1)},${event.slice(1)}`),
  ];
}

/** Of several members of one name the last counts, however they are spelled. */
function duplicates(): readonly HostileCase[] {
  return EVENT.flatMap(([name, json]) => {
    const spelled = [...name].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
    const others = `"${name}":{"wrong":["\\u0000",1e999]}`;
    return [
      harmless(`${name} twice, the last counts`, `{${others},${event.slice(1)}`),
      harmless(`${name} twice, the last escaped`, eventBody({ [name]: 'false' }, `,"${spelled}":${json}`)),
    ];
  });
}

function depths(): readonly HostileCase[] {
  const arrays = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;
  const objects = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
  const mixed = (levels: number) => {
    const opened = Array.from({ length: levels }, (_, i) => (i % 2 === 0 ? '[' : '{"a":'));
    return `${opened.join('')}1${opened
      .toReversed()
      .map((open) => (open === '[' ? ']' : '}'))
      .join('')}`;
  };
  // The body itself is a level.
  const most = MAX_DEPTH - 1;
  const shapes = { arrays, objects, mixed };
  return Object.entries(shapes).flatMap(([shape, nest]) => [
    harmless(`${most} ${shape} in a field`, eventBody({}, `,"x":${nest(most)}`)),
    ...[most + 1, most + 2, 1_000, 50_000].map((levels) =>
      wholeBody(`${levels} ${shape} in a field`, eventBody({}, `,"x":${nest(levels)}`), 'too_deep'),
    ),
    wholeBody(`${shape} deep in a column`, eventBody({ doc: nest(most + 1) }), 'too_deep'),
    wholeBody(
      `deep ${shape} before duplicates of them`,
      eventBody({ x: '1' }, `,"x":1,"x":${nest(most + 1)}`),
      'too_deep',
    ),
    harmless(`deep ${shape} that a duplicate replaces`, eventBody({}, `,"x":${nest(most + 1)},"x":1`)),
    wholeBody(`${shape} deep under __proto__`, eventBody({}, `,"__proto__":${nest(most + 1)}`), 'too_deep'),
  ]);
}

/** The event padded, by a field that no column takes, to that many bytes in UTF-8. */
function padded(bytes: number, character: string): string {
  const without = Buffer.byteLength(eventBody({}, ',"x":""'));
  const count = Math.floor((bytes - without) / Buffer.byteLength(character));
  const rest = bytes - without - count * Buffer.byteLength(character);
  return eventBody({}, `,"x":"${character.repeat(count)}${'a'.repeat(rest)}"`);
}

function sizes(): readonly HostileCase[] {
  return ['a', 'é', '日', '😀'].flatMap((character) => [
    harmless(`one byte less than fits, of ${character}`, padded(MAX_BODY - 1, character)),
    harmless(`as large as fits, of ${character}`, padded(MAX_BODY, character)),
    wholeBody(`one byte too large, of ${character}`, padded(MAX_BODY + 1, character), 'too_large'),
  ]);
}

/** Cut off anywhere, JSON that began with a brace is no JSON. */
function truncations(): readonly HostileCase[] {
  const short = eventBody(
    Object.fromEntries(EVENT.slice(6).map(([name]) => [name, null])),
    ',"x":[1.5e+3,{"\\u00e9":null}],"y":true',
  );
  return Array.from({ length: short.length }, (_, i) =>
    wholeBody(`cut after ${i}`, short.slice(0, i), 'not_json'),
  );
}

/** A raw control character is nowhere allowed, but for the four that are white space between tokens. */
function rawControls(): readonly HostileCase[] {
  return Array.from({ length: 0x20 }, (_, code) => String.fromCharCode(code)).flatMap((character) => {
    const code = character.charCodeAt(0);
    const between = event.replace(':', `:${character}`);
    return [
      wholeBody(`raw control ${code} in a text`, eventBody({ kept: `"a${character}b"` }), 'not_json'),
      wholeBody(`raw control ${code} in a name`, event.replace('"kept"', `"ke${character}pt"`), 'not_json'),
      ' \t\r\n'.includes(character)
        ? harmless(`white space ${code} between tokens`, between)
        : wholeBody(`raw control ${code} between tokens`, between, 'not_json'),
    ];
  });
}

/** Raw surrogates and replacement characters, as a broken producer or client could hand them out. */
function rawCharacters(): readonly HostileCase[] {
  return [
    fieldCase('every', 'kept', '"a\ud800b"', { code: 'bad_text' }),
    fieldCase('every', 'kept', '"\udc00"', { code: 'bad_text' }),
    fieldCase('every', 'kept', '"\ud83d\\ude00"', { stored: '😀' }),
    fieldCase('every', 'kept', '"\\ud83d\ude00"', { stored: '😀' }),
    fieldCase('every', 'kept', '"\\ud83d\\u0041"', { code: 'bad_text' }),
    fieldCase('every', 'kept', '"\u007f\u0080\ufffd\ufffe"', { stored: '\u007f\u0080\ufffd\ufffe' }),
    harmless('raw surrogates in a field that no column takes', eventBody({}, ',"x":"\ud800\udfff\udc00"')),
    wholeBody('a raw surrogate between tokens', event.replace(':', ':\ud800'), 'not_json'),
  ];
}

/** All of these. */
export function jsonCases(): readonly HostileCase[] {
  return [
    ...allowedSpellings(),
    ...duplicates(),
    ...depths(),
    ...sizes(),
    ...truncations(),
    ...rawControls(),
    ...rawCharacters(),
    ...NO_BODIES.map((body, i) => wholeBody(`no JSON ${i}`, body, 'not_json')),
    ...NO_OBJECTS.map((body, i) => wholeBody(`no object ${i}`, body, 'not_object')),
    ...NO_VALUES.flatMap((json) => [
      // A byte order mark is allowed in front of a body, and nowhere else.
      wholeBody(`no JSON value alone: ${json}`, json, json.startsWith(BOM) ? 'not_object' : 'not_json'),
      wholeBody(`no JSON value in a field: ${json}`, eventBody({ device_type: json }), 'not_json'),
      wholeBody(`no JSON value in a list: ${json}`, eventBody({ doc: `[0,${json},1]` }), 'not_json'),
    ]),
    ...STRANGE_MEMBERS.flatMap((members) => [
      harmless(`strange members behind: ${members.slice(0, 40)}`, eventBody({}, `,${members}`)),
      harmless(`strange members in front: ${members.slice(0, 40)}`, `{${members},${event.slice(1)}`),
    ]),
    {
      name: 'an empty object',
      body: '{}',
      login: rejected('missing_field', 'user_id'),
      every: rowWith('every', Object.fromEntries(EVENT.slice(6, -1).map(([name]) => [name, null]))),
    },
  ];
}
