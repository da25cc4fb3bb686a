// The tables of a pipeline, as batches and quarantined records name them.

import type { TableConfig } from '../config/tables.js';
import type { SinkTarget } from '../load/sections.js';

/** A table as the loader knows it. */
export function sinkTargetOf({ target, columns }: Pick<TableConfig, 'target' | 'columns'>): SinkTarget {
  return { target, paths: new Map(columns.map(({ name, path }) => [name, path])) };
}

/** `schema.table`. */
export function tableName({ target }: Pick<TableConfig, 'target'>): string {
  return `${target.schema}.${target.table}`;
}

/** The table that quarantined rows were masked for, by its name; null: the only one at that time, which is the first. */
export function namedTable<T extends Pick<TableConfig, 'target'>>(
  tables: readonly T[],
  name: string | null,
): T | undefined {
  return name === null ? tables[0] : tables.find((table) => tableName(table) === name);
}
