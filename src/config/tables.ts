// The tables of a pipeline: one, by `columns` and `target`, or several, by `targets`.

import { type ColumnSpec, type FieldPath, type TablePolicy } from '../masking/methods.js';
import { isOfElement, needsKeyId } from '../masking/parts.js';
import { columnSchema } from './column-schema.js';
import { type ColumnSetting, buildColumn } from './columns.js';
import type { PipelineConfig, TargetConfig } from './config.js';
import { withCutOuts } from './cut-outs.js';
import { entriesOf, readPart, valueAt } from './issues.js';
import { parseEach } from './path.js';
import type { Findings, Path } from './problem.js';
import { REQUIRED } from './scalars.js';
import { buildTarget } from './target.js';
import { type TargetInput, tableSchema, targetSchema } from './target-schema.js';

/** A table, and what of a record goes to it. */
export interface TableConfig {
  readonly target: TargetConfig;
  readonly columns: readonly ColumnSpec[];
  readonly each: TablePolicy['each'];
}

/** Where a pipeline stands in the file, and the folder of the file. */
interface Setting {
  readonly at: Path;
  readonly folder: string;
}

/** A table as the file has it. */
interface Written {
  /** Where target and columns stand. */
  readonly at: Path;
  readonly columnsAt: Path;
  readonly columns: unknown;
  readonly created: boolean;
  /** Null: not known, as it is wrong. */
  readonly input: TargetInput | null;
  readonly each: TablePolicy['each'];
}

/** The tables of a pipeline, the first that of its records; or null with everything that is wrong with them reported. */
export function buildTables(
  data: unknown,
  setting: Setting,
  findings: Findings,
): readonly TableConfig[] | null {
  const { at, folder } = setting;
  if (!isMapping(data)) return null;
  const written =
    valueAt(data, ['targets']) === undefined
      ? [readOne(data, at, findings)]
      : readSeveral(data, at, findings);
  if (written === null) return null;
  const columns = written.map((table) => {
    const { columnsAt, created, each } = table;
    const place = each?.place ?? null;
    return buildColumns(table.columns, { at: columnsAt, created, folder, each: place }, findings);
  });
  const all = columns.flatMap((some) => some ?? []);
  const tables = written.map(({ input, each, ...table }, i): TableConfig | null => {
    const own = columns[i] ?? null;
    const target = input === null ? null : buildTarget(input, own, table.at, findings);
    const cut = own === null ? null : withCutOuts(own, all, table.columnsAt, findings);
    return target === null || cut === null ? null : { target, columns: cut, each };
  });
  const sound = tables.filter((table) => table !== null);
  if (sound.length < tables.length || !areApart(sound, at, findings)) return null;
  return sound.map((table, i) => fitsElements(table, i, sound, at, findings)).every(Boolean) ? sound : null;
}

/** A table of a pipeline, and where it and its columns stand in the file, below the pipeline. */
export interface PlacedTable extends TableConfig {
  readonly at: Path;
  readonly columnsAt: Path;
}

/** The tables of a pipeline, the first that of a row for each record. */
export function tablesOf({
  policy,
  target,
  further,
}: Pick<PipelineConfig, 'policy' | 'target' | 'further'>): readonly [PlacedTable, ...PlacedTable[]] {
  const { columns, several } = policy;
  const own = { target, columns, each: null };
  if (several === undefined) return [{ ...own, at: ['target'], columnsAt: ['columns'] }];
  const others = further.map((other, i) => {
    const spec = several.further[i];
    return { target: other, columns: spec?.columns ?? [], each: spec?.each ?? null, ...placeOf(i + 1) };
  });
  return [{ ...own, ...placeOf(0) }, ...others];
}

function placeOf(i: number): Pick<PlacedTable, 'at' | 'columnsAt'> {
  const at = ['targets', String(i)];
  return { at, columnsAt: [...at, 'columns'] };
}

function readOne(data: unknown, at: Path, findings: Findings): Written {
  const columns = valueAt(data, ['columns']);
  const target = valueAt(data, ['target']);
  if (!isMapping(columns)) findings.error([...at, 'columns'], columns === undefined ? REQUIRED : NO_MAP);
  const input = readPart(targetSchema, target, [...at, 'target'], findings);
  return {
    at: [...at, 'target'],
    columnsAt: [...at, 'columns'],
    columns,
    created: createdBy(input, target),
    input,
    each: null,
  };
}

function readSeveral(data: unknown, at: Path, findings: Findings): readonly Written[] | null {
  const written = valueAt(data, ['targets']);
  const tables: readonly unknown[] = Array.isArray(written) ? written : [];
  if (tables.length === 0) {
    findings.error([...at, 'targets'], 'must be a list of tables, each with its `table` and `columns`');
    return null;
  }
  for (const key of ['columns', 'target'])
    if (valueAt(data, [key]) !== undefined)
      findings.error(
        [...at, key],
        'contradicts `targets`, which say this of each table: make it the first of them',
      );
  return tables.map((table, i) => readTable(table, i, [...at, 'targets', String(i)], findings));
}

function readTable(data: unknown, i: number, at: Path, findings: Findings): Written {
  const columns = valueAt(data, ['columns']);
  const shell = isMapping(data)
    ? Object.fromEntries(entriesOf(data).filter(([key]) => key !== 'columns'))
    : data;
  const input = readPart(tableSchema, shell, at, findings);
  if (isMapping(data) && !isMapping(columns))
    findings.error([...at, 'columns'], columns === undefined ? REQUIRED : NO_MAP);
  // Also of a table that is wrong otherwise, or its columns would seem to be.
  const from = valueAt(data, ['from_each']);
  const each = from === undefined ? null : eachOf(from, i, [...at, 'from_each'], findings);
  const isSound = each !== 'wrong';
  return {
    at,
    columnsAt: [...at, 'columns'],
    // What follows from a wrong list would only confuse.
    columns: isSound ? columns : undefined,
    created: createdBy(input, data),
    input: isSound ? input : null,
    each: isSound ? each : null,
  };
}

function eachOf(path: unknown, i: number, at: Path, findings: Findings): TablePolicy['each'] | 'wrong' {
  // What is no text has been reported with the rest of the table.
  if (typeof path !== 'string') return 'wrong';
  const place: FieldPath | string =
    i === 0
      ? 'is not for the first table, which has a row for each record: let another table go before'
      : parseEach(path);
  if (typeof place !== 'string') return { path, place };
  findings.error(at, place);
  return 'wrong';
}

function createdBy(input: TargetInput | null, data: unknown): boolean {
  return input?.create ?? valueAt(data, ['create']) === true;
}

const NO_MAP = 'must be a map of keys and values';

function isMapping(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether the way in which rows meet those that are there goes with rows that are elements; what is doubtful is told. */
function fitsElements(
  { target, columns, each }: TableConfig,
  i: number,
  [first]: readonly TableConfig[],
  at: Path,
  findings: Findings,
): boolean {
  const { upsert } = target;
  const place = [...at, 'targets', String(i)];
  if (i > 0 && upsert === null && first?.target.upsert)
    findings.warn(
      [...place, 'table'],
      `gets more rows with each event, while ${first.target.table} keeps one for each key: give it \`mode: upsert\` and \`keys\` too, unless every event is to be kept`,
    );
  if (each === null || upsert === null) return true;
  if (columns.some((column) => upsert.keys.includes(column.name) && isOfElement(column))) return true;
  findings.error(
    [...place, 'keys'],
    `hold nothing of the element, so that one row is left of all that \`from_each\` gives: add what tells elements apart, such as a column from $index`,
  );
  return false;
}

/** No two of them are one: by its name the loader knows a table. */
function areApart(tables: readonly TableConfig[], at: Path, findings: Findings): boolean {
  const names = tables.map(({ target }) => `${target.schema}.${target.table}`);
  const twin = names.findIndex((name, i) => names.indexOf(name) < i);
  if (twin === -1) return true;
  findings.error(
    [...at, 'targets', String(twin), 'table'],
    `${names[twin] ?? ''} is named twice: a record has rows in a table by one of \`targets\` alone`,
  );
  return false;
}

function buildColumns(
  data: unknown,
  setting: ColumnSetting,
  findings: Findings,
): readonly ColumnSpec[] | null {
  const { at } = setting;
  const entries = entriesOf(data);
  const columns = entries.map(([name, written]) => {
    const path = [...at, name];
    const input = readPart(columnSchema, written, path, findings);
    return input === null ? null : buildColumn(name, input, { ...setting, at: path }, findings);
  });
  const sound = columns.filter((column) => column !== null);
  if (sound.length < columns.length) return null;
  if (sound.every((column) => column.mask.method === 'drop')) {
    // A missing `columns` has been reported with the rest of the pipeline.
    if (typeof data === 'object') findings.error(at, 'at least one column must be loaded');
    return null;
  }
  return hasKeyIds(sound, at, findings) ? sound : null;
}

/** Without its key id, what keeps the format can't be undone, nor brought to another key. */
function hasKeyIds(columns: readonly ColumnSpec[], at: Path, findings: Findings): boolean {
  const keeping = columns.find(({ mask }) => needsKeyId(mask));
  const hasKid = columns.some(
    ({ source, mask }) => source.kind === 'meta' && source.name === 'mask_kid' && mask.method === 'keep',
  );
  if (keeping === undefined || hasKid) return true;
  findings.error(
    [...at, keeping.name, 'mask', 'method'],
    `the results of ${keeping.mask.method} carry no key id: add a column for it, such as \`mask_kid: { from: $mask_kid, type: integer }\``,
  );
  return false;
}
