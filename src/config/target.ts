import type { ColumnSpec } from '../masking/methods.js';
import { isAlwaysThere } from '../masking/parts.js';
import { identifierProblem } from './columns.js';
import type { PipelineConfig } from './config.js';
import type { Findings, Path } from './problem.js';
import { didYouMean } from './suggestion.js';
import type { TargetInput } from './target-schema.js';

// maskline's own tables live there.
const OWN_SCHEMA = 'maskline';
const DEFAULT_SCHEMA = 'public';

type Target = PipelineConfig['target'];

/** The target of a pipeline with these columns (null: not known), or null with everything that is wrong reported. */
export function buildTarget(
  input: TargetInput,
  columns: readonly ColumnSpec[] | null,
  at: Path,
  findings: Findings,
): Target | null {
  const name = tableName(input.table, [...at, 'table'], findings);
  const upsert = columns === null ? null : upsertOf(input, columns, at, findings);
  const partition = columns === null ? null : partitionOf(input, columns, at, findings);
  const grants = grantsOf(input, at, findings);
  if (name === null || upsert === 'wrong' || partition === 'wrong' || grants === null) return null;
  return { ...name, create: input.create, upsert, partition, grants };
}

function tableName(
  written: string,
  at: Path,
  findings: Findings,
): { readonly schema: string; readonly table: string } | null {
  const parts = written.split('.');
  const [schema, table] = parts.length === 1 ? [DEFAULT_SCHEMA, parts[0]] : parts;
  if (parts.length > 2 || schema === undefined || table === undefined) {
    findings.error(at, 'must be `schema.table` or `table`');
    return null;
  }
  const wrong = identifierProblem(schema) ?? identifierProblem(table);
  if (wrong !== null) findings.error(at, wrong);
  if (schema === OWN_SCHEMA)
    findings.error(at, "the schema maskline holds maskline's own tables; use another");
  return wrong !== null || schema === OWN_SCHEMA ? null : { schema, table };
}

function upsertOf(
  { mode, keys, newest_by: newestBy }: TargetInput,
  columns: readonly ColumnSpec[],
  at: Path,
  findings: Findings,
): Target['upsert'] | 'wrong' {
  let isSound = true;
  const wrong = (key: string, message: string): void => {
    findings.error([...at, key], message);
    isSound = false;
  };
  if (mode === 'append') {
    for (const key of ['keys', 'newest_by'] as const)
      if ({ keys, newest_by: newestBy }[key] !== undefined) wrong(key, 'needs `mode: upsert`');
    return isSound ? null : 'wrong';
  }
  const loaded = columns.filter(({ mask }) => mask.method !== 'drop');
  const names = loaded.map(({ name }) => name);
  const noSuch = (given: string): string =>
    `there is no such column among those that are loaded${didYouMean(given, names)}`;
  if (keys === undefined) wrong('keys', 'required by `mode: upsert`: the columns that make up the key');
  for (const key of keys ?? []) {
    const column = loaded.find(({ name }) => name === key);
    const message = column === undefined ? noSuch(key) : keyProblem(column);
    if (message !== null) wrong('keys', message);
    else if (column?.mask.method === 'hmac') findings.warn([...at, 'keys'], oneWayKey(column.name));
  }
  if (new Set(keys).size < (keys?.length ?? 0)) wrong('keys', 'names a column twice');
  const newest = loaded.find(({ name }) => name === newestBy);
  if (newestBy !== undefined) {
    if (newest === undefined) wrong('newest_by', noSuch(newestBy));
    else if (keys?.includes(newestBy))
      wrong('newest_by', 'is part of the key: rows of one key have it in common');
    else if (!isOrdered(newest))
      wrong(
        'newest_by',
        `column ${newest.name} has no order in time; use one of type timestamptz, date, integer, bigint, numeric or version_int that is not masked`,
      );
  }
  if (!isSound) return 'wrong';
  return { keys: keys ?? [], newestBy: newestBy ?? null };
}

function oneWayKey(name: string): string {
  return (
    `column ${name} holds tokens that can't be brought to another key: after \`maskline keys promote\` a record gets a ` +
    'second row beside the one under the old key; use siv, whose rows `maskline remask` brings together'
  );
}

/** NULL is no key: Postgres takes two of them for different ones. */
function keyProblem({ name, source, required, mask }: ColumnSpec): string | null {
  if (mask.method === 'null') return `column ${name} is always NULL, which is no key`;
  if (mask.method === 'constant' || required || isAlwaysThere(source)) return null;
  return `column ${name} may be NULL, which is no key; set \`required: true\` for it`;
}

const ORDERED: readonly ColumnSpec['type'][] = [
  'timestamptz',
  'date',
  'integer',
  'bigint',
  'numeric',
  'version_int',
];

function isOrdered({ type, mask, source }: ColumnSpec): boolean {
  return (
    mask.method === 'keep' &&
    ORDERED.includes(type) &&
    !(source.kind === 'meta' && (source.name === 'mask_kid' || source.name === 'index'))
  );
}

/** NULL is in no range. */
function partitionOf(
  { partition, mode, keys }: TargetInput,
  columns: readonly ColumnSpec[],
  at: Path,
  findings: Findings,
): Target['partition'] | 'wrong' {
  if (partition === undefined) return null;
  const wrong = (message: string): 'wrong' => {
    findings.error([...at, 'partition', 'by'], message);
    return 'wrong';
  };
  const names = columns.map(({ name }) => name);
  const column = columns.find(({ name }) => name === partition.by);
  if (column === undefined) return wrong(`there is no such column${didYouMean(partition.by, names)}`);
  const { name, type, mask, source, required } = column;
  const isTime = mask.method === 'keep' && (type === 'timestamptz' || type === 'date');
  if (!isTime)
    return wrong(`column ${name} holds no time; use one of type timestamptz or date that is not masked`);
  if (!required && source.kind !== 'meta')
    return wrong(`column ${name} may be NULL, which is in no partition; set \`required: true\` for it`);
  if (mode === 'upsert' && keys?.includes(name) !== true)
    return wrong(
      'under `mode: upsert` it must be one of `keys`: Postgres has no unique index across partitions without it',
    );
  return partition;
}

function grantsOf({ create, grants }: TargetInput, at: Path, findings: Findings): Target['grants'] | null {
  if (grants === undefined) return [];
  if (!create) {
    findings.error([...at, 'grants'], 'needs `create: true`: of other tables their owner decides');
    return null;
  }
  const rights = ['select', 'insert', 'update', 'delete'] as const;
  const given = rights.flatMap((right) => (grants[right] ?? []).map((role) => ({ right, role })));
  let isSound = true;
  for (const { right, role } of given) {
    const everybody = role.toLowerCase() === 'public' ? 'PUBLIC is everybody; name the roles' : null;
    const message = everybody ?? identifierProblem(role);
    if (message === null) continue;
    findings.error([...at, 'grants', right], message);
    isSound = false;
  }
  return isSound ? given : null;
}
