// Rows of target tables that an erasure deletes, with those that refer to them, in a way that `prove` knows of.

import { type ClientBase, escapeIdentifier } from 'pg';
import type { OriginColumns } from './baseline.js';
import { quoteTable } from './copy.js';
import type { Reference } from './references.js';
import type { CatalogTable } from './target-catalog.js';
import type { LoadTarget } from './upsert.js';

/** `null` empties the column, or deletes the row where the column may not be empty; `delete` deletes the row. */
export type ErasureMode = 'null' | 'delete';

/** What was done, or would be. */
export interface ErasedColumn {
  readonly table: string;
  readonly column: string;
  readonly action: 'null' | 'delete' | 'not_searched';
  readonly rows: number;
}

/** The table that is searched, and under which record its deleted rows are noted. */
export interface ErasureTarget {
  readonly pipeline: string;
  readonly target: LoadTarget;
  readonly catalog: CatalogTable;
  /** What tells where a row came from. */
  readonly origin: OriginColumns;
  /** The number of the record with which the erasure began; null: it only counts. */
  readonly erasure: number | null;
  readonly mode: ErasureMode;
  /** Tables of maskline whose rows refer to rows of this one: those that do go with them. */
  readonly referring?: readonly ReferringTable[];
}

/** A table that refers to another, by these columns. */
export interface ReferringTable extends Pick<Reference, 'columns'> {
  readonly target: ErasureTarget;
}

/** Rows of a table: a condition over its alias, and over the values $1 and $2. */
export interface RowsMeant {
  readonly alias: string;
  readonly where: string;
  readonly values: readonly unknown[];
}

/** Rows that refer to those that are meant, and before them those that refer to these. */
export async function eraseReferring(
  client: ClientBase,
  place: ErasureTarget,
  meant: RowsMeant,
  way: readonly string[],
): Promise<readonly ErasedColumn[]> {
  const { target, referring = [], erasure } = place;
  const others = referring.filter((one) => !way.includes(nameOf(one.target)));
  if (others.length === 0) return [];
  const { alias, where, values } = meant;
  const rows = `from ${quoteTable(target)} as ${alias} where ${where}`;
  // From now on nobody adds a row that would refer to them.
  if (erasure !== null) await client.query(`select ${rows} for update`, [...values]);
  const erased: ErasedColumn[] = [];
  for (const { target: child, columns } of others) {
    const own = `r${way.length}`;
    const same = columns.map(
      ([name, referred]) => `${own}.${escapeIdentifier(name)} = ${alias}.${escapeIdentifier(referred)}`,
    );
    const those = { alias: own, where: `exists (select ${rows} and ${same.join(' and ')})`, values };
    erased.push(...(await eraseReferring(client, child, those, [...way, nameOf(child)])));
    const column = columns.map(([name]) => name).join(', ');
    erased.push({
      table: nameOf(child),
      column,
      action: 'delete',
      rows: await deleteRows(client, child, those),
    });
  }
  return erased;
}

/** Deletes those rows and notes it; only counts them where there is no record. */
export async function deleteRows(
  client: ClientBase,
  place: ErasureTarget,
  meant: RowsMeant,
): Promise<number> {
  const { pipeline, target, catalog, origin, erasure } = place;
  if (erasure === null) return countRows(client, place, meant);
  const { alias, where, values } = meant;
  const originOf = (wanted: string | null): string =>
    catalog.columns.some((one) => one.name === wanted) && wanted !== null
      ? `${alias}.${escapeIdentifier(wanted)}::text`
      : 'null::text';
  return countOf(
    client,
    `delete from ${quoteTable(target)} as ${alias} where ${where}
     returning ${originOf(origin.messageId)} as message_id, ${originOf(origin.batchId)} as batch_id`,
    [...values, pipeline, erasure, target.schema, target.table],
    `noted as (
       insert into maskline.erased (erasure, target, message_id, batch_id, rows)
       select $4::bigint, format('%I.%I', $5::text, $6::text), message_id, batch_id, count(*) from gone group by 3, 4),
     lowered as (
       update maskline.baselines b set rows = b.rows - (select count(*) from gone)
        where b.target = format('%I.%I', $5::text, $6::text) and b.pipeline = (
          -- Of the pipelines that have the table, one: their sum is what counts.
          select o.pipeline from maskline.baselines o where o.target = b.target
           order by o.pipeline = $3 desc, o.pipeline limit 1))`,
  );
}

/** How many rows there are. */
export function countRows(
  client: ClientBase,
  { target }: ErasureTarget,
  { alias, where, values }: RowsMeant,
): Promise<number> {
  return countOf(client, `select from ${quoteTable(target)} as ${alias} where ${where}`, values);
}

/** How many rows a statement comes to; `more` goes with it and knows them as `gone`. */
export async function countOf(
  client: ClientBase,
  statement: string,
  values: readonly unknown[],
  more?: string,
): Promise<number> {
  const parts = [`gone as (${statement})`, ...(more === undefined ? [] : [more])];
  const sql = `with ${parts.join(', ')} select count(*)::float8 as n from gone`;
  const { rows } = await client.query<{ n: number }>(sql, [...values]);
  return rows[0]?.n ?? 0;
}

/** `schema.table`. */
export function nameOf({ target }: ErasureTarget): string {
  return `${target.schema}.${target.table}`;
}
