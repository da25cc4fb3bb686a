import assert from 'node:assert/strict';
import test from 'node:test';
import { checkConfig } from '../../src/config/load.js';

const ENV = { DATABASE_URL: 'postgres://app:pw@db/app', SQS_QUEUE_URL: 'orders' };
const COLUMNS = `
      order_id: { from: order_id, required: true }
      state: { from: state }
      changed_at: { from: changed_at, type: timestamptz }
      buyer: { from: buyer, required: true, mask: { method: siv } }
      hashed: { from: buyer, required: true, mask: { method: hmac } }
      gone: { from: gone, mask: { method: drop } }
      nothing: { from: nothing, mask: { method: "null" } }
      sent_at: { from: $sent_at }
      at_masked: { from: changed_at, type: timestamptz, mask: { method: date-shift, entity: order_id, days: 9 } }
      mask_kid: { from: $mask_kid }`;

function check(target: string) {
  const text = `version: 1\npipelines:\n  p:\n    columns:${COLUMNS}\n    target: ${target}\n`;
  const { config, problems } = checkConfig({ file: 'm.yaml', env: ENV, read: () => text });
  const errors = problems.filter(({ severity }) => severity === 'error');
  return {
    target: config?.pipelines[0]?.target ?? null,
    errors: errors.map(({ path, message }) => `${path.replace('pipelines.p.target', '')} ${message}`),
  };
}

test('a target says how its rows overwrite each other, and who may do what with it', () => {
  const { target, errors } = check(
    '{ table: shop.orders, create: true, mode: upsert, keys: [buyer, order_id], newest_by: changed_at, grants: { select: [Analyst, b], update: [c] } }',
  );
  assert.deepEqual(errors, []);
  assert.deepEqual(target, {
    schema: 'shop',
    table: 'orders',
    create: true,
    upsert: { keys: ['buyer', 'order_id'], newestBy: 'changed_at' },
    partition: null,
    grants: [
      { right: 'select', role: 'Analyst' },
      { right: 'select', role: 'b' },
      { right: 'update', role: 'c' },
    ],
  });
  assert.deepEqual(check('{ table: t }').target?.upsert, null);
});

test('what can be no key, no order and no grant is told by its place', () => {
  const cases: readonly (readonly [target: string, expected: RegExp])[] = [
    ['{ table: t, mode: upsert }', /^\.keys required by `mode: upsert`/],
    ['{ table: t, mode: insert }', /^\.mode must be one of append, upsert/],
    ['{ table: t, keys: [order_id] }', /^\.keys needs `mode: upsert`$/],
    ['{ table: t, newest_by: changed_at }', /^\.newest_by needs `mode: upsert`$/],
    [
      '{ table: t, mode: upsert, keys: [ordre_id] }',
      /^\.keys there is no such column.*did you mean "order_id"/,
    ],
    ['{ table: t, mode: upsert, keys: [gone] }', /^\.keys there is no such column/],
    ['{ table: t, mode: upsert, keys: [nothing] }', /^\.keys column nothing is always NULL/],
    ['{ table: t, mode: upsert, keys: [state] }', /^\.keys column state may be NULL.*required: true/],
    ['{ table: t, mode: upsert, keys: [order_id, order_id] }', /^\.keys names a column twice$/],
    ['{ table: t, mode: upsert, keys: [order_id], newest_by: order_id }', /^\.newest_by is part of the key/],
    [
      '{ table: t, mode: upsert, keys: [order_id], newest_by: state }',
      /^\.newest_by column state has no order/,
    ],
    [
      '{ table: t, mode: upsert, keys: [order_id], newest_by: at_masked }',
      /^\.newest_by column at_masked has no order/,
    ],
    [
      '{ table: t, mode: upsert, keys: [order_id], newest_by: mask_kid }',
      /^\.newest_by column mask_kid has no order/,
    ],
    ['{ table: t, mode: upsert, keys: [order_id], newest_by: gone }', /^\.newest_by there is no such column/],
    ['{ table: t, grants: { select: [a] } }', /^\.grants needs `create: true`/],
    ['{ table: t, create: true, grants: { select: [Public] } }', /^\.grants\.select PUBLIC is everybody/],
    ["{ table: t, create: true, grants: { select: ['a\"b'] } }", /^\.grants\.select a name must begin/],
    ['{ table: t, create: true, grants: { truncate: [a] } }', /^\.grants\.truncate unknown key/],
    ['{ table: t, create: true, grants: { select: a } }', /^\.grants\.select must be a list of roles/],
    ['{ table: t, partition: { by: chnged_at } }', /^\.partition\.by there is no such column.*"changed_at"/],
    ['{ table: t, partition: { by: order_id } }', /^\.partition\.by column order_id holds no time/],
    ['{ table: t, partition: { by: at_masked } }', /^\.partition\.by column at_masked holds no time/],
    ['{ table: t, partition: { by: changed_at } }', /^\.partition\.by column changed_at may be NULL/],
    [
      '{ table: t, partition: { by: sent_at, every: hour } }',
      /^\.partition\.every must be one of day, month/,
    ],
    ['{ table: t, partition: { by: sent_at, ahead: 401 } }', /^\.partition\.ahead must be a whole number/],
    [
      '{ table: t, mode: upsert, keys: [order_id], partition: { by: sent_at } }',
      /^\.partition\.by under `mode: upsert` it must be one of `keys`/,
    ],
  ];
  for (const [written, expected] of cases) {
    const { target, errors } = check(written);
    assert.equal(errors.length, 1, `${written}\n${errors.join('\n')}`);
    assert.match(errors[0] ?? '', expected, written);
    assert.equal(target, null);
  }
});

test('what is always there can be a key, and what orders may be the time of sending', () => {
  const { errors, target } = check('{ table: t, mode: upsert, keys: [sent_at], newest_by: changed_at }');
  assert.deepEqual(errors, []);
  assert.deepEqual(target?.upsert?.keys, ['sent_at']);
  assert.deepEqual(check('{ table: t, mode: upsert, keys: [order_id], newest_by: sent_at }').errors, []);
});

test('partitions are of days, from 15 before today to 7 after it, unless said otherwise', () => {
  assert.deepEqual(check('{ table: t, partition: { by: sent_at } }').target?.partition, {
    by: 'sent_at',
    every: 'day',
    back: 15,
    ahead: 7,
  });
  const { errors, target } = check(
    '{ table: t, mode: upsert, keys: [order_id, sent_at], partition: { by: sent_at, every: month, back: 1, ahead: 2 } }',
  );
  assert.deepEqual(errors, []);
  assert.deepEqual(target?.partition, { by: 'sent_at', every: 'month', back: 1, ahead: 2 });
});

test('pipelines that share a table must agree on how its rows overwrite each other', () => {
  const shared = (one: string, other: string): readonly string[] => {
    const pipeline = (name: string, target: string): string =>
      `  ${name}:\n    source: { sqs: { queue: ${name} } }\n    columns:${COLUMNS}\n    target: { table: t, ${target} }\n`;
    const text = `version: 1\npipelines:\n${pipeline('a', one)}${pipeline('b', other)}`;
    const { problems } = checkConfig({ file: 'm.yaml', env: ENV, read: () => text });
    const errors = problems.filter(({ severity }) => severity === 'error');
    return errors.map(({ path, message }) => `${path} ${message}`);
  };
  const upsert = 'mode: upsert, keys: [order_id, buyer], newest_by: changed_at';
  assert.deepEqual(shared(upsert, upsert.replace('order_id, buyer', 'buyer, order_id')), []);
  assert.deepEqual(shared('mode: append', 'create: true'), []);
  for (const other of [
    'mode: append',
    'mode: upsert, keys: [order_id]',
    upsert.replace('changed_at', 'sent_at'),
  ]) {
    const [error, ...rest] = shared(upsert, other);
    assert.deepEqual(rest, []);
    assert.match(
      error ?? '',
      /^pipelines\.b\.target pipeline a has the same table: both must have one `mode`/,
    );
  }
});

test('a key whose tokens can not be brought to another key is doubtful, and said to be', () => {
  const text = `version: 1\npipelines:\n  p:\n    columns:${COLUMNS}\n    target: { table: t, mode: upsert, keys: [KEY] }\n`;
  const warned = (key: string): readonly string[] => {
    const { problems } = checkConfig({ file: 'm.yaml', env: ENV, read: () => text.replace('KEY', key) });
    return problems.filter(({ path }) => path === 'pipelines.p.target.keys').map(({ message }) => message);
  };
  assert.deepEqual(warned('buyer'), []);
  assert.equal(warned('hashed').length, 1);
  assert.match(warned('hashed')[0] ?? '', /column hashed holds tokens .* use siv/);
});
