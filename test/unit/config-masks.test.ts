import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { PipelineConfig } from '../../src/config/config.js';
import { checkConfig } from '../../src/config/load.js';
import { createdType, fitOf, lengthNeed } from '../../src/load/target-types.js';
import type { ColumnSpec } from '../../src/masking/methods.js';

const ENV = { DATABASE_URL: 'postgres://app:pw@db/app', SQS_QUEUE_URL: 'logins' };

interface Checked {
  readonly problems: readonly string[];
  readonly pipeline: PipelineConfig | undefined;
}

function check(columns: string, create = false): Checked {
  const text = `version: 1\npipelines:\n  p:\n    columns:\n${columns}\n    target: { table: t, create: ${create} }\n`;
  const { config, problems } = checkConfig({ file: 'm.yaml', env: ENV, read: () => text });
  assert.equal(
    config === null,
    problems.some(({ severity }) => severity === 'error'),
  );
  return {
    problems: problems.map(({ severity, path, message }) => `${severity} ${path}: ${message}`),
    pipeline: config?.pipelines[0],
  };
}

const KID = '      kid: { from: $mask_kid, type: integer }';

/** What is said of one column c, whose key id has a column. */
function said(column: string): readonly string[] {
  return check(`      c: ${column}\n${KID}`).problems.map((line) =>
    line.replace('pipelines.p.columns.c', '').replace(' .', ' '),
  );
}

function built(column: string, create = false): ColumnSpec {
  const { problems, pipeline } = check(`      c: ${column}\n${KID}`, create);
  const spec = pipeline?.policy.columns[0];
  assert.ok(spec, `${column}\n${problems.join('\n')}`);
  assert.deepEqual(problems, [], column);
  return spec;
}

const mask = (options: string, rest = ''): string => `{ from: a, mask: { ${options} }${rest} }`;
const DATE = ', type: date';

test('every mask arrives with its options and their defaults', () => {
  const cases: readonly (readonly [string, unknown])[] = [
    [mask('method: ip-truncate'), { method: 'ip-truncate', v4: 24, v6: 48 }],
    [mask('method: ip-truncate, v4: 16, v6: 32'), { method: 'ip-truncate', v4: 16, v6: 32 }],
    [mask('method: partial, kind: email'), { method: 'partial', kind: 'email' }],
    [mask('method: partial, kind: card'), { method: 'partial', kind: 'card' }],
    [mask('method: partial, kind: phone'), { method: 'partial', kind: 'phone', show: 4 }],
    [mask('method: partial, kind: phone, show: 2'), { method: 'partial', kind: 'phone', show: 2 }],
    [
      mask("method: partial, kind: pattern, pattern: '(.{2}).*', replace: '$1…'"),
      { method: 'partial', kind: 'pattern', pattern: '(.{2}).*', replace: '$1…' },
    ],
    [mask('method: ipcrypt-det'), { method: 'ipcrypt-det', domain: 'a' }],
    [mask('method: ipcrypt-pfx, domain: ip'), { method: 'ipcrypt-pfx', domain: 'ip' }],
    [
      mask("method: ff1, template: '^(\\d{3})-(\\d{2})-(\\d{4})$'"),
      {
        method: 'ff1',
        domain: 'a',
        template: [
          { least: 3, most: 3 },
          { literal: '-' },
          { least: 2, most: 2 },
          { literal: '-' },
          { least: 4, most: 4 },
        ],
        alphabet: '0123456789',
      },
    ],
    [
      mask("method: date-shift, entity: 'user.id', days: 30", DATE),
      { method: 'date-shift', domain: 'a', entity: { name: 'user', steps: [{ member: 'id' }] }, days: 30 },
    ],
    [mask('method: bucket, edges: [0, 18.50, "1e2"]'), { method: 'bucket', edges: ['0', '18.5', '100'] }],
    [mask('method: bucket, width: 0.250'), { method: 'bucket', width: '0.25' }],
    [mask('method: generalize, to: week', DATE), { method: 'generalize', to: 'week' }],
    [mask('method: generalize, to: ip_version'), { method: 'generalize', to: 'ip_version' }],
    [
      mask('method: generalize, map: { b: 2nd, " A ": first }, other: null, lower: true'),
      {
        method: 'generalize',
        map: [
          ['a', 'first'],
          ['b', '2nd'],
        ],
        lower: true,
        other: null,
      },
    ],
    [mask('method: generalize, map: { b: x }'), { method: 'generalize', map: [['b', 'x']], lower: false }],
  ];
  for (const [column, expected] of cases) assert.deepEqual(built(column).mask, expected);
});

test('a template may have classes, counts and separators, and adjacent runs are one', () => {
  const parts = (options: string): unknown => {
    const spec = built(mask(`method: ff1, ${options}`));
    return spec.mask.method === 'ff1' ? spec.mask.template : null;
  };
  assert.deepEqual(parts(`template: '^([0-9]{2})(\\d{2,3})\\.(\\d\\d{3,4})$'`), [
    { least: 4, most: 5 },
    { literal: '.' },
    { least: 4, most: 5 },
  ]);
  assert.deepEqual(parts(`alphabet: 'abcdefghij\\-]', template: '^#\\$([\\]a-j\\\\\\-]{6})$'`), [
    { literal: '#$' },
    { least: 6, most: 6 },
  ]);
  assert.deepEqual(parts(`template: '^DE(\\d{9})$'`), [{ literal: 'DE' }, { least: 9, most: 9 }]);
  assert.deepEqual(parts(`template: '^49(\\d{9})$'`), [{ literal: '49' }, { least: 9, most: 9 }]);
});

/** Each column has one problem, which is that. */
function assertSaid(cases: readonly (readonly [string, RegExp])[]): void {
  for (const [column, expected] of cases) {
    const found = said(column);
    assert.equal(found.length, 1, `${column}\n${found.join('\n')}`);
    assert.match(found[0] ?? '', expected, column);
  }
}

test('options of other masks, missing ones and contradictions are errors', () => {
  assertSaid([
    [mask('method: keep, v4: 8'), /^error mask.v4: is not an option of the mask keep/],
    [mask('method: siv, template: x'), /^error mask.template: is not an option of the mask siv/],
    [mask('method: ip-truncate, domain: d'), /^error mask.domain: is not an option of the mask ip-truncate/],
    [
      mask('method: bucket, edges: [1], lower: true'),
      /^error mask.lower: is not an option of the mask bucket/,
    ],
    [
      mask('method: partial, kind: email, other: null'),
      /^error mask.other: is not an option of the mask partial/,
    ],
    [mask('method: ip-truncate, v4: 32'), /^error mask.v4: must be a whole number from 1 to 31/],
    [mask('method: ip-truncate, v6: 128'), /^error mask.v6: must be a whole number from 1 to 127/],
    [mask('method: partial'), /^error mask.kind: required by the mask partial/],
    [mask('method: partial, kind: mail'), /^error mask.kind: must be one of email, .*; did you mean "email"/],
    [mask('method: partial, kind: email, show: 2'), /^error mask.show: is not an option of `kind: email`/],
    [mask('method: partial, kind: phone, show: 5'), /^error mask.show: must be a whole number from 1 to 4/],
    [
      mask('method: partial, kind: card, pattern: x'),
      /^error mask.pattern: is not an option of `kind: card`/,
    ],
    [mask('method: partial, kind: pattern, pattern: x'), /^error mask.replace: required by `kind: pattern`/],
    [mask('method: partial, kind: pattern, replace: x'), /^error mask.pattern: required by `kind: pattern`/],
    [mask('method: ff1'), /^error mask.template: required by the mask ff1/],
    [mask('method: date-shift, days: 3', DATE), /^error mask.entity: required by the mask date-shift/],
    [mask('method: date-shift, entity: u', DATE), /^error mask.days: required by the mask date-shift/],
    [mask('method: date-shift, entity: u, days: 0', DATE), /^error mask.days: must be a whole number from 1/],
    [mask('method: date-shift, entity: $sent_at, days: 3', DATE), /^error mask.entity: must be a field/],
    [mask("method: date-shift, entity: 'u[*]', days: 3", DATE), /^error mask.entity: must be one value/],
    [mask("method: date-shift, entity: 'u.', days: 3", DATE), /^error mask.entity: lacks a name/],
    [mask('method: bucket'), /^error mask.edges: required by the mask bucket, or else `width`/],
    [mask('method: bucket, edges: [1], width: 2'), /^error mask.width: contradicts `edges`/],
    [mask('method: bucket, edges: []'), /^error mask.edges: must be a list of numbers/],
    [mask('method: bucket, edges: 7'), /^error mask.edges: must be a list of numbers/],
    [mask('method: bucket, edges: [1, true]'), /^error mask.edges: must be a list of numbers/],
    [mask('method: bucket, edges: [1, x]'), /^error mask.edges: must be numbers of at most 30 digits/],
    [mask('method: bucket, edges: [1e31]'), /^error mask.edges: must be numbers of at most 30 digits/],
    [mask('method: bucket, edges: [2, 10, 10.0]'), /^error mask.edges: must ascend/],
    [mask('method: bucket, edges: [10, 9]'), /^error mask.edges: must ascend/],
    [mask('method: bucket, width: 0'), /^error mask.width: must be a number above 0/],
    [mask('method: bucket, width: -1'), /^error mask.width: must be a number above 0/],
    [mask('method: bucket, width: wide'), /^error mask.width: must be a number above 0/],
    [mask('method: generalize'), /^error mask.to: required by the mask generalize, or else `map`/],
    [mask('method: generalize, to: ip_version, map: { a: b }'), /^error mask.map: contradicts `to`/],
    [mask('method: generalize, to: decade'), /^error mask.to: must be one of year, quarter/],
    [mask('method: generalize, to: ip_version, other: x'), /^error mask.other: belongs to `map`/],
    [mask('method: generalize, to: ip_version, lower: true'), /^error mask.lower: belongs to `map`/],
    [mask('method: generalize, map: {}'), /^error mask.map: is empty/],
    [mask('method: generalize, map: { A: x, a: y }, lower: true'), /^error mask.map.a: equals another key/],
    [mask('method: generalize, map: { " ": x }'), /^error mask.map. : is empty or holds control/],
    [mask('method: generalize, map: { a: [x], b: y }'), /^error mask.map.a: must be a single value/],
  ]);
});

test('alphabets and templates that FF1 cannot be safe with are errors', () => {
  const ff1 = (template: string, alphabet = ''): string =>
    mask(`method: ff1, template: '${template}'${alphabet === '' ? '' : `, alphabet: '${alphabet}'`}`);
  assertSaid([
    [ff1('(\\d{9})'), /^error mask.template: must begin with "\^" and end with "\$"/],
    [ff1('^(\\d{9})'), /^error mask.template: must begin/],
    [ff1('^(\\d{9})\\$'), /^error mask.template: must begin/],
    [
      ff1('^(\\d{5})$'),
      /^error mask.template: allows values of 5 characters of 10 .* fewer than the million/,
    ],
    [ff1('^(\\d{2})-(\\d{3,9})$'), /^error mask.template: allows values of 5 characters of 10/],
    [ff1('^([ab]{19})$', 'ab'), /^error mask.template: allows values of 19 characters of 2/],
    [ff1('^(\\d{129})$'), /^error mask.template: allows more than 128 characters/],
    [
      ff1('^(\\d+)$'),
      /^error mask.template: needs \\d or \[\.\.\.\] with a count within the group at character 2/,
    ],
    [ff1('^(\\d{9}$'), /^error mask.template: needs \\d/],
    [ff1('^((\\d{9}))$'), /^error mask.template: needs \\d/],
    [ff1('^(\\d{9}|x)$'), /^error mask.template: needs \\d/],
    [ff1('^(\\d{9,3})$'), /^error mask.template: has a count at character 5 that ends before it begins/],
    [
      ff1('^\\d{9}$'),
      /^error mask.template: cannot have "\\\\" at character 2: what changes stands in groups/,
    ],
    [ff1('^.*(\\d{9})$'), /^error mask.template: cannot have "\." at character 2/],
    [ff1('^(\\d{9})-?$'), /^error mask.template: cannot have "\?" at character 10/],
    [ff1('^abc$'), /^error mask.template: needs a group/],
    [ff1('^([0-8]{9})$'), /^error mask.template: has characters at character 3 that are not exactly those/],
    [ff1('^([0-9a]{9})$'), /^error mask.template: has characters at character 3/],
    [ff1('^(\\d{9})$', 'abc'), /^error mask.template: has characters at character 3/],
    [ff1('^4(\\d{6,9})$'), /^error mask.template: has a character of the alphabet outside of its groups/],
    [ff1('^(\\d{9})$', 'a'), /^error mask.alphabet: must have 2 to 65535 characters/],
    [ff1('^(\\d{9})$', 'aba'), /^error mask.alphabet: holds a character twice/],
    [ff1('^(\\d{9})$', 'a b'), /^error mask.alphabet: must not hold spaces/],
    [ff1('^(\\d{9})$', 'a\u0301b'), /^error mask.alphabet: must not hold spaces/],
    [ff1('^(\\d{9})$', 'a\u212b'), /^error mask.alphabet: must be in Unicode normalization form C/],
    [
      mask("method: ff1, template: '^(\\d{9})$'", ', max_length: 8'),
      /^error max_length: no value of the template fits: it has 9 characters/,
    ],
    [
      mask("method: ff1, template: '^X(\\d{6,9})$'", ', max_length: 9'),
      /^warning max_length: the template allows values of 10 characters/,
    ],
  ]);
});

test('patterns that could take too long, or are none of the kind, are errors', () => {
  const pattern = (text: string, replace = 'x'): string =>
    mask(`method: partial, kind: pattern, pattern: '${text}', replace: '${replace}'`);
  const slow = /^error mask.pattern: could take too long on some values/;
  const unsupported = /^error mask.pattern: has something at character \d+ that is not supported/;
  assertSaid([
    [pattern('.*x.*y'), slow],
    [pattern('a*a*a*b'), slow],
    [pattern('a*-?a*-?a*b'), slow],
    [pattern('\\d+\\w+\\w+-'), slow],
    [pattern('[^-]*\\w{0,100}[a-z]{0,100}x'), slow],
    [pattern('\\s*\\p{L}*x'), slow],
    [pattern('(a+)+b'), /^error mask.pattern: repeats a group at character 4/],
    [pattern('(a|b)'), unsupported],
    [pattern('((a))'), unsupported],
    [pattern('(?=a)b'), unsupported],
    [pattern('(a)\\1'), unsupported],
    [pattern('\\bfoo'), unsupported],
    [pattern('a**'), unsupported],
    [pattern('(a'), /^error mask.pattern: has a group that is not closed/],
    [pattern('[z-a]'), /^error mask.pattern: is not a valid regular expression/],
    [pattern('\\p{Nonsense}'), /^error mask.pattern: is not a valid regular expression/],
    [pattern('a{3,1}'), /^error mask.pattern: is not a valid regular expression/],
    [pattern('(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)'), /^error mask.pattern: has more than 9 groups/],
    [
      pattern('(a)', '$2'),
      /^error mask.replace: may refer to the groups of the pattern, of which there are 1/,
    ],
    [pattern('(a)', '$&'), /^error mask.replace/],
    [pattern('(a)', '$0'), /^error mask.replace/],
    [pattern('(a)', 'x$'), /^error mask.replace/],
    [pattern('a', '$1'), /^error mask.replace: .* there are 0/],
  ]);
  for (const good of [
    '(.{3}).*(.{2})',
    '^(.).*$',
    '.*.*',
    'a*a*b',
    '(.*)@(.*)',
    '([^-]*)-([^-]*)-(.*)',
    '\\d{3}-?\\d{2}[A-Za-z_.\\-]+',
    '\\+?(\\d{2}) (\\d+)',
    '\\p{Lu}\\w*?',
    'ä+[€]{2,}\\$',
  ])
    assert.deepEqual(said(pattern(good)), [], good);
});

test('a mask and the type of its column must go together', () => {
  assertSaid([
    [
      mask('method: ipcrypt-det', ', type: integer'),
      /^error type: contradicts the mask ipcrypt-det, whose results are inet or text/,
    ],
    [mask('method: ip-truncate', ', type: jsonb'), /^error type: contradicts the mask ip-truncate/],
    [
      mask('method: partial, kind: email', ', type: inet'),
      /^error type: contradicts the mask partial, whose results are text/,
    ],
    [mask("method: ff1, template: '^(\\d{9})$'", ', type: bigint'), /^error type: contradicts the mask ff1/],
    [mask('method: bucket, width: 1', ', type: numeric'), /^error type: contradicts the mask bucket/],
    [
      mask('method: generalize, map: { a: b }', ', type: inet'),
      /^error type: contradicts the mask generalize/,
    ],
    [mask('method: generalize, to: ip_version', ', type: inet'), /^error type: .* integer or text/],
    [
      mask('method: generalize, to: month'),
      /^error type: required by the mask generalize: date or timestamptz/,
    ],
    [mask('method: generalize, to: month', ', type: text'), /^error type: .* date or timestamptz/],
    [mask('method: generalize, to: hour', DATE), /^error mask.to: makes nothing coarser of a date/],
    [mask('method: date-shift, entity: u, days: 3'), /^error type: required by the mask date-shift/],
    [
      mask('method: ipcrypt-det', ', max_length: 40'),
      /^error max_length: is for text; the mask ipcrypt-det makes/,
    ],
    [mask('method: generalize, to: ip_version', ', max_length: 4'), /^error max_length: is for text/],
    [
      mask('method: ipcrypt-det', ', type: inet, max_length: 40'),
      /^error max_length: is for text, not for inet/,
    ],
    ['{ from: a, type: "text[]" }', /^error type: is for a list/],
    [
      '{ from: "a[*].b" }',
      /^error type: a `from` with "\[\*\]" gives a list: its type must be jsonb or text\[\]/,
    ],
    ['{ from: "a[*].b", type: integer }', /^error type: a `from` with/],
    ['{ from: "a[*].b", mask: { method: siv } }', /^error type: a `from` with/],
    [
      '{ from: "a[*].b", type: jsonb, mask: { method: generalize, to: day } }',
      /^error mask.method: generalize of dates is not for lists/,
    ],
    ['{ from: "a[*].b", type: jsonb, max_length: 9 }', /^error max_length: is for text/],
    ['{ from: "a..b" }', /^error from: lacks a name behind the "\." at character 2/],
  ]);
});

test('what SQS or maskline gave is kept, or masked as a token', () => {
  assertSaid([
    ['{ from: $mask_kid, type: text }', /^error type: \$mask_kid can be integer or bigint, not text/],
    ['{ from: $mask_kid, mask: { method: siv } }', /^error mask.method: \$mask_kid is a key id/],
    [
      '{ from: $sent_at, type: date, mask: { method: generalize, to: month } }',
      /^error mask.method: \$sent_at comes from no sender/,
    ],
    [
      '{ from: $message_id, mask: { method: partial, kind: email } }',
      /^error mask.method: \$message_id comes from no sender/,
    ],
  ]);
});

test('sentinels are a list of values that a column can have', () => {
  assert.deepEqual(built('{ from: a, sentinels: [unknown, 0.0.0.0, -1, 0.50] }').sentinels, [
    'unknown',
    '0.0.0.0',
    '-1',
    '0.5',
  ]);
  assert.equal('sentinels' in built('{ from: a }'), false);
  assertSaid([
    ['{ from: a, sentinels: unknown }', /^error sentinels: must be a list of values/],
    ['{ from: a, sentinels: [] }', /^error sentinels: must be a list of values/],
    ['{ from: a, sentinels: [[x]] }', /^error sentinels: must be a list of values/],
    ['{ from: a, sentinels: [" "] }', /^error sentinels: must not hold an empty value/],
    ['{ from: a, sentinels: ["a\\u0007"] }', /^error sentinels: must not hold an empty value/],
    ['{ from: a, type: jsonb, sentinels: [x] }', /^error sentinels: is not for jsonb/],
    ['{ from: a, sentinels: [x], mask: { method: drop } }', /^error sentinels: contradicts the mask drop/],
    ['{ from: $group_id, sentinels: [x] }', /^error sentinels: \$group_id has a value in every row/],
  ]);
});

test('a mask that keeps the format needs a kept column for its key id', () => {
  for (const [method, rest] of [
    ['ff1', ", template: '^(\\d{9})$'"],
    ['ipcrypt-det', ''],
    ['ipcrypt-pfx', ''],
  ] as const) {
    const column = `      c: { from: a, mask: { method: ${method}${rest} } }`;
    assert.match(
      check(column).problems.join('\n'),
      new RegExp(
        `^error pipelines.p.columns.c.mask.method: the results of ${method} carry no key id: add a column .*\\$mask_kid`,
      ),
    );
    assert.deepEqual(check(`${column}\n${KID}`).problems, []);
  }
  const shift = '      c: { from: a, type: date, mask: { method: date-shift, entity: u, days: 9 } }';
  const dropped = '      kid: { from: $mask_kid, mask: { method: drop } }';
  assert.match(check(`${shift}\n${dropped}`).problems.join(), /carry no key id/);
});

test('a kept value is warned of by its own name, wherever it lies', () => {
  assert.match(said('{ from: user.email }').join(), /^warning : kept unmasked/);
  assert.match(said('{ from: "c[*].phone", type: jsonb }').join(), /^warning : kept unmasked/);
  assert.deepEqual(said('{ from: email.count }'), []);
});

test('create: true makes a column that takes what the mask makes', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    [mask('method: ipcrypt-det'), 'inet', 'inet'],
    [mask('method: ip-truncate'), 'inet', 'inet'],
    [mask('method: ip-truncate', ', type: text'), 'text', 'text'],
    [mask('method: partial, kind: email'), 'varchar(256)', 'varchar'],
    [mask('method: partial, kind: email', ', type: text'), 'text', 'text'],
    [mask('method: bucket, width: 1'), 'text', 'text'],
    [mask('method: generalize, to: ip_version'), 'integer', 'int4'],
    [mask('method: generalize, to: month', ', type: timestamptz'), 'timestamptz', 'timestamptz'],
    [mask("method: ff1, template: '^(\\d{9})$'", ', max_length: 9'), 'varchar(9)', 'varchar'],
    ['{ from: "a[*]", type: "text[]", mask: { method: siv } }', 'text[]', '_text'],
    ['{ from: "a[*]", type: jsonb, mask: { method: siv } }', 'jsonb', 'jsonb'],
    ['{ from: $mask_kid }', 'integer', 'int2'],
  ];
  for (const [column, type, baseType] of cases) {
    const spec = built(column, true);
    assert.equal(createdType(spec), type, column);
    assert.equal(fitOf(spec, baseType, true), 'fits', column);
  }
  assert.equal(lengthNeed(built('{ from: "a[*]", type: jsonb, mask: { method: siv } }')), null);
  assert.equal(fitOf(built(mask('method: ipcrypt-det')), 'int4', true), 'unfit');
});

test('the hash of a policy changes with every option', () => {
  const sha = (column: string): string =>
    check(`      c: ${column}\n${KID}`).pipeline?.policy.sha256 ?? column;
  const columns = [
    '{ from: a.b }',
    '{ from: a.c }',
    '{ from: a.b, sentinels: [x] }',
    '{ from: a.b, sentinels: [y] }',
    mask('method: ip-truncate'),
    mask('method: ip-truncate, v4: 16'),
    mask('method: ip-truncate, v6: 56'),
    mask('method: partial, kind: phone'),
    mask('method: partial, kind: phone, show: 2'),
    mask('method: partial, kind: email'),
    mask('method: partial, kind: pattern, pattern: a, replace: b'),
    mask('method: partial, kind: pattern, pattern: a, replace: c'),
    mask("method: ff1, template: '^(\\d{9})$'"),
    mask("method: ff1, template: '^(\\d{8})$'"),
    mask("method: ff1, template: '^(\\d{9})$', alphabet: '1023456789'"),
    mask("method: ff1, template: '^(\\d{9})$', domain: d"),
    mask('method: ipcrypt-det'),
    mask('method: ipcrypt-pfx'),
    mask('method: date-shift, entity: u, days: 3', DATE),
    mask('method: date-shift, entity: v, days: 3', DATE),
    mask('method: date-shift, entity: u, days: 4', DATE),
    mask('method: bucket, edges: [1]'),
    mask('method: bucket, edges: [1, 2]'),
    mask('method: bucket, width: 1'),
    mask('method: generalize, map: { a: b }'),
    mask('method: generalize, map: { a: c }'),
    mask('method: generalize, map: { a: b }, other: x'),
    mask('method: generalize, map: { a: b }, other: null'),
    mask('method: generalize, map: { a: b }, lower: true'),
    mask('method: generalize, to: ip_version'),
  ];
  assert.equal(new Set(columns.map(sha)).size, columns.length);
  assert.equal(
    sha(mask('method: generalize, map: { a: b, c: d }')),
    sha(mask('method: generalize, map: { c: d, a: b }')),
  );
});
