// Rows into a table of which each has one row for a key: COPY into a temporary table, and one INSERT
// from there that overwrites what it meets.

import { type ClientBase, escapeIdentifier } from 'pg';
import { type TableName, copyRows, quoteTable } from './copy.js';
import { isoTime } from './ledger.js';
import { ORDINAL, openStaging } from './staging.js';

/** How rows with one key become one row. */
export interface Upsert {
  /** Columns that the pipeline loads, and of which the table has a unique index. */
  readonly keys: readonly string[];
  /** A loaded column by which a row overwrites only what is not newer; null: what is committed last stays. */
  readonly newestBy: string | null;
}

/** A table, and how rows get into it: without `upsert` they are added. */
export interface LoadTarget extends TableName {
  readonly upsert?: Upsert | null;
}

interface Written {
  /** Rows that were inserted, or have overwritten one. */
  readonly written: number;
  readonly winners: number;
}

/**
 * Writes rows within the caller's transaction; `sentAts` are those of the lines, in epoch ms. Returns how many of the
 * lines' rows the table took, which is all of them unless a trigger drops one: a row that another of the batch, or a
 * newer one in the table, goes before is taken. Of a batch's rows with one key the newest by `newestBy` goes before,
 * of these the last sent, of these the last in order.
 */
export async function writeRows(
  client: ClientBase,
  target: LoadTarget,
  columns: readonly string[],
  rows: Buffer,
  sentAts: readonly number[],
): Promise<number> {
  const { upsert } = target;
  if (!upsert) return copyRows(client, quoteTable(target), columns, rows);
  const staged = await openStaging(client, target, columns);
  const copied = await copyRows(client, staged, columns, rows);
  if (copied !== sentAts.length) return copied;
  const { rows: counts } = await client.query<Written>(mergeSql(staged, target, columns, upsert), [
    sentAts.map(isoTime),
  ]);
  const unwritten = (counts[0]?.winners ?? 0) - (counts[0]?.written ?? 0);
  const isCertain = unwritten === 0 || !mayStay(columns, upsert);
  const dropped = isCertain ? unwritten : await countDropped(client, staged, target, upsert, sentAts);
  return copied - dropped;
}

/** Of the staged rows with one key, the one that goes before the others, in the order of the keys. */
function winners(staged: string, columns: readonly string[], { keys, newestBy }: Upsert): string {
  const by = keys.map((key) => `s.${escapeIdentifier(key)}`).join(', ');
  const newest = newestBy === null ? '' : `s.${escapeIdentifier(newestBy)} desc nulls last, `;
  // Sorted by key, or two loaders with keys in common deadlock.
  return `
    select distinct on (${by}) ${columns.map((name) => `s.${escapeIdentifier(name)}`).join(', ')}
      from ${staged} s
      join unnest($1::timestamptz[]) with ordinality as o (sent_at, ordinal)
        on o.ordinal = s.${ORDINAL} - (select min(f.${ORDINAL}) - 1 from ${staged} f)
     order by ${by}, ${newest}o.sent_at desc, o.ordinal desc`;
}

function mergeSql(staged: string, target: TableName, columns: readonly string[], upsert: Upsert): string {
  const names = columns.map(escapeIdentifier).join(', ');
  // COPY writes identity columns as given; so must this.
  return `
    with winner as materialized (${winners(staged, columns, upsert)}),
    written as (
      insert into ${quoteTable(target)} as t (${names}) overriding system value select ${names} from winner
      ${onConflict(columns, upsert)}
      returning 1)
    select (select count(*) from written)::int as written, (select count(*) from winner)::int as winners`;
}

/** What an INSERT into the target, under the alias `t`, does where there is a row of that key. */
function onConflict(columns: readonly string[], { keys, newestBy }: Upsert): string {
  const arbiter = `on conflict (${keys.map(escapeIdentifier).join(', ')})`;
  const sets = columns.filter((name) => !keys.includes(name)).map(escapeIdentifier);
  if (sets.length === 0) return `${arbiter} do nothing`;
  const assignments = sets.map((name) => `${name} = excluded.${name}`).join(', ');
  const newest = newestBy === null ? null : escapeIdentifier(newestBy);
  // A row without what orders overwrites none that has it, and is overwritten by all.
  const condition = newest === null ? '' : ` where t.${newest} is null or t.${newest} <= excluded.${newest}`;
  return `${arbiter} do update set ${assignments}${condition}`;
}

/** Whether a row that is written may leave the table as it was, since the row that is there goes before it. */
function mayStay(columns: readonly string[], { keys, newestBy }: Upsert): boolean {
  return newestBy !== null || columns.every((name) => keys.includes(name));
}

/** Of the winners that were not written, those that no row of the table goes before: a trigger or rule dropped them. */
async function countDropped(
  client: ClientBase,
  staged: string,
  target: TableName,
  { keys, newestBy }: Upsert,
  sentAts: readonly number[],
): Promise<number> {
  const same = keys.map((key) => `t.${escapeIdentifier(key)} = w.${escapeIdentifier(key)}`).join(' and ');
  const name = newestBy === null ? null : escapeIdentifier(newestBy);
  const newer = name === null ? '' : ` and (w.${name} is null or t.${name} >= w.${name})`;
  const needed = newestBy === null ? keys : [...keys, newestBy];
  const { rows } = await client.query<{ n: number }>(
    `select count(*)::int as n from (${winners(staged, needed, { keys, newestBy })}) as w
      where not exists (select from ${quoteTable(target)} t where ${same}${newer})`,
    [sentAts.map(isoTime)],
  );
  return rows[0]?.n ?? 0;
}
