// The `expect` of a test case.

import { type Document, isMap, isScalar } from 'yaml';
import { didYouMean } from '../config/suggestion.js';
import { type ColumnPolicy, type ColumnSpec, tokenMaskOf } from '../masking/methods.js';
import { allColumns, namedParts } from '../masking/parts.js';
import { isRejectionCode, rejectionCodes } from '../masking/remedies.js';
import type { Expected, ExpectedCell, ExpectedRow } from './test-case.js';
import type { Value, YamlFile } from './yaml-nodes.js';

const TOKEN = 'token';
const ABSENT = 'absent';
const FROM_TABLE = 'refused_';

/** What a case expects of a pipeline with this policy; null, with all problems reported, when it cannot be meant. */
export function readExpected(
  yaml: YamlFile,
  document: Document,
  value: Value,
  policy: ColumnPolicy,
): Expected | null {
  const parts = yaml.members(document, value, ['row', 'further', 'rejected'], '`expect`');
  if (parts === null) return null;
  const isRow = parts.row !== undefined || parts.further !== undefined;
  if (isRow === (parts.rejected !== undefined)) {
    yaml.wrong(value, 'what is expected is either a `row`, and `further` rows, or `rejected`');
    return null;
  }
  if (!isRow) return readRejection(yaml, document, parts.rejected ?? null, policy);
  const row = parts.row === undefined ? new Map() : readRow(yaml, document, parts.row, policy.columns);
  const further =
    parts.further === undefined ? new Map() : readFurther(yaml, document, parts.further, policy);
  return row === null || further === null ? null : { row, further };
}

/** A list of rows for each table that is named. */
function readFurther(
  yaml: YamlFile,
  document: Document,
  value: Value,
  { several }: ColumnPolicy,
): ReadonlyMap<string, readonly ExpectedRow[]> | null {
  const tables = several?.further ?? [];
  const map = yaml.resolved(document, value);
  if (!isMap(map)) {
    yaml.wrong(value, '`further` must be a map of tables, each with the list of its rows');
    return null;
  }
  const names = tables.map(({ table }) => table);
  const further = new Map<string, readonly ExpectedRow[]>();
  let isSound = true;
  for (const [name, key, member] of yaml.entries(document, map)) {
    const spec = tables.find(({ table }) => table === name || table === `public.${name}`);
    const items = yaml.list(document, member, `\`${name}\``);
    if (!spec) yaml.wrong(key, `the pipeline has no such further table${didYouMean(name, names)}`);
    const rows = spec && items?.map((item) => readRow(yaml, document, item, spec.columns));
    const sound = rows?.filter((row) => row !== null);
    if (spec && sound && sound.length === rows?.length) further.set(spec.table, sound);
    else isSound = false;
  }
  return isSound ? further : null;
}

function readRejection(
  yaml: YamlFile,
  document: Document,
  value: Value,
  policy: ColumnPolicy,
): Expected | null {
  const parts = yaml.members(document, value, ['code', 'path'], '`rejected`');
  if (parts === null) return null;
  const code = parts.code === undefined ? null : yaml.text(parts.code, '`code`');
  if (parts.code === undefined) yaml.wrong(value, '`code` is required');
  if (code === null) return null;
  const isKnown = isRejectionCode(code) && !code.startsWith(FROM_TABLE);
  if (!isKnown) {
    const why = code.startsWith(FROM_TABLE) ? 'only a table can give this code' : 'no such code';
    const meant = didYouMean(code, rejectionCodes);
    yaml.wrong(parts.code ?? null, `${why}${meant}; there are ${rejectionCodes.join(', ')}`);
  }
  const path = readPath(yaml, parts.path, [
    ...new Set([
      ...allColumns(policy)
        .flatMap(namedParts)
        .map((column) => column.path),
      ...(policy.several?.further ?? []).flatMap(({ each }) => (each === null ? [] : [each.path])),
    ]),
  ]);
  return isKnown && path !== false ? { rejected: { code, path } } : null;
}

/** False when no rejection can name it. */
function readPath(
  yaml: YamlFile,
  value: Value | undefined,
  paths: readonly string[],
): string | null | undefined | false {
  if (value === undefined || value === null) return undefined;
  if (isScalar(value) && value.value === null) return null;
  const path = yaml.text(value, '`path`');
  if (path === null) return false;
  if (path === '*' || paths.includes(path)) return path;
  yaml.wrong(
    value,
    `no column is from there${didYouMean(path, paths)}; it is the \`from\` of a column as written, or null`,
  );
  return false;
}

function readRow(
  yaml: YamlFile,
  document: Document,
  value: Value,
  all: readonly ColumnSpec[],
): ExpectedRow | null {
  const columns = all.flatMap(namedParts);
  const map = yaml.resolved(document, value);
  if (!isMap(map)) {
    yaml.wrong(value, 'a row must be a map of columns');
    return null;
  }
  const row = new Map<string, ExpectedCell>();
  let sound = true;
  const known = columns.map(({ name }) => name);
  for (const [name, key, member] of yaml.entries(document, map)) {
    const column = columns.find((one) => one.name === name);
    const cell = readCell(yaml, document, member, {
      column,
      known,
      mayBeAbsent: !column || column.mask.method === 'drop' || !all.includes(column),
    });
    if (!column && cell?.kind !== ABSENT) {
      yaml.wrong(key, `the pipeline has no such column${didYouMean(name, known)}`);
      sound = false;
    } else if (cell === null) sound = false;
    else row.set(name, cell);
  }
  return sound ? row : null;
}

/** A column that something is expected of, and the names of all that there are. */
interface Place {
  readonly column: ColumnSpec | undefined;
  readonly known: readonly string[];
  /** A part of a JSON value may be, and what is dropped or is no column must be. */
  readonly mayBeAbsent: boolean;
}

function readCell(yaml: YamlFile, document: Document, value: Value, place: Place): ExpectedCell | null {
  const { column } = place;
  if (isMap(value)) return readOperator(yaml, document, value, place);
  if (value === null || (isScalar(value) && value.value === null)) return { kind: 'null' };
  const word = isScalar(value) ? value.value : null;
  // Neither word can be a value there: a token never reads `token`, and what is dropped has no value.
  if (word === TOKEN && hasTokens(column)) return { kind: 'token' };
  if (word === ABSENT && place.mayBeAbsent) return { kind: 'absent' };
  return readValue(yaml, document, value, column);
}

function hasTokens(column: ColumnSpec | undefined): boolean {
  return column !== undefined && tokenMaskOf(column) !== null;
}

function readValue(
  yaml: YamlFile,
  document: Document,
  value: Value,
  column: ColumnSpec | undefined,
): ExpectedCell | null {
  const json = yaml.json(document, value);
  if (json === null) return null;
  if (column?.type === 'jsonb') return { kind: 'value', text: json };
  const parsed: unknown = JSON.parse(json);
  if (parsed === null) return { kind: 'null' };
  if (typeof parsed !== 'object') return { kind: 'value', text: typeof parsed === 'string' ? parsed : json };
  yaml.wrong(
    value,
    'only a `jsonb` column holds a list or a map; write the text that Postgres reads, such as "{a,b}"',
  );
  return null;
}

function readOperator(
  yaml: YamlFile,
  document: Document,
  value: Value,
  { column, known }: Omit<Place, 'mayBeAbsent'>,
): ExpectedCell | null {
  const parts = yaml.members(document, value, ['value', 'equal_to', 'matches'], 'an expectation');
  if (parts === null) return null;
  const given = Object.keys(parts);
  if (given.length !== 1) {
    yaml.wrong(value, 'an expectation has one of `value`, `equal_to` and `matches`');
    return null;
  }
  if (parts.equal_to !== undefined) return readReference(yaml, parts.equal_to, known);
  if (parts.matches !== undefined) return readPattern(yaml, parts.matches);
  return readValue(yaml, document, parts.value ?? null, column);
}

/** Parts of columns have dots in their names: of those that it could end with, the longest is meant. */
function readReference(yaml: YamlFile, value: Value, known: readonly string[]): ExpectedCell | null {
  const text = yaml.text(value, '`equal_to`');
  if (text === null) return null;
  const named = known.filter((name) => text.endsWith(`.${name}`));
  const longest = Math.max(...named.map((name) => name.length));
  const dot = named.length > 0 ? text.length - longest - 1 : text.lastIndexOf('.');
  if (dot > 0 && dot < text.length - 1)
    return { kind: 'equal_to', test: text.slice(0, dot), column: text.slice(dot + 1) };
  yaml.wrong(value, '`equal_to` must be the name of another case, a dot and a column: first login.masked_ip');
  return null;
}

function readPattern(yaml: YamlFile, value: Value): ExpectedCell | null {
  const text = yaml.text(value, '`matches`');
  if (text === null) return null;
  try {
    return { kind: 'matches', pattern: new RegExp(text, 'su') };
  } catch {
    yaml.wrong(value, '`matches` is not a valid regular expression');
    return null;
  }
}
