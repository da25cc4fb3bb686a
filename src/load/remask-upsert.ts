// Where a key holds tokens, whoever had a row under the old key gets a second one under the new: when the first is brought
// over, the two have one key. As under `mode: upsert`, the newer of them stays.

import { type PoolClient, escapeIdentifier } from 'pg';
import { PipelineError } from '../errors.js';
import { quoteTable } from './copy.js';
import { RowRefused, on } from './postgres-error.js';
import { type RemaskTable, assigned } from './remask-sql.js';
import type { LoadTarget, Upsert } from './upsert.js';

/**
 * Deletes, of rows about to be written ($1 as for `writeSql`) and those that have their new keys already, the older by
 * `newestBy`; without it, those about to be written. Returns the places of the rows that are gone.
 */
export async function deleteSuperseded(
  client: PoolClient,
  target: LoadTarget,
  table: RemaskTable,
  changed: string,
): Promise<ReadonlySet<string>> {
  const { upsert } = target;
  if (!upsert || !table.columns.some(({ name }) => upsert.keys.includes(name))) return new Set();
  const sql = supersededSql(target, table, upsert);
  const { rows } = await client.query<{ place: string }>(sql, [changed]);
  return new Set(rows.map(({ place }) => place));
}

/** SQLSTATEs unique_violation and foreign_key_violation (PostgreSQL documentation, appendix A). */
const UNIQUE_VIOLATION = '23505';
const FOREIGN_KEY_VIOLATION = '23503';

/**
 * What the writing of changed rows comes to. A loader may add a row of a new key after `deleteSuperseded` has looked:
 * throws `contention` then, as the next try finds the two of them. Throws `table_unfit` where a foreign key is of tokens,
 * and rows that refer to others would not follow them.
 */
export async function orContention<T>(target: LoadTarget, writing: Promise<T>): Promise<T> {
  const table = `${target.schema}.${target.table}`;
  try {
    return await on({ kind: 'target', table, columns: [] }, writing);
  } catch (error) {
    const sqlstate = error instanceof RowRefused ? error.fault.sqlstate : null;
    if (sqlstate === FOREIGN_KEY_VIOLATION) {
      throw new PipelineError(
        'table_unfit',
        `a foreign key holds rows of ${table} where their tokens are: make it \`on update cascade\`, so that rows follow ` +
          'those that they refer to',
        { cause: error },
      );
    }
    if (sqlstate !== UNIQUE_VIOLATION || !target.upsert) throw error;
    throw new PipelineError('contention', `${table}: a key was taken meanwhile`, { cause: error });
  }
}

function supersededSql(target: LoadTarget, table: RemaskTable, { keys, newestBy }: Upsert): string {
  const same = keys.map((key) => {
    const index = table.columns.findIndex(({ name }) => name === key);
    const column = table.columns[index];
    const name = escapeIdentifier(key);
    return `o.${name} = ${column ? assigned(column, `(n.cells -> ${String(index)})`) : `t.${name}`}`;
  });
  const newest = newestBy === null ? null : escapeIdentifier(newestBy);
  const isNewer =
    newest === null
      ? 'false'
      : `coalesce(t.${newest} > o.${newest}, t.${newest} is not null and o.${newest} is null)`;
  return `
    with pair as materialized (
      select t.ctid as place, o.tableoid as other_table, o.ctid as other_place, ${isNewer} as is_newer
        from only ${table.relation} as t
        join (select (r -> 0 #>> '{}')::tid as place, r -> 2 as cells from jsonb_array_elements($1::jsonb) as r) as n
          on t.ctid = n.place
        join ${quoteTable(target)} as o
          on ${same.join(' and ')} and not (o.tableoid = t.tableoid and o.ctid = t.ctid)),
    others as (
      delete from ${quoteTable(target)} as o using pair as p
       where p.is_newer and o.tableoid = p.other_table and o.ctid = p.other_place)
    delete from only ${table.relation} as t using pair as p where not p.is_newer and t.ctid = p.place
    returning p.place::text as place`;
}
