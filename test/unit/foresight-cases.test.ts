import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { parseCases } from '../../src/foresight/case-file.js';
import { runCases } from '../../src/foresight/test-run.js';
import { throwawayKeyring } from '../../src/foresight/test-keyring.js';
import { pipelineWith } from '../support/foresight.js';

const keyring = throwawayKeyring(0);
const pipeline = pipelineWith({
  user_id: '{ from: user_id, type: text, max_length: 8, required: true }',
  amount: '{ from: amount, type: numeric }',
  details: '{ from: details, type: jsonb }',
  masked_ip: '{ from: ip, mask: { method: siv, domain: ip, as: ip } }',
  other_ip: '{ from: other, mask: { method: siv, domain: ip, as: ip } }',
  secret: '{ from: secret, mask: { method: drop } }',
  note: '{ from: note, type: text }',
  day: '{ from: $sent_at, type: date }',
  source: '{ from: $attributes.source, type: text }',
});

/** Names of the failed cases with their differences, of a file that is sound. */
function failuresOf(yaml: string): Readonly<{ [name: string]: readonly string[] }> {
  const { cases, problems } = parseCases('cases.yaml', yaml, [pipeline]);
  assert.deepEqual(problems, []);
  const failed = runCases(pipeline, cases, keyring, systemClock).filter((one) => one.differences.length > 0);
  return Object.fromEntries(
    failed.map((one) => [
      one.test.name,
      one.differences.map(({ column, expected, actual }) => `${column ?? ''}|${expected}|${actual}`),
    ]),
  );
}

function problemsOf(yaml: string): readonly string[] {
  const { problems } = parseCases('cases.yaml', yaml, [pipeline]);
  return problems.map(({ line, column, message }) => `${line}:${column} ${message}`);
}

describe('test cases', () => {
  test('a row passes when every named column is as expected, whatever the others are', () => {
    const failures = failuresOf(`
cases:
  - name: all kinds
    message:
      body: { user_id: u1, amount: 1.50, details: { b: 1, a: [x] }, ip: 10.0.0.1, other: "::ffff:10.0.0.1", secret: s, note: token }
      sent_at: 2026-03-04T23:59:59Z
      attributes: { source: app }
    expect:
      row:
        user_id: u1
        amount: 1.50
        details: { value: { a: [x], b: 1 } }
        masked_ip: token
        other_ip: { equal_to: all kinds.masked_ip }
        secret: absent
        never: absent
        note: token
        day: { matches: '^2026-03-04$' }
        source: app
  - name: nulls
    message: { body: { user_id: u1 } }
    expect: { row: { amount: null, masked_ip: , day: 2026-01-01, source: ~ } }
`);
    assert.deepEqual(failures, {});
  });

  test('of JSON values each part can be expected by its name, masked ones too', () => {
    const parted = pipelineWith({
      email: '{ from: email, mask: { method: siv, domain: mail } }',
      rest: '{ from: $rest, keep: [state, price], masks: { user.email: { method: siv, domain: mail }, "items[*].who": { method: hmac } } }',
    });
    const yaml = `
cases:
  - name: first
    message: { body: { email: a@x.example, state: s, price: 1.50, user: { email: a@x.example, name: n }, items: [{ who: a }, { who: b }] } }
    expect:
      row:
        rest.state: s
        rest.price: 1.50
        rest.user.email: { equal_to: first.email }
        rest.items[*].who: token
        rest: { matches: '"price":1.50' }
  - name: second
    message: { body: { state: null, user: {}, items: [{ who: a }] } }
    expect:
      row:
        rest.state: null
        rest.user.email: absent
        rest.items[*].who: { equal_to: 'first.rest.items[*].who' }
  - name: third
    message: { body: { user: a@x.example } }
    expect: { rejected: { code: wrong_type, path: $rest } }
  - name: fourth
    message: { body: { user: { email: 1 } } }
    expect: { rejected: { code: wrong_type, path: user.email } }
`;
    const { cases, problems } = parseCases('cases.yaml', yaml, [parted]);
    assert.deepEqual(problems, []);
    const failed = runCases(parted, cases, keyring, systemClock).filter((one) => one.differences.length > 0);
    assert.deepEqual(
      failed.map(({ test: { name }, differences }) => [name, differences.map(({ column }) => column)]),
      [['second', ['rest.items[*].who']]],
    );
  });

  test('each column that differs is told, with both sides', () => {
    const failures = failuresOf(`
cases:
  - name: a
    message: { body: { user_id: u1, amount: 1.5, ip: 10.0.0.1, note: n } }
    expect: { row: { user_id: u2, amount: 1.50, masked_ip: null, note: { matches: ^m }, other_ip: token } }
  - name: b
    message: { body: { user_id: u1, ip: 10.0.0.2 } }
    expect: { row: { masked_ip: { equal_to: a.masked_ip }, other_ip: { equal_to: c.other_ip } } }
`);
    assert.deepEqual(
      failures['a']?.map((line) => line.replace(/s1\.[\w-]{43}/, 'TOKEN')),
      [
        'user_id|"u2"|"u1"',
        'amount|"1.50"|"1.5"',
        'masked_ip|NULL|"TOKEN"',
        'note|a match of ^m|"n"',
        'other_ip|some siv token of key 1|NULL',
      ],
    );
    assert.match(failures['b']?.[0] ?? '', /^masked_ip\|the same as a\.masked_ip, which is "s1\./);
    assert.match(failures['b']?.[1] ?? '', /there is no such case/);
  });

  test('rejections are compared by code, and by path where one is given', () => {
    const failures = failuresOf(`
cases:
  - { name: code alone, message: { raw: '{"ip":"1.2.3.4"}' }, expect: { rejected: { code: missing_field } } }
  - { name: code and path, message: { raw: '{"user_id":"u","ip":"1.2.3"}' }, expect: { rejected: { code: bad_ip, path: ip } } }
  - { name: whole body, message: { raw: 'not json' }, expect: { rejected: { code: not_json, path: null } } }
  - { name: wrong path, message: { raw: '{"user_id":"u","ip":"1.2.3"}' }, expect: { rejected: { code: bad_ip, path: other } } }
  - { name: a row after all, message: { body: { user_id: u } }, expect: { rejected: { code: bad_ip } } }
  - { name: no row, message: { body: { user_id: much too long } }, expect: { row: { user_id: x } } }
`);
    assert.deepEqual(failures, {
      'wrong path': ['|rejected: bad_ip at other|rejected: bad_ip at ip'],
      'a row after all': ['|rejected: bad_ip|a row'],
      'no row': ['|a row|rejected: too_long at user_id'],
    });
  });

  test('envelopes are unwrapped as in production, and digits of numbers are sent as they are written', () => {
    const big = pipelineWith({ id: '{ from: id, type: numeric }' });
    const detail = '{"id":123456789012345678901234567890.10}';
    const envelope = JSON.stringify({ Type: 'Notification', TopicArn: 'arn:aws:sns:x', Message: detail });
    const yaml = `
cases:
  - name: sns
    message: { raw: '${envelope}' }
    expect: { row: { id: "123456789012345678901234567890.10" } }
  - name: digits
    message: { body: { id: 123456789012345678901234567890.10 } }
    expect: { row: { id: 123456789012345678901234567890.10 } }
`;
    const { cases, problems } = parseCases('cases.yaml', yaml, [big]);
    assert.deepEqual(problems, []);
    const results = runCases(big, cases, keyring, systemClock);
    assert.deepEqual(
      results.map(({ differences }) => differences),
      [[], []],
    );
  });

  test('a message of one record is a case whatever it is wrapped in; one of several, or none, is not', () => {
    const attributes = { source: { Type: 'String', Value: 'topic' } };
    const notification = { Type: 'Notification', TopicArn: 'arn:aws:sns:x', MessageAttributes: attributes };
    const wrapped = (message: unknown) =>
      JSON.stringify({ ...notification, Message: JSON.stringify(message) });
    const one = [{ user_id: 'u1' }];
    const failures = failuresOf(`
cases:
  - { name: list of one, message: { raw: '${wrapped(one)}' }, expect: { row: { user_id: u1, source: topic } } }
  - { name: list of two, message: { raw: '${wrapped([...one, ...one])}' }, expect: { row: { user_id: u1 } } }
  - { name: empty list, message: { raw: '[]' }, expect: { rejected: { code: not_object } } }
`);
    assert.deepEqual(failures, { 'list of two': ['|a record|2 records'], 'empty list': ['|a record|none'] });
  });

  test('everything that is wrong with a file is reported at once, each by its place', () => {
    const yaml = `pipeline: evnts
cases:
  - name: a
    mesage: {}
---
cases:
  - { name: b, message: { body: {}, raw: x }, expect: {} }
  - { name: c, message: { raw: x, sent_at: soon }, expect: { row: { user_i: 1, user_id: [1] } } }
  - 7
  - { name: d, message: { body: .inf }, expect: { rejected: { code: bad_iq, path: ipp } } }
  - { name: e, message: { raw: x }, expect: { rejected: { code: refused_23505 } } }
  - { name: f, message: { raw: x }, expect: { row: { note: { matches: '(' , value: 1 } } } }
  - { name: g, message: { raw: x }, expect: { row: { note: { matches: '(' } } } }
  - { name: h, message: { raw: x }, expect: { row: {} } }
  - { name: h, message: { raw: x }, expect: { row: {} } }
`;
    const lines = yaml.split('\n');
    const wanted: readonly (readonly [line: number, at: string, message: RegExp])[] = [
      [1, 'evnts', /no such pipeline; did you mean "events"/],
      [3, 'name', /`message` is required/],
      [3, 'name', /`expect` is required/],
      [4, 'mesage', /unknown key; did you mean "message"/],
      [7, '{ body', /a message has either `body`/],
      [7, '{} }', /what is expected is either/],
      [8, 'soon', /`sent_at` must be a time/],
      [8, 'user_i:', /the pipeline has no such column; did you mean "user_id"/],
      [8, '[1]', /only a `jsonb` column/],
      [9, '7', /a case must be a map/],
      [10, '.inf', /JSON has no such value/],
      [10, 'bad_iq', /no such code; did you mean "bad_ip"/],
      [10, 'ipp', /no column is from there/],
      [11, 'refused_', /only a table can give this code/],
      [12, '{ matches', /an expectation has one of/],
      [13, "'('", /`matches` is not a valid regular expression/],
      [15, '{ name', /another case of this name/],
    ];
    const problems = problemsOf(yaml);
    assert.equal(problems.length, wanted.length, problems.join('\n'));
    for (const [i, [line, at, message]] of wanted.entries()) {
      const column = (lines[line - 1] ?? '').indexOf(at) + 1;
      assert.ok(problems[i]?.startsWith(`${line}:${column} `), `${problems[i]} is not at ${line}:${column}`);
      assert.match(problems[i] ?? '', message);
    }
  });

  const hostile: readonly (readonly [what: string, yaml: string, problem: RegExp])[] = [
    ['nothing', '', /the file is empty/],
    ['comments alone', '# nothing\n---\n# here\n', /the file is empty/],
    ['no YAML', 'cases: [', /bracket is not closed|not valid YAML/],
    ['a list', '- 1', /a document must be a map/],
    ['no cases', 'pipeline: events', /`cases` is required/],
    ['cases that are none', 'cases: { a: 1 }', /`cases` must be a list/],
    [
      'an alias to itself',
      'cases: [{ name: a, message: { body: &a [*a] }, expect: { row: {} } }]',
      /refers to itself/,
    ],
    ['an alias to nothing', 'cases: [{ name: a, message: { body: *b }, expect: { row: {} } }]', /./],
    ['a key twice', 'cases: []\ncases: []', /given twice/],
    ['a tag', 'cases: !!js/function x', /tags are not supported/],
  ];
  for (const [what, yaml, problem] of hostile) {
    test(`a file with ${what} is a problem, and no crash`, () => {
      assert.match(problemsOf(yaml).join('\n'), problem);
    });
  }

  test('aliases of aliases do not make a short file endless', () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) => `  - &l${i + 1} [${Array(10).fill(`*l${i}`).join(', ')}]`,
    );
    const yaml = `cases:\n  - &l0 x\n${levels.join('\n')}\n  - { name: a, message: { body: *l12 }, expect: { row: {} } }`;
    assert.match(problemsOf(yaml).join('\n'), /more than 100000 values/);
  });

  test('no problem quotes a value of the file that could be personal', () => {
    const secret = 'canary@example.com';
    const problems = problemsOf(`
cases:
  - { name: a, message: { raw: "${secret}", sent_at: "${secret}" }, expect: { rejected: { code: not_json, path: null } } }
  - "${secret}"
  - { name: [ "${secret}" ], message: { body: { x: y } }, expect: { row: { note: { equal_to: canary } } } }
---
cases: [{ name: b, message: { body: { x: !tag "${secret}" } } }]
`);
    assert.ok(problems.length >= 5, problems.join('\n'));
    assert.ok(!problems.join('\n').includes('canary@'));
  });
});
