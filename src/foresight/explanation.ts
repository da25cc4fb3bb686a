// What another policy would do to the same messages.

import type { Envelope } from '../batch.js';
import type { Clock } from '../clock.js';
import type { Keyring } from '../masking/keyring.js';
import type { ColumnSpec } from '../masking/methods.js';
import { namedParts } from '../masking/parts.js';
import { type RejectionCount, cellOf, countRejections } from './preview.js';
import { type Rehearsed, type RehearsedPipeline, rehearse } from './rehearsal.js';
import { type ShapeCount, countShapes } from './shape.js';
import { type TableRows, columnName, tableRows } from './tables.js';

/** A pipeline and the keyring that it masks with. */
export interface Side {
  readonly pipeline: RehearsedPipeline;
  readonly keyring: Keyring;
}

/** What one column had over the sample. */
export interface ColumnSide {
  readonly values: number;
  readonly distinct: number;
  readonly nulls: number;
  readonly shapes: readonly ShapeCount[];
}

/** What becomes of one column. */
export interface ColumnChange {
  readonly column: string;
  readonly change: 'added' | 'removed' | 'changed' | 'same';
  /** Keys that differ, each as `key: before -> after`. */
  readonly differences: readonly string[];
  /** Whether equal values no longer look equal to those of rows that are loaded already. */
  readonly breaks_equality: boolean;
  /** Over rows that both policies accept. */
  readonly values_changed: number;
  readonly before: ColumnSide | null;
  readonly after: ColumnSide | null;
}

/** What becomes of one pipeline. */
export interface Explanation {
  readonly pipeline: string;
  readonly records: number;
  readonly loaded_before: number;
  readonly loaded_after: number;
  /** By the code and path that the new policy rejects them with. */
  readonly newly_quarantined: readonly RejectionCount[];
  /** By the code and path that the old policy rejects them with. */
  readonly newly_accepted: readonly RejectionCount[];
  /** What is neither a column nor a mask, such as `on_unknown_field`. */
  readonly differences: readonly string[];
  readonly columns: readonly ColumnChange[];
}

const MOST_SHAPES = 3;

/** Masks the messages by both policies and compares. Throws `key_unavailable`. */
export function explain(
  before: Side,
  after: Side,
  clock: Clock,
  envelopes: readonly Envelope[],
): Explanation {
  const old = rehearse(before.pipeline, before.keyring, clock, envelopes);
  const fresh = rehearse(after.pipeline, after.keyring, clock, envelopes);
  const pairs = pairsOf(old, fresh);
  const isSame =
    before.keyring.id === after.keyring.id && before.keyring.primaryKid === after.keyring.primaryKid;
  const oldTables = tableRows(before.pipeline.policy, old);
  const freshTables = tableRows(after.pipeline.policy, fresh);
  const names = new Set([...oldTables, ...freshTables].map(({ table }) => table));
  const tableOf = (tables: readonly TableRows[], name: string | null): TableRows =>
    tables.find(({ table }) => table === name) ?? { table: name, columns: [], rows: [] };
  return {
    pipeline: before.pipeline.name,
    records: old.length,
    loaded_before: old.filter(isRow).length,
    loaded_after: fresh.filter(isRow).length,
    newly_quarantined: countRejections(pairs.filter((pair) => isRow(pair.old)).map((pair) => pair.fresh)),
    newly_accepted: countRejections(pairs.filter((pair) => isRow(pair.fresh)).map((pair) => pair.old)),
    differences: policyDifferences(before.pipeline, after.pipeline),
    columns: [...names].flatMap((name) =>
      columnChanges(tableOf(oldTables, name), tableOf(freshTables, name), isSame),
    ),
  };
}

/** What becomes of the columns of one table, which may be there on one side only. */
function columnChanges(old: TableRows, fresh: TableRows, isSameKey: boolean): readonly ColumnChange[] {
  const pairs = pairsOf(old.rows, fresh.rows).filter((pair) => isRow(pair.old) && isRow(pair.fresh));
  const names = new Set([old, fresh].flatMap(({ columns }) => columns.flatMap(namedParts).map(nameOf)));
  return [...names].map((name) => {
    const [from, to] = [columnOf(old, name), columnOf(fresh, name)];
    const changed = pairs.filter((pair) => cellOf(pair.old, name) !== cellOf(pair.fresh, name));
    return {
      column: columnName(old.table, name),
      ...compareColumns(from, to, isSameKey),
      values_changed: from && to ? changed.length : 0,
      before: from ? sideOf(old.rows, name) : null,
      after: to ? sideOf(fresh.rows, name) : null,
    };
  });
}

function nameOf({ name }: ColumnSpec): string {
  return name;
}

/**
 * Records of the same place in the same message. Where the settings make other records of a message, those that only one
 * side has are in no pair.
 */
function pairsOf(
  old: readonly Rehearsed[],
  fresh: readonly Rehearsed[],
): readonly { readonly old: Rehearsed; readonly fresh: Rehearsed }[] {
  const placed = new Map(placesOf(fresh).map((place, i) => [place, fresh[i]]));
  return placesOf(old).flatMap((place, i) => {
    const [one, other] = [old[i], placed.get(place)];
    return one && other ? [{ old: one, fresh: other }] : [];
  });
}

function placesOf(records: readonly Rehearsed[]): readonly string[] {
  const counts = new Map<number, number>();
  return records.map(({ message }) => {
    const index = counts.get(message) ?? 0;
    counts.set(message, index + 1);
    return `${String(message)}#${String(index)}`;
  });
}

function isRow({ outcome }: Rehearsed): boolean {
  return 'row' in outcome;
}

/** A column that is loaded; one that the mask drops is none. */
function columnOf({ columns }: TableRows, name: string): ColumnSpec | undefined {
  return columns.flatMap(namedParts).find((column) => column.name === name && column.mask.method !== 'drop');
}

function sideOf(records: readonly Rehearsed[], name: string): ColumnSide {
  const cells = records.filter(isRow).map((row) => cellOf(row, name));
  const values = cells.filter((cell) => cell !== null);
  return {
    values: values.length,
    distinct: new Set(values).size,
    nulls: cells.length - values.length,
    shapes: countShapes(cells, MOST_SHAPES),
  };
}

/** Equality with rows that are there holds only under the same key and the same mask, whatever its options are. */
function compareColumns(
  before: ColumnSpec | undefined,
  after: ColumnSpec | undefined,
  isSameKey: boolean,
): Pick<ColumnChange, 'change' | 'differences' | 'breaks_equality'> {
  if (!before || !after) {
    const change = before ? 'removed' : after ? 'added' : 'same';
    return { change, differences: [], breaks_equality: false };
  }
  const differences = [
    ...difference('from', before.path, after.path),
    ...difference('type', before.type, after.type),
    ...difference('max_length', before.maxLength, after.maxLength),
    ...difference('required', before.required, after.required),
    ...difference('sentinels', before.sentinels ?? [], after.sentinels ?? []),
    ...maskDifferences(before, after),
  ];
  // Of a JSON value, the parts tell each for itself.
  const isOfParts = before.mask.method === 'json' && after.mask.method === 'json';
  const isMaskSame = isOfParts || JSON.stringify(before.mask) === JSON.stringify(after.mask);
  const isKeyed = 'domain' in after.mask || 'domain' in before.mask;
  return {
    change: differences.length === 0 ? 'same' : 'changed',
    differences,
    breaks_equality: !isMaskSame || (isKeyed && !isSameKey),
  };
}

function maskDifferences({ mask: before }: ColumnSpec, { mask: after }: ColumnSpec): readonly string[] {
  const [old, fresh] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  if (before.method === 'json' && after.method === 'json')
    return difference('others', before.others, after.others);
  if (before.method !== after.method) return difference('mask.method', before.method, after.method);
  return [...new Set([...old.keys(), ...fresh.keys()])].flatMap((key) =>
    difference(`mask.${key}`, old.get(key) ?? null, fresh.get(key) ?? null),
  );
}

/** How messages are opened, and where each is written. */
const OPENING_KEYS = [
  ['envelope', 'source.envelope'],
  ['encoding', 'source.encoding'],
  ['records', 'source.records'],
  ['maxRecords', 'limits.max_records'],
  ['maxUnpackedBytes', 'limits.max_unpacked'],
  ['buckets', 'source.s3.buckets'],
] as const;

function policyDifferences(before: RehearsedPipeline, after: RehearsedPipeline): readonly string[] {
  const keys = ['onUnknownField', 'onReject', 'maxDepth', 'maxBody'] as const;
  const written = {
    onUnknownField: 'on_unknown_field',
    onReject: 'on_reject',
    maxDepth: 'limits.max_depth',
    maxBody: 'limits.max_body',
  } as const;
  return [
    ...keys.flatMap((key) => difference(written[key], before.policy[key], after.policy[key])),
    ...difference('targets', tablesText(before), tablesText(after)),
    ...OPENING_KEYS.flatMap(([key, place]) =>
      difference(place, before.source.opening[key] ?? null, after.source.opening[key] ?? null),
    ),
  ];
}

/** The tables besides the first, and the list that each has a row for each element of. */
function tablesText({ policy }: RehearsedPipeline): readonly string[] {
  return (policy.several?.further ?? []).map(({ table, each }) =>
    each === null ? table : `${table} from_each ${each.path}`,
  );
}

function difference(key: string, before: unknown, after: unknown): readonly string[] {
  const [old, fresh] = [JSON.stringify(before), JSON.stringify(after)];
  return old === fresh ? [] : [`${key}: ${old} -> ${fresh}`];
}
