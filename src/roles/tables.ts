// The tables of a pipeline, each with what of a record goes there.

import type { PipelineConfig, TargetConfig } from '../config/config.js';
import type { SinkTarget } from '../load/sections.js';
import type { ColumnSpec, TablePolicy } from '../masking/methods.js';

/** One of them. */
export interface TableConfig {
  readonly target: TargetConfig;
  readonly columns: readonly ColumnSpec[];
  readonly each: TablePolicy['each'];
}

/** The table of a row for each record, and after it the further ones, in the order in which rows are written. */
export function tablesOf({
  policy,
  target,
  further = [],
}: Pick<PipelineConfig, 'policy' | 'target' | 'further'>): readonly [TableConfig, ...TableConfig[]] {
  return [
    { target, columns: policy.columns, each: null },
    ...further.map((other, i) => {
      const spec = policy.several?.further[i];
      return { target: other, columns: spec?.columns ?? [], each: spec?.each ?? null };
    }),
  ];
}

/** A table as the loader knows it. */
export function sinkTargetOf({ target, columns }: Pick<TableConfig, 'target' | 'columns'>): SinkTarget {
  return { target, paths: new Map(columns.map(({ name, path }) => [name, path])) };
}

/** `schema.table`, as people, batches and quarantined records name it. */
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
