// The temporary table that rows wait in until they are merged. Made for each batch anew it would cost ten times the batch,
// and leave some 80 dead rows in the catalog; so a session keeps its own, which each COMMIT empties.

import { type ClientBase, escapeIdentifier } from 'pg';
import { type TableName, quoteTable } from './copy.js';

/** A column of its own beside those of the target; Postgres's names have no such character unless one puts it there. */
export const ORDINAL = escapeIdentifier('maskline#ordinal');

/** A table that nobody can vacuum but its session holds up the freezing of all; it is made anew in time. */
const OLDEST_XIDS = 50_000_000;

/**
 * Which table would do, named by the types of the columns, so that one of before a change of the target is not taken for
 * it; and whether it is there. It is asked of the server, and not remembered: behind a pooler, sessions change hands.
 */
const WHICH = `
  select w.name, w.is_plain, c.oid is not null as is_there, coalesce(age(c.relfrozenxid) > ${String(OLDEST_XIDS)}, false) as is_old
    from (select 'maskline_staged_' || md5(string_agg(
                   concat_ws(' ', quote_ident(n.name), a.atttypid, a.atttypmod, a.attcollation), ',' order by n.i)) as name,
                 -- A type of the user's own could not be dropped or changed while a table has it.
                 bool_and(coalesce(t.typnamespace = 'pg_catalog'::regnamespace, false)) as is_plain
            from unnest($2::text[]) with ordinality as n (name, i)
            left join pg_attribute a
              on a.attrelid = $1::regclass and a.attname = n.name and a.attnum > 0 and not a.attisdropped
            left join pg_type t on t.oid = a.atttypid) as w
    left join pg_class c on c.oid = to_regclass('pg_temp.' || w.name)`;

interface Which {
  readonly name: string;
  readonly is_plain: boolean;
  readonly is_there: boolean;
  readonly is_old: boolean;
}

/**
 * An empty table, as SQL has it, for rows of the target within the caller's transaction: its columns, and `ORDINAL`,
 * which ascends by one from any number. Of two calls in one transaction, the second empties the table of the first.
 */
export async function openStaging(
  client: ClientBase,
  target: TableName,
  columns: readonly string[],
): Promise<string> {
  const { rows } = await client.query<Which>(WHICH, [quoteTable(target), columns]);
  const { name = '', is_plain: isPlain = false, is_there: isThere = false, is_old: isOld } = rows[0] ?? {};
  const table = `pg_temp.${name}`;
  const names = columns.map(escapeIdentifier).join(', ');
  if (isThere && isPlain && isOld === false) await client.query(`delete from ${table}`);
  else {
    // The types of the target, lengths included, so that COPY names the line that does not fit. No NOT NULL, no default.
    await client.query(
      `drop table if exists ${table};
       create temporary table ${table} on commit ${isPlain ? 'delete rows' : 'drop'} as
         select ${names} from ${quoteTable(target)} with no data;
       alter table ${table} add column ${ORDINAL} bigint generated always as identity`,
    );
  }
  return table;
}
