import type { Clock } from '../clock.js';
import type { PipelineConfig } from '../config/config.js';
import type { Keyring } from '../masking/keyring.js';
import { namedParts } from '../masking/parts.js';
import type { ColumnSpec } from '../masking/methods.js';
import { type Outcome, type OutcomeRow, rehearse } from './rehearsal.js';
import type { ExpectedCell, ExpectedRow, TestCase } from './test-case.js';

/** One thing that is not as expected. `column` is null when it is about the whole record. */
export interface Difference {
  readonly column: string | null;
  readonly expected: string;
  readonly actual: string;
}

/** A case and what is not as it expects; none: it passed. */
export interface TestResult {
  readonly test: TestCase;
  readonly differences: readonly Difference[];
}

/**
 * Runs the cases of one pipeline through its masks. Differences quote values: those of the case, and what became of
 * them. Throws `key_unavailable`.
 */
export function runCases(
  pipeline: PipelineConfig,
  cases: readonly TestCase[],
  keyring: Keyring,
  clock: Clock,
): readonly TestResult[] {
  const outcomes = rehearse(
    pipeline,
    keyring,
    clock,
    cases.map(({ envelope }) => envelope),
  );
  const byName = new Map<string, Outcome>();
  for (const { message, outcome } of outcomes) byName.set(cases[message]?.name ?? '', outcome);
  return cases.map((test, index) => {
    const [one, ...more] = outcomes.filter(({ message }) => message === index);
    if (!one || more.length > 0) {
      const actual = one ? `${String(1 + more.length)} records` : 'none';
      return { test, differences: [{ column: null, expected: 'a record', actual }] };
    }
    return { test, differences: compare(test, one.outcome, { pipeline, byName, kid: keyring.primaryKid }) };
  });
}

interface Surroundings {
  readonly pipeline: PipelineConfig;
  readonly byName: ReadonlyMap<string, Outcome>;
  readonly kid: number;
}

function compare({ expected }: TestCase, outcome: Outcome, around: Surroundings): readonly Difference[] {
  if ('rejected' in outcome) {
    const { code, path } = outcome.rejected;
    if ('row' in expected) return [{ column: null, expected: 'a row', actual: rejectionText(code, path) }];
    const wanted = expected.rejected;
    const isSame = wanted.code === code && (wanted.path === undefined || wanted.path === path);
    if (isSame) return [];
    const text = rejectionText(wanted.code, wanted.path);
    return [{ column: null, expected: text, actual: rejectionText(code, path) }];
  }
  if ('rejected' in expected) {
    const { code, path } = expected.rejected;
    return [{ column: null, expected: rejectionText(code, path), actual: 'a row' }];
  }
  const { policy } = around.pipeline;
  const own = compareRow(expected.row, outcome.row, policy.columns, around);
  const further = (policy.several?.further ?? []).flatMap(({ table, columns }) => {
    const wanted = expected.further.get(table);
    if (wanted === undefined) return [];
    const rows = outcome.further.get(table) ?? [];
    if (rows.length !== wanted.length)
      return [{ column: table, expected: `${wanted.length} rows`, actual: String(rows.length) }];
    return wanted.flatMap((cells, i) =>
      compareRow(cells, rows[i] ?? new Map(), columns, around).map((found) => ({
        ...found,
        column: `${table}[${i}].${found.column ?? ''}`,
      })),
    );
  });
  return [...own, ...further];
}

function compareRow(
  expected: ExpectedRow,
  row: OutcomeRow,
  columns: readonly ColumnSpec[],
  around: Surroundings,
): readonly Difference[] {
  return [...expected].flatMap(([name, cell]) => {
    const column = columns.flatMap(namedParts).find((one) => one.name === name);
    const actual = row.get(name);
    const missed = missedBy(cell, actual, column, around);
    return missed === null ? [] : [{ column: name, expected: missed, actual: actualText(actual) }];
  });
}

/** What was expected, in words; null when it is as expected. */
function missedBy(
  cell: ExpectedCell,
  actual: string | null | undefined,
  column: ColumnSpec | undefined,
  around: Surroundings,
): string | null {
  switch (cell.kind) {
    case 'absent':
      return actual === undefined ? null : 'no such column';
    case 'null':
      return actual === null ? null : 'NULL';
    case 'token':
      return isToken(actual, column, around.kid)
        ? null
        : `some ${column?.mask.method ?? ''} token of key ${String(around.kid)}`;
    case 'matches':
      return typeof actual === 'string' && cell.pattern.test(actual)
        ? null
        : `a match of ${cell.pattern.source}`;
    case 'value':
      return isEqual(cell.text, actual, column) ? null : JSON.stringify(cell.text);
    case 'equal_to':
      return referenceMissed(cell, actual, around);
  }
}

function referenceMissed(
  { test, column }: Extract<ExpectedCell, { kind: 'equal_to' }>,
  actual: string | null | undefined,
  { byName }: Surroundings,
): string | null {
  const place = `${test}.${column}`;
  const other = byName.get(test);
  if (!other) return `the same as ${place}, but there is no such case of this pipeline`;
  if ('rejected' in other) return `the same as ${place}, but that case gives no row`;
  const value = other.row.get(column);
  if (value === undefined) return `the same as ${place}, but its row has no such column`;
  return value === actual ? null : `the same as ${place}, which is ${actualText(value)}`;
}

function isToken(actual: string | null | undefined, column: ColumnSpec | undefined, kid: number): boolean {
  const letter = column?.mask.method[0] ?? '';
  if (typeof actual !== 'string') return false;
  const token = new RegExp(`^${letter}${String(kid)}\\.[A-Za-z0-9_-]{22,}$`);
  return textsOf(actual).every((text) => token.test(text));
}

/** Those of a list, which is not empty, or the one. */
function textsOf(actual: string): readonly string[] {
  const items: unknown = actual.startsWith('[') ? JSON.parse(actual) : null;
  return Array.isArray(items) && items.length > 0 ? items.map(String) : [actual];
}

/** JSON values are compared as such: Postgres keeps neither their spaces nor the order of members. */
function isEqual(text: string, actual: string | null | undefined, column: ColumnSpec | undefined): boolean {
  if (typeof actual !== 'string' || column?.type !== 'jsonb') return text === actual;
  return canonicalJson(text) === canonicalJson(actual);
}

function canonicalJson(text: string): string {
  return JSON.stringify(JSON.parse(text), (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

function rejectionText(code: string, path: string | null | undefined): string {
  if (path === undefined) return `rejected: ${code}`;
  return path === null ? `rejected: ${code}, as a whole` : `rejected: ${code} at ${path}`;
}

function actualText(actual: string | null | undefined): string {
  if (actual === undefined) return 'no such column';
  return actual === null ? 'NULL' : JSON.stringify(actual);
}
