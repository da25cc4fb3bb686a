import type { PostgresPool } from './connection.js';
import { type TableName, quoteTable } from './copy.js';

/** A table with a foreign key, and its columns beside those of the table that they refer to. */
export interface Reference extends TableName {
  readonly columns: readonly (readonly [own: string, referred: string])[];
}

// Of those `on delete set null` or `set default`, no row has to go.
const REFERENCES = `
  select n.nspname as schema, c.relname as table,
         (select json_agg(json_build_array(own.attname, referred.attname) order by k.i)
            from unnest(f.conkey, f.confkey) with ordinality as k (own, referred, i)
            join pg_attribute own on own.attrelid = f.conrelid and own.attnum = k.own
            join pg_attribute referred on referred.attrelid = f.confrelid and referred.attnum = k.referred) as columns
    from pg_constraint f
    join pg_class c on c.oid = f.conrelid
    join pg_namespace n on n.oid = c.relnamespace
   where f.contype = 'f' and f.confrelid = to_regclass($1) and f.conparentid = 0 and f.confdeltype in ('a', 'r', 'c')
   order by 1, 2, f.conname`;

/** The foreign keys by which rows of other tables go before, or with, the row of this one that they refer to. */
export async function readReferences(
  pool: Pick<PostgresPool, 'query'>,
  table: TableName,
): Promise<readonly Reference[]> {
  const { rows } = await pool.query<Reference>(REFERENCES, [quoteTable(table)]);
  return rows;
}
