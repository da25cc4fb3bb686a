// The tables of a pipeline, each with its rows as if it were the only one.

import type { ColumnPolicy, ColumnSpec, TablePolicy } from '../masking/methods.js';
import type { Rehearsed } from './rehearsal.js';

/** A table, and what the masks made for it. */
export interface TableRows {
  /** Null for the table of a row for each record, `schema.table` for others. */
  readonly table: string | null;
  readonly columns: readonly ColumnSpec[];
  /** In the order of records and elements; of the first table, rejected records are among them. */
  readonly rows: readonly Rehearsed[];
}

/** The tables of a policy with the rows of these records. */
export function tableRows(
  { columns, several }: Pick<ColumnPolicy, 'columns' | 'several'>,
  records: readonly Rehearsed[],
): readonly TableRows[] {
  const further = several?.further ?? [];
  return [
    { table: null, columns, rows: records },
    ...further.map((table) => ({
      table: table.table,
      columns: table.columns,
      rows: records.flatMap((record) => rowsIn(table, record)),
    })),
  ];
}

function rowsIn({ table, each }: TablePolicy, record: Rehearsed): readonly Rehearsed[] {
  if (!('row' in record.outcome)) return [];
  const rows = record.outcome.further.get(table) ?? [];
  return rows.map((row, index) => ({
    ...record,
    ...(each === null ? {} : { element: { index, place: each.place } }),
    outcome: { row, further: new Map() },
  }));
}

/** What findings and lists call a column: those of further tables by the names of both. */
export function columnName(table: string | null, column: string): string {
  return table === null ? column : `${table}.${column}`;
}
