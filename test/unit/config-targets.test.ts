import assert from 'node:assert/strict';
import test from 'node:test';
import { checkConfig } from '../../src/config/load.js';
import { formatProblem } from '../../src/config/problem.js';

const ENV = { DATABASE_URL: 'postgres://app:pw@db/app', SQS_QUEUE_URL: 'orders' };
const ORDERS = `
      - table: shop.orders
        create: true
        mode: upsert
        keys: [order_id]
        columns:
          order_id: { from: order_id, required: true }
          email: { from: buyer.email, mask: { method: siv } }
          rest: { from: $rest, keep: [note] }`;
const ITEMS = `
      - table: shop.items
        from_each: "items[*]"
        mode: upsert
        keys: [order_id, line]
        columns:
          order_id: { from: order_id, required: true }
          line: { from: $index }
          sku: { from: "items[*].sku" }
          born: { from: "items[*].born", type: date, mask: { method: date-shift, days: 3, entity: "items[*].id" } }
          mask_kid: { from: $mask_kid }
          tags: { from: "items[*].tags[*]", type: "text[]" }
          owner: { from: "items[*].owner", mask: { method: vault, subject: buyer.id } }
          extra: { from: "items[*]", keep: [a], masks: { c: { method: siv } } }`;

function check(pipeline: string) {
  const text = `version: 1\npipelines:\n  p:${pipeline}\n`;
  const { config, problems } = checkConfig({ file: 'm.yaml', env: ENV, read: () => text });
  return {
    pipeline: config?.pipelines[0],
    found: problems.map((one) => formatProblem(one).replace('pipelines.p.', '')),
  };
}

const several = (...tables: readonly string[]) => check(`\n    targets:${tables.join('')}`);

test('a pipeline has one table for its records, and further ones of their elements, by their names', () => {
  const { pipeline, found } = several(ORDERS, ITEMS);
  assert.deepEqual(found, []);
  assert.ok(pipeline);
  const { policy, target, further } = pipeline;
  assert.deepEqual([target.schema, target.table, target.create], ['shop', 'orders', true]);
  assert.deepEqual(
    further.map(({ schema, table, create, upsert }) => [schema, table, create, upsert]),
    [['shop', 'items', false, { keys: ['order_id', 'line'], newestBy: null }]],
  );
  assert.equal(policy.several?.table, 'shop.orders');
  const [items] = policy.several?.further ?? [];
  assert.equal(items?.table, 'shop.items');
  assert.deepEqual(items?.each, { path: 'items[*]', place: { name: 'items', steps: [{ each: true }] } });
  const sources = new Map(items?.columns.map(({ name, source }) => [name, source]));
  const inItem = (...names: readonly string[]) => ({
    name: 'items',
    steps: [{ each: true }, ...names.map((member) => ({ member }))],
    within: 1,
  });
  assert.deepEqual(sources.get('order_id'), { kind: 'field', name: 'order_id' });
  assert.deepEqual(sources.get('line'), { kind: 'meta', name: 'index' });
  assert.deepEqual(sources.get('sku'), { kind: 'path', ...inItem('sku') });
  assert.deepEqual(sources.get('extra'), { kind: 'path', ...inItem() });
  const masks = new Map(items?.columns.map(({ name, mask }) => [name, mask]));
  const born = masks.get('born');
  assert.deepEqual(born?.method === 'date-shift' ? born.entity : null, inItem('id'));
  const vaulted = masks.get('owner');
  const buyer = { name: 'buyer', steps: [{ member: 'id' }] };
  assert.deepEqual(vaulted?.method === 'vault' ? vaulted.subject : null, buyer);
  assert.equal(items?.columns.find(({ name }) => name === 'line')?.type, 'integer');
});

test('what one table takes of a body, no other one keeps with the rest', () => {
  const all = ORDERS.replace('keep: [note]', 'keep: everything');
  const rest = several(all, ITEMS).pipeline?.policy.columns.find(({ name }) => name === 'rest');
  const taken = rest?.mask.method === 'json' ? JSON.stringify(rest.mask.taken) : '';
  for (const step of ['"items"},{"each":true},{"member":"sku"', '"buyer"},{"member":"email"'])
    assert.ok(taken.includes(step), taken);
  const { found } = several(ORDERS.replace('[note]', "['items[*].sku']"), ITEMS);
  assert.match(found.join('\n'), /items\[\*\]\.sku is no part of the rest: column sku takes it/);
});

test('the policy of a pipeline is another when one of its tables is', () => {
  const hashes = [
    ITEMS,
    ITEMS.replace('keys: [order_id, line]', 'keys: [line, order_id]'),
    ITEMS.replace('[a]', '[b]'),
  ].map((items) => several(ORDERS, items).pipeline?.policy.sha256);
  assert.equal(hashes[0], hashes[1]);
  assert.notEqual(hashes[0], hashes[2]);
  // One table is the same pipeline, however it is written.
  const one = check(`
    columns:
      order_id: { from: order_id, required: true }
    target: { table: t }`);
  const listed = several('\n      - { table: t, columns: { order_id: { from: order_id, required: true } } }');
  assert.deepEqual(one.found, []);
  assert.deepEqual(listed.pipeline?.policy, one.pipeline?.policy);
});

test('what cannot be a table among others is told by its line, and how to mend it', () => {
  const swap = (from: string, to: string) => several(ORDERS, ITEMS.replace(from, to)).found;
  const cases: readonly (readonly [found: readonly string[], expected: RegExp])[] = [
    [several(ITEMS).found, /^m\.yaml:6:20 targets\.0\.from_each: is not for the first table/],
    [swap('"items[*]"', 'items'), /^m\.yaml:14:20 targets\.1\.from_each: must end with "\[\*\]"/],
    [swap('"items[*]"', '$rest'), /targets\.1\.from_each: must be a list in the body/],
    [swap('"items[*].sku"', '"lines[*].sku"'), /targets\.1\.columns\.sku\.from: is of another list/],
    [
      swap('entity: "items[*].id"', 'entity: "x[*].id"'),
      /born\.mask\.entity: must be one value: of the element/,
    ],
    [swap('keys: [order_id, line]', 'keys: [order_id]'), /targets\.1\.keys: hold nothing of the element/],
    [
      swap('keys: [order_id, line]', 'keys: [order_id, lin]'),
      /targets\.1\.keys: there is no such column.*"line"/,
    ],
    [
      swap('from: $index', 'from: $index, mask: { method: siv }'),
      /line\.mask\.method: \$index comes from no sender/,
    ],
    [
      swap('mask_kid: { from: $mask_kid }', 'x: { from: x }'),
      /targets\.1\.columns\.born\.mask\.method: .*\$mask_kid/,
    ],
    [
      swap('table: shop.items', 'table: shop.orders'),
      /^m\.yaml:13:16 targets\.1\.table: shop\.orders is named twice/,
    ],
    [
      swap('table: shop.items', 'table: "${NONE}"'),
      /^m\.yaml:13:16 targets\.1\.table: the environment variable NONE is not set/,
    ],
    [
      several(ORDERS.replace('{ from: order_id,', '{ from: $index,')).found,
      /order_id\.from: .*needs `from_each`/,
    ],
    [several('\n      - { table: t }').found, /targets\.0\.columns: required/],
    [check('\n    targets: []').found, /targets: must be a list of tables/],
  ];
  for (const [found, expected] of cases) {
    assert.match(found[0] ?? 'nothing', expected);
    assert.equal(found.length, 1, found.join('\n'));
  }
  assert.match(
    swap('from_each', 'for_each')[0] ?? '',
    /^m\.yaml:14:9 targets\.1\.for_each: unknown key; did you mean "from_each"/,
  );
  const both = check(`
    target: { table: t }
    columns: { a: { from: a } }
    targets:${ORDERS}`).found;
  assert.equal(both.length, 2);
  for (const [i, key] of ['target', 'columns'].entries())
    assert.match(both[i] ?? '', new RegExp(`^m\\.yaml:${4 + i}:5 ${key}: contradicts \`targets\``));
});

test('a table that grows beside one that overwrites is doubtful', () => {
  const growing = ITEMS.replace('        mode: upsert\n        keys: [order_id, line]\n', '');
  const { found, pipeline } = several(ORDERS, growing);
  assert.ok(pipeline);
  assert.match(found.join('\n'), /^m\.yaml:13:16 targets\.1\.table: gets more rows with each event/);
});

test('what one column keeps and another masks is doubtful where a leak gate would stop it, in whatever tables', () => {
  const keeping = ITEMS.replace(
    'line: { from: $index }',
    'line: { from: $index }\n          mail: { from: buyer.email }',
  );
  const gated = (keys: string) => check(`\n    leak_gate: ${keys}\n    targets:${ORDERS}${keeping}`).found;
  const doubts = gated('true').filter((one) => one.includes('leak gate'));
  assert.equal(doubts.length, 1, doubts.join('\n'));
  assert.match(
    doubts[0] ?? '',
    /targets\.1\.columns\.mail: keeps what orders\.email masks.*`leak_gate: false`/,
  );
  assert.ok(gated('false').every((one) => !one.includes('leak gate')));
  assert.deepEqual(check(`\n    leak_gate: true\n    targets:${ORDERS}${ITEMS}`).found, []);
});
