import { type ClientBase, escapeIdentifier } from 'pg';
import { type TableName, quoteTable } from './copy.js';
import type { CatalogTable } from './target-catalog.js';

/** A column of a target, and what is to be erased from it. */
export interface ErasureColumn {
  readonly name: string;
  /** Stored texts, each with the key id that must stand beside it; null: it says so itself. */
  readonly forms: readonly { readonly stored: string; readonly kid: number | null }[];
  /** The column of the key ids; null: there is none. */
  readonly kidColumn: string | null;
}

/** `null` empties the column, or deletes the row where the column may not be empty; `delete` deletes the row. */
export type ErasureMode = 'null' | 'delete';

/** What was done, or would be. */
export interface ErasedColumn {
  readonly table: string;
  readonly column: string;
  /** `custom_mask`: only its author knows what a value became there, and it was not searched. */
  readonly action: 'null' | 'delete' | 'not_searched' | 'custom_mask';
  readonly rows: number;
}

/** Vault entries that went. */
export interface ErasedVault {
  readonly entries: number;
  /** How many of them were also of somebody else. */
  readonly shared: number;
}

/** Arrays and JSON hold many values; all else is compared as text. */
const ARRAYS: readonly string[] = ['_text', '_varchar'];

/**
 * Erases from one column of a table, within the caller's transaction; with `dryRun` it only counts. Of a deleted row
 * `prove` must know that it is not lost: the baseline of the table goes down with it.
 */
export async function eraseColumn(
  client: ClientBase,
  pipeline: string,
  target: TableName,
  catalog: CatalogTable,
  column: ErasureColumn,
  options: { readonly mode: ErasureMode; readonly dryRun: boolean },
): Promise<ErasedColumn> {
  const table = `${target.schema}.${target.table}`;
  const found = catalog.columns.find(({ name }) => name === column.name);
  if (!found) return { table, column: column.name, action: 'not_searched', rows: 0 };
  const action = options.mode === 'null' && !found.not_null ? 'null' : 'delete';
  const name = `t.${escapeIdentifier(column.name)}`;
  const where = conditionOf(name, found.base_type, column);
  const values = [column.forms.map(({ stored }) => stored), column.forms.map(({ kid }) => kid)];
  const quoted = quoteTable(target);
  if (options.dryRun) {
    const { rows } = await client.query<{ n: number }>(
      `select count(*)::float8 as n from ${quoted} as t where ${where}`,
      values,
    );
    return { table, column: column.name, action, rows: rows[0]?.n ?? 0 };
  }
  const sql =
    action === 'null'
      ? `update ${quoted} as t set ${escapeIdentifier(column.name)} = null where ${where}`
      : `delete from ${quoted} as t where ${where}`;
  const { rowCount } = await client.query(sql, values);
  const rows = rowCount ?? 0;
  if (action === 'delete' && rows > 0) {
    await client.query(
      `update maskline.baselines set rows = rows - $4 where pipeline = $1 and target = format('%I.%I', $2::text, $3::text)`,
      [pipeline, target.schema, target.table, rows],
    );
  }
  return { table, column: column.name, action, rows };
}

/** Over $1, the stored texts, and $2, their key ids. */
function conditionOf(name: string, baseType: string, { kidColumn }: ErasureColumn): string {
  if (ARRAYS.includes(baseType)) return `${name}::text[] && $1::text[] and cardinality($2::integer[]) >= 0`;
  if (baseType === 'jsonb' || baseType === 'json')
    return `jsonb_exists_any(${name}::jsonb, $1::text[]) and cardinality($2::integer[]) >= 0`;
  // Addresses are compared as such: a network mask in their text would hide them.
  const stored = baseType === 'inet' ? `host(${name})` : `${name}::text`;
  const kid = kidColumn === null ? 'true' : `(f.kid is null or t.${escapeIdentifier(kidColumn)} = f.kid)`;
  return `exists (select from unnest($1::text[], $2::integer[]) as f (stored, kid) where ${stored} = f.stored and ${kid})`;
}

const FOUND = `
  select v.lookup,
         exists (select from maskline.vault_subjects s where s.lookup = v.lookup and s.subject <> all ($1::bytea[])) as shared
    from maskline.vault v
   where v.lookup = any ($2::bytea[])
      or v.lookup in (select s.lookup from maskline.vault_subjects s where s.subject = any ($1::bytea[]))
   order by v.lookup`;

/** Deletes what the vault holds of those subjects and under those lookups; their tokens mean nothing from then on. */
export async function eraseVault(
  client: ClientBase,
  subjects: readonly Buffer[],
  lookups: readonly Buffer[],
  dryRun: boolean,
): Promise<ErasedVault> {
  const { rows } = await client.query<{ lookup: Buffer; shared: boolean }>(
    dryRun ? FOUND : `${FOUND} for update`,
    [subjects, lookups],
  );
  if (!dryRun) {
    await client.query('delete from maskline.vault where lookup = any ($1::bytea[])', [
      rows.map(({ lookup }) => lookup),
    ]);
  }
  return { entries: rows.length, shared: rows.filter(({ shared }) => shared).length };
}

/** Puts an erasure on record, within the caller's transaction: with it, it is done or not done. Needs the owner's rights. */
export async function certifyErasure(
  client: Pick<ClientBase, 'query'>,
  who: { readonly osUser: string; readonly purpose: string; readonly ticket: string | null },
  outcome: 'begun' | 'done',
  details: string | null,
): Promise<void> {
  await client.query(
    `select maskline.append_reveals('erase', $1, $2, $3, null, array[null::text], array[$4::text], $5)`,
    [who.osUser, who.purpose, who.ticket, outcome, details],
  );
}
