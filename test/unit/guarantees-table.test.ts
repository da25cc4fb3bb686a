import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PROMISE } from '../mutants/mutant.js';
import { protections } from '../mutants/protections.js';
import { hasTest } from '../support/test-names.js';

const ROOT = dirname(fileURLToPath(new URL('../../../package.json', import.meta.url)));

interface Row {
  readonly fault: string;
  readonly outcome: string;
  readonly tests: readonly string[];
}

/** The rows of the failure table in docs/guarantees.md. */
function rows(): readonly Row[] {
  const page = readFileSync(`${ROOT}/docs/guarantees.md`, 'utf8');
  const [, table = ''] = /## Failure table\n([^]*?)\n## /.exec(page) ?? [];
  const lines = table.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) => {
    const [fault = '', outcome = '', tests = ''] = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    return { fault, outcome, tests: tests.split('<br>').map((one) => one.trim()) };
  });
}

test('each fault of the table says what happens and names its tests, and each of these exists', () => {
  const table = rows();
  assert.equal(table.length, 35);
  const missing: string[] = [];
  for (const { fault, outcome, tests } of table) {
    assert.ok(fault && outcome, `${fault}: ${outcome}`);
    const named = tests.filter((one) => one.includes(' › '));
    assert.ok(named.length > 0, `${fault} names no test`);
    for (const one of named) {
      const [file = '', name = ''] = one.split(' › ');
      if (!hasTest(ROOT, `${file}.test.ts`, name)) missing.push(one);
    }
  }
  assert.deepEqual(missing, []);
});

test('each row has a protection that can be taken away, and each protection has its row', () => {
  const faults = rows().map(({ fault }) => fault);
  const rowOf = (part: string): readonly string[] => faults.filter((fault) => fault.startsWith(part));
  for (const { row, name } of protections) {
    if (row !== PROMISE) assert.equal(rowOf(row).length, 1, `${name} is of ${row}`);
  }
  const without = faults.filter((fault) => !protections.some(({ row }) => fault.startsWith(row)));
  assert.deepEqual(without, []);
});
