import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { loadConfig } from '../../src/config/load.js';
import { sampleStrength } from '../../src/foresight/anonymity.js';
import { parseCases } from '../../src/foresight/case-file.js';
import { explain } from '../../src/foresight/explanation.js';
import { preview } from '../../src/foresight/preview.js';
import { maskStrengths } from '../../src/foresight/strength.js';
import { throwawayKeyring } from '../../src/foresight/test-keyring.js';
import { runCases } from '../../src/foresight/test-run.js';
import { messagesWith } from '../support/foresight.js';

const keyring = throwawayKeyring(0);
const YAML = `
version: 1
database: { url: "postgres://localhost/none" }
pipelines:
  orders:
    source: { sqs: { queue: orders } }
    targets:
      - table: orders
        columns:
          id: { from: id, required: true }
          mail: { from: mail, mask: { method: siv } }
      - table: shop.items
        from_each: "items[*]"
        columns:
          id: { from: id }
          line: { from: $index }
          serial: { from: "items[*].serial", mask: { method: siv } }
          email: { from: "items[*].email", mask: { method: keep } }
          note: { from: "items[*].note", mask: { method: keep } }
          extra: { from: "items[*].extra", keep: [size] }`;

function pipelineOf(yaml: string) {
  const [pipeline] = loadConfig({ file: 'test.yaml', env: {}, read: () => yaml }).pipelines;
  assert.ok(pipeline);
  return pipeline;
}

const pipeline = pipelineOf(YAML);
const MESSAGES = messagesWith([
  {
    id: 'a',
    mail: 'ann@mail.test',
    items: [
      { serial: 'SN-1234', note: 'blue', extra: { size: 12345678901234567890n.toString() } },
      { serial: 'SN-9999', note: 'see SN-9999' },
    ],
  },
  { id: 'b', items: [] },
  { id: 'c', items: [{ serial: 'SN-1234', odd: 1 }] },
  { items: [{ serial: 'SN-1' }] },
]);

test('a preview shows each table by its own rows', () => {
  const shown = preview(pipeline, keyring, systemClock, MESSAGES, 5);
  assert.deepEqual([shown.records, shown.rows, shown.quarantined], [4, 3, 1]);
  assert.deepEqual(shown.further_rows, { 'shop.items': 3 });
  const byName = new Map(shown.columns.map((column) => [column.column, column]));
  assert.deepEqual([...byName.keys()].slice(0, 4), ['id', 'mail', 'shop.items.id', 'shop.items.line']);
  assert.equal(byName.get('mail')?.values, 1);
  const serial = byName.get('shop.items.serial');
  assert.deepEqual([serial?.values, serial?.distinct], [3, 2]);
  assert.deepEqual(
    serial?.examples.map(({ before }) => before),
    ['SN-1234', 'SN-9999', 'SN-1234'],
  );
  assert.deepEqual(
    byName.get('shop.items.line')?.examples.map(({ after }) => after),
    ['0', '1', '0'],
  );
  assert.deepEqual(shown.dropped_fields, [{ field: 'items.odd', records: 1 }]);
});

test('the strength of masks is judged in every table, and what a sample shows by the rows of each', () => {
  const strengths = maskStrengths(pipeline.policy);
  const exposures = new Map(strengths.map(({ column, exposure }) => [column, exposure]));
  assert.equal(exposures.get('shop.items.serial'), 'token');
  assert.equal(exposures.get('shop.items.email'), 'identifier');
  const sample = sampleStrength(pipeline, strengths, keyring, systemClock, MESSAGES);
  assert.equal(sample.rows, 3);
  const leaks = [{ column: 'shop.items.note', masked: 'shop.items.serial', rows: 1 }];
  assert.deepEqual(sample.leaks, leaks);
  assert.equal(sample.counts.find(({ column }) => column === 'shop.items.line')?.values, 3);
});

test('an explanation compares table with table, and says which are there on one side only', () => {
  const other = pipelineOf(
    YAML.replace(
      'serial: { from: "items[*].serial", mask: { method: siv } }',
      'serial: { from: "items[*].note" }',
    ),
  );
  const side = (one: typeof pipeline) => ({ pipeline: one, keyring });
  const changed = explain(side(pipeline), side(other), systemClock, MESSAGES);
  const serial = changed.columns.find(({ column }) => column === 'shop.items.serial');
  assert.equal(serial?.change, 'changed');
  assert.equal(serial?.values_changed, 3);
  assert.deepEqual(
    changed.columns.filter(({ change }) => change !== 'same').map(({ column }) => column),
    ['shop.items.serial'],
  );
  const alone = pipelineOf(YAML.slice(0, YAML.indexOf('      - table: shop.items')));
  const removed = explain(side(pipeline), side(alone), systemClock, MESSAGES);
  assert.deepEqual(removed.differences, ['targets: ["shop.items from_each items[*]"] -> []']);
  const gone = removed.columns.filter(({ change }) => change === 'removed');
  assert.equal(gone.length, removed.columns.length - 2);
  assert.ok(gone.every(({ column }) => column.startsWith('shop.items.')));
});

/** What is wrong with the cases of a file, or what they find. */
function tested(expect: string, items = '[{ serial: x, extra: { size: 1 } }, { note: n }]') {
  const file = `cases:\n  - name: one\n    message: { body: { id: a, mail: m, items: ${items} } }\n    expect: ${expect}\n`;
  const { cases, problems } = parseCases('cases.yaml', file, [pipeline]);
  if (problems.length > 0) return problems.map(({ message }) => message);
  return runCases(pipeline, cases, keyring, systemClock).flatMap(({ differences }) =>
    differences.map(({ column, expected, actual }) => `${column ?? ''}|${expected}|${actual}`),
  );
}

test('a case says what rows there are in further tables, in their order', () => {
  const good = [
    '{ row: { id: a } }',
    '{ further: { shop.items: [{ line: 0, serial: token, extra.size: 1 }, { line: 1, note: n, serial: null }] } }',
    '{ row: { mail: token }, further: { shop.items: [{}, {}] } }',
  ];
  for (const expect of good) assert.deepEqual(tested(expect), [], expect);
  assert.deepEqual(tested('{ further: { shop.items: [] } }', '[]'), []);
  assert.deepEqual(tested('{ rejected: { code: wrong_type, path: "items[*]" } }', '7'), []);
  const bad: readonly (readonly [expect: string, found: readonly string[]])[] = [
    ['{ further: { shop.items: [{}] } }', ['shop.items|1 rows|2']],
    ['{ further: { shop.items: [{}, { note: m }] } }', ['shop.items[1].note|"m"|"n"']],
    [
      '{ row: { id: b }, further: { shop.items: [{ line: 1 }, {}] } }',
      ['id|"b"|"a"', 'shop.items[0].line|"1"|"0"'],
    ],
  ];
  for (const [expect, found] of bad) assert.deepEqual(tested(expect), found);
  const unsound: readonly (readonly [expect: string, problem: RegExp])[] = [
    ['{ further: { shop.itms: [] } }', /no such further table; did you mean "shop\.items"/],
    ['{ further: { shop.items: [{ serail: x }] } }', /no such column; did you mean "serial"/],
    ['{ further: [] }', /must be a map of tables/],
    ['{ further: { shop.items: { line: 0 } } }', /must be a list/],
    ['{ further: { shop.items: [] }, rejected: { code: not_json } }', /either a `row`/],
  ];
  for (const [expect, problem] of unsound) assert.match(tested(expect).join('\n'), problem);
});
