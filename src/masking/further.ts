// The rows of further tables: for each record one, or one for each element of a list in it.

import type { FurtherRows } from '../batch.js';
import { NULL_FIELD } from '../copy-text.js';
import { elementsAt, valueAtPath } from './field-path.js';
import type { ColumnSpec, FieldPath, TablePolicy } from './methods.js';
import { isOfElement } from './parts.js';
import type { Row } from './reading.js';
import type { Normalized } from './refusal.js';
import { type CompiledColumn, type Work, liveOf, maskColumn } from './rows.js';

/** A further table, ready for its rows. */
export interface CompiledTable {
  readonly spec: TablePolicy;
  readonly columns: readonly CompiledColumn[];
}

/** Masked rows of such a table, among them rows of records that were rejected later. */
export interface FurtherCells {
  readonly table: CompiledTable;
  /** The record of each row, ascending. */
  readonly records: readonly number[];
  /** By column, then by row. */
  readonly cells: readonly (readonly string[])[];
}

/** Looks at a column's fields once it is masked, and gives rows of `work` a reason where they can't go on. */
export type OnMasked = (work: Work, spec: ColumnSpec, fields: readonly string[]) => void;

/** A list that is longer rejects its record: each element costs more than the two bytes it may have in the body. */
const MOST_ELEMENTS = 10_000;
/**
 * What elements have in common is written in each of their rows: a long field and many elements would make of one body
 * what no memory holds. Rows of a record may have so many times the characters of its body, and some for short ones.
 */
const MOST_GROWTH = 32;
const FREE_CHARACTERS = 65_536;

/** Masks the rows of a table. A record of which a row can't be made has a reason from then on. */
export function maskFurther(
  work: Work,
  table: CompiledTable,
  normalized: Normalized,
  onMasked: OnMasked = () => undefined,
): FurtherCells {
  const { records, rows } = rowsOf(work, table.spec);
  work.live = liveOf(work.reasons);
  const withRows = new Set(records);
  const cells = table.columns.map((column) => {
    // What all rows of a record have in common is masked once.
    if (!isOfElement(column.spec)) {
      const once: Work = { ...work, live: work.live.filter((i) => withRows.has(i)) };
      const fields = maskColumn(once, column, normalized);
      onMasked(once, column.spec, fields);
      work.live = liveOf(work.reasons);
      return records.map((record) => fields[record] ?? NULL_FIELD);
    }
    const reasons = records.map((record) => work.reasons[record] ?? null);
    const each: Work = { batch: work.batch, rows, reasons, live: liveOf(reasons) };
    const fields = maskColumn(each, column, normalized);
    onMasked(each, column.spec, fields);
    for (const [k, record] of records.entries()) work.reasons[record] ??= reasons[k] ?? null;
    work.live = liveOf(work.reasons);
    return fields;
  });
  const masked = { table, records, cells };
  refuseGrown(work, masked);
  return masked;
}

/** The rows that a table has of the records that are live. */
function rowsOf(
  work: Work,
  { each }: TablePolicy,
): { readonly records: readonly number[]; readonly rows: readonly Row[] } {
  const records: number[] = [];
  const rows: Row[] = [];
  for (const i of work.live) {
    const row = work.rows[i];
    if (!row) continue;
    const elements = each === null ? [row] : elementRows(row, each.place);
    if (typeof elements === 'string') work.reasons[i] = { code: elements, path: each?.path ?? null };
    else
      for (const one of elements) {
        records.push(i);
        rows.push(one);
      }
  }
  return { records, rows };
}

function elementRows(row: Row, place: FieldPath): readonly Row[] | 'wrong_type' | 'too_large' {
  const items = valueAtPath(row.fields, place);
  if (items === null || items === undefined) return [];
  if (!Array.isArray(items)) return 'wrong_type';
  if (items.length > MOST_ELEMENTS) return 'too_large';
  let texts: readonly (string | null)[] | null = null;
  return items.map((value: unknown, index) => ({
    ...row,
    element: {
      index,
      value,
      text: () => {
        texts ??= elementsAt(row.record.body, place);
        return texts[index] ?? JSON.stringify(value ?? null);
      },
    },
  }));
}

function refuseGrown(work: Work, { table, records, cells }: FurtherCells): void {
  const { each } = table.spec;
  if (each === null) return;
  const sizes = new Map<number, number>();
  for (const [k, record] of records.entries()) {
    const size = cells.reduce((sum, fields) => sum + (fields[k]?.length ?? 0) + 1, 0);
    sizes.set(record, (sizes.get(record) ?? 0) + size);
  }
  for (const i of work.live) {
    const body = work.rows[i]?.record.body.length ?? 0;
    if ((sizes.get(i) ?? 0) > FREE_CHARACTERS + body * MOST_GROWTH)
      work.reasons[i] = { code: 'too_large', path: each.path };
  }
  work.live = liveOf(work.reasons);
}

/** The rows of live records, and where they are among all: `places[n]` is the n-th. */
export interface LiveRows extends Omit<FurtherRows, 'rows'> {
  readonly fields: readonly (readonly string[])[];
  readonly places: readonly number[];
}

/** Those rows that go on; `live` are the records that do, in the order of the batch's keys. */
export function liveRows({ table, records, cells }: FurtherCells, live: readonly number[]): LiveRows {
  const keyOf = new Map(live.map((record, key) => [record, key]));
  const places = [...records.keys()].filter((k) => keyOf.has(records[k] ?? -1));
  const copied = table.columns.map(({ spec }) => spec.mask.method !== 'drop');
  return {
    table: table.spec.table,
    columns: table.columns.filter((_, c) => copied[c] === true).map(({ spec }) => spec.name),
    records: places.map((k) => keyOf.get(records[k] ?? -1) ?? 0),
    fields: cells.filter((_, c) => copied[c] === true),
    places,
  };
}
