import assert from 'node:assert/strict';
import test from 'node:test';
import { checkConfig } from '../../src/config/load.js';
import { maskStrengths } from '../../src/foresight/strength.js';

const ENV = { DATABASE_URL: 'postgres://app:pw@db/app', SQS_QUEUE_URL: 'orders' };

function check(...columns: readonly string[]) {
  const text = `version: 1\npipelines:\n  p:\n    columns:\n${columns.map((one) => `      ${one}\n`).join('')}    target: { table: t, create: true }\n`;
  const { config, problems } = checkConfig({ file: 'm.yaml', env: ENV, read: () => text });
  const told = (wanted: string): string[] =>
    problems
      .filter(({ severity }) => severity === wanted)
      .map(({ path, message }) => `${path.replace('pipelines.p.columns.', '')} ${message}`);
  const policy = config?.pipelines[0]?.policy ?? null;
  return { policy, errors: told('error'), warnings: told('warning') };
}

test('parts of a JSON value are named by paths; of the rest, what other columns take is cut out', () => {
  const { policy, errors, warnings } = check(
    'id: { from: id }',
    'first: { from: "items[0].sku" }',
    'gone: { from: user.secret, mask: { method: drop } }',
    'rest: { from: $rest, keep: [status, user], masks: { user.email: { method: siv }, "items[*].buyer": { method: hmac, domain: who } } }',
    'customer: { from: customer, type: jsonb, masks: { "[*].phone": { method: partial, kind: phone }, age: { method: keep } } }',
  );
  assert.deepEqual(errors, []);
  assert.deepEqual(warnings, []);
  const rest = policy?.columns.find(({ name }) => name === 'rest');
  assert.equal(rest?.type, 'jsonb');
  assert.deepEqual(rest.mask, {
    method: 'json',
    others: 'drop',
    members: [
      {
        at: 'items[*].buyer',
        path: 'items[*].buyer',
        steps: [{ member: 'items' }, { each: true }, { member: 'buyer' }],
        mask: { method: 'hmac', domain: 'who', as: 'text', pad: null, lower: false },
      },
      { at: 'status', path: 'status', steps: [{ member: 'status' }], mask: { method: 'keep' } },
      { at: 'user', path: 'user', steps: [{ member: 'user' }], mask: { method: 'keep' } },
      {
        at: 'user.email',
        path: 'user.email',
        steps: [{ member: 'user' }, { member: 'email' }],
        // Without a domain of its own, that of a column from there.
        mask: { method: 'siv', domain: 'user.email', as: 'text', pad: null, lower: false },
      },
    ],
    taken: [
      [{ member: 'id' }],
      [{ member: 'items' }, { index: 0 }, { member: 'sku' }],
      [{ member: 'user' }, { member: 'secret' }],
      [{ member: 'customer' }],
    ],
  });
  const customer = policy?.columns.find(({ name }) => name === 'customer');
  assert.ok(customer?.mask.method === 'json');
  assert.deepEqual(
    customer.mask.members.map(({ at, path }) => [at, path]),
    [
      ['[*].phone', 'customer[*].phone'],
      ['age', 'customer.age'],
    ],
  );
});

test('what other columns take of a kept value is cut out of it, unless it is named there too', () => {
  const { policy, errors } = check(
    'mail: { from: customer.email, mask: { method: siv } }',
    'phone: { from: customer.phone, mask: { method: siv } }',
    'city: { from: "customer.homes[0].city" }',
    'all: { from: customer }',
    'customer: { from: customer, keep: everything, masks: { phone: { method: hmac } } }',
  );
  assert.deepEqual(errors, []);
  const customer = policy?.columns.find(({ name }) => name === 'customer');
  assert.ok(customer?.mask.method === 'json');
  assert.deepEqual(customer.mask.taken, [
    [{ member: 'email' }],
    [{ member: 'homes' }, { index: 0 }, { member: 'city' }],
  ]);
});

test('what is kept in clear is said to be: by its name, and all the more where nothing is named', () => {
  const all = check('rest: { from: $rest, keep: everything, masks: { email: { method: siv } } }');
  assert.deepEqual(all.errors, []);
  assert.match(all.warnings.join('\n'), /^rest\.keep stores every member that senders send/);
  const named = check('rest: { from: $rest, keep: [user.email, state] }');
  assert.match(named.warnings.join('\n'), /^rest\.keep user\.email is kept unmasked/);
  const explicit = check('rest: { from: $rest, keep: [state], masks: { user.email: { method: keep } } }');
  assert.deepEqual(explicit.warnings, []);
  assert.ok(all.policy);
  assert.deepEqual(
    maskStrengths(all.policy).map(({ column, method, exposure }) => [column, method, exposure]),
    [
      ['rest.email', 'siv', 'token'],
      ['rest.*', 'keep', 'identifier'],
    ],
  );
});

test('what leaves open how a member is stored, or contradicts itself, is refused by its place', () => {
  const siv = '{ method: siv }';
  const cases: readonly (readonly [columns: readonly string[], expected: RegExp])[] = [
    [['rest: { from: $rest }'], /^rest\.from needs `keep` and `masks`/],
    [['rest: { from: $rest, mask: { method: keep } }'], /^rest\.from needs `keep`/],
    [['rest: { from: $rest, keep: everything, mask: { method: keep } }'], /^rest\.mask contradicts `keep`/],
    [['rest: { from: $rest, keep: true }'], /^rest\.keep must be a list of paths/],
    [['rest: { from: $rest, keep: [] }'], /^rest\.keep must be a list of paths/],
    [['rest: { from: $rest, keep: [a], type: text }'], /^rest\.type must be jsonb/],
    [['rest: { from: $rest, keep: [a], max_length: 9 }'], /^rest\.max_length is not for jsonb/],
    [['rest: { from: $rest, keep: [a], sentinels: [x] }'], /^rest\.sentinels is not for jsonb/],
    [['rest: { from: $rest, keep: ["a[0]"] }'], /^rest\.keep "a\[0\]" names one element/],
    [['rest: { from: $rest, keep: ["[*].a"] }'], /^rest\.keep "\[\*\]\.a" must begin with the name/],
    [['rest: { from: $rest, keep: [a..b] }'], /^rest\.keep "a\.\.b" lacks a name/],
    [['c: { from: $sent_at, keep: [a] }'], /^c\.keep is for JSON values/],
    [['c: { from: "a[*]", keep: [b] }'], /^c\.from names each element/],
    [[`rest: { from: $rest, keep: [a], masks: { a: ${siv} } }`], /a is named twice/],
    [[`rest: { from: $rest, keep: [a.b], masks: { a: ${siv} } }`], /a\.b lies within a, which is not kept/],
    [
      [`c: { from: c, masks: { a.b: ${siv}, a: { method: drop } } }`],
      /a\.b lies within a, which is not kept/,
    ],
    [['c: { from: c, masks: { a: { method: ff1 } } }'], /^c\.masks\.a\.method ff1 is not for parts/],
    [
      ['c: { from: c, masks: { a: { method: generalize, to: year } } }'],
      /generalize of dates is not for parts/,
    ],
    [['c: { from: c, masks: { a: { method: siv, show: 4 } } }'], /^c\.masks\.a\.show is not an option/],
    [['c: { from: c, masks: { a: { method: constant } } }'], /^c\.masks\.a\.value required/],
    [
      ['id: { from: a.b }', 'rest: { from: $rest, keep: [a.b] }'],
      /^rest a\.b is no part of the rest: column id/,
    ],
    [
      ['id: { from: a }', `rest: { from: $rest, masks: { a.b: ${siv} } }`],
      /^rest a\.b is no part of the rest/,
    ],
    [
      ['r: { from: $rest, keep: [a] }', 's: { from: $rest, keep: [b] }'],
      /^s\.from column r is from \$rest already/,
    ],
  ];
  for (const [columns, expected] of cases) {
    const { policy, errors } = check(...columns);
    assert.equal(policy, null, columns.join(' '));
    assert.ok(
      errors.some((text) => expected.test(text)),
      `${columns.join(' ')}: ${errors.join(' | ')}`,
    );
  }
});

test('columns and parts that share a domain but not its options are told of', () => {
  const { warnings } = check(
    'mail: { from: mail, mask: { method: siv, domain: m, lower: true } }',
    'rest: { from: $rest, masks: { to.mail: { method: siv, domain: m } } }',
  );
  assert.deepEqual(warnings, [
    'rest.masks.to.mail shares its domain with p.mail, but not as, pad and lower: equal values get different tokens',
  ]);
});
