import { createHash, randomBytes } from 'node:crypto';
import { type ClientBase, escapeIdentifier } from 'pg';
import type { PostgresPool } from './connection.js';
import { quoteTable } from './copy.js';
import {
  type ErasedColumn,
  type ErasureTarget,
  countOf,
  countRows,
  deleteRows,
  eraseReferring,
  nameOf,
} from './erased-rows.js';
import { lockVault } from './remask-vault.js';

/** A column of a target, and what is to be erased from it. */
export interface ErasureColumn {
  readonly name: string;
  /** Stored texts, each with the key id that must stand beside it; null: it says so itself. */
  readonly forms: readonly { readonly stored: string; readonly kid: number | null }[];
  /** Whether these are values as they came: then the server, which may log what it is asked, gets their digests. */
  readonly isClear: boolean;
  /** The column of the key ids; null: there is none. */
  readonly kidColumn: string | null;
}

/** Vault entries that went. */
export interface ErasedVault {
  readonly entries: number;
  /** How many of them were also of somebody else. */
  readonly shared: number;
}

/** Arrays and JSON hold many values; all else is compared as text. */
const ARRAYS: readonly string[] = ['_text', '_varchar'];
const JSONS: readonly string[] = ['jsonb', 'json'];
const SALT_BYTES = 16;

/**
 * Erases from one column of a table, within the caller's transaction; without a record it only counts. With a row that is
 * deleted go those that refer to it, which are named by the column that does. Of deleted rows `prove` must know that they
 * are not lost: they are noted by what they came from, and the baseline of the table goes down with them.
 */
export async function eraseColumn(
  client: ClientBase,
  place: ErasureTarget,
  column: ErasureColumn,
): Promise<readonly ErasedColumn[]> {
  const { target, catalog, erasure, mode } = place;
  const found = catalog.columns.find(({ name }) => name === column.name);
  const of = { table: nameOf(place), column: column.name };
  if (!found) return [{ ...of, action: 'not_searched', rows: 0 }];
  // What has lost a part of its key could be overwritten by nobody any more.
  const isKey = target.upsert?.keys.includes(column.name) ?? false;
  const action = mode === 'null' && !found.not_null && !isKey ? 'null' : 'delete';
  const name = escapeIdentifier(column.name);
  const { sql: where, values } = conditionOf(`t.${name}`, found.base_type, column);
  const meant = { alias: 't', where, values };
  if (action === 'null') {
    const update = `update ${quoteTable(target)} as t set ${name} = null where ${where} returning 1`;
    const rows =
      erasure === null ? await countRows(client, place, meant) : await countOf(client, update, values);
    return [{ ...of, action, rows }];
  }
  const referring = await eraseReferring(client, place, meant, [nameOf(place)]);
  const rows = await deleteRows(client, place, meant);
  return [...referring, { ...of, action, rows }];
}

/** Over $1, the stored texts, and $2, their key ids; or over $1, their digests, and $2, what these begin with. */
function conditionOf(
  name: string,
  baseType: string,
  { forms, isClear, kidColumn }: ErasureColumn,
): { readonly sql: string; readonly values: readonly unknown[] } {
  if (isClear) return clearCondition(name, baseType, forms);
  const values = [forms.map(({ stored }) => stored), forms.map(({ kid }) => kid)];
  if (ARRAYS.includes(baseType))
    return { sql: `${name}::text[] && $1::text[] and cardinality($2::integer[]) >= 0`, values };
  if (JSONS.includes(baseType)) {
    const texts = `jsonb_path_query(${name}::jsonb, 'strict $.**') as i (item)`;
    return {
      sql: `exists (select from ${texts} where i.item #>> '{}' = any ($1::text[])) and cardinality($2::integer[]) >= 0`,
      values,
    };
  }
  // Addresses are compared as such: a network mask in their text would hide them.
  const stored = baseType === 'inet' ? `host(${name})` : `${name}::text`;
  const kid = kidColumn === null ? 'true' : `(f.kid is null or t.${escapeIdentifier(kidColumn)} = f.kid)`;
  return {
    sql: `exists (select from unnest($1::text[], $2::integer[]) as f (stored, kid) where ${stored} = f.stored and ${kid})`,
    values,
  };
}

function clearCondition(
  name: string,
  baseType: string,
  forms: ErasureColumn['forms'],
): { readonly sql: string; readonly values: readonly unknown[] } {
  const salt = randomBytes(SALT_BYTES);
  const digests = forms.map(({ stored }) =>
    createHash('sha256').update(salt).update(stored, 'utf8').digest(),
  );
  const isIt = (text: string): string =>
    `sha256($2::bytea || convert_to(${text}, 'UTF8')) = any ($1::bytea[])`;
  const values = [digests, salt];
  if (ARRAYS.includes(baseType))
    return {
      sql: `exists (select from unnest(${name}::text[]) as i (item) where ${isIt('i.item')})`,
      values,
    };
  if (JSONS.includes(baseType)) {
    const texts = `jsonb_path_query(${name}::jsonb, 'strict $.**') as i (item)`;
    return { sql: `exists (select from ${texts} where ${isIt("i.item #>> '{}'")})`, values };
  }
  return { sql: isIt(baseType === 'inet' ? `host(${name})` : `${name}::text`), values };
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
  // An entry that is being brought to another key would be missed under both.
  if (!dryRun) await lockVault(client);
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

/**
 * Puts an erasure on record, within the caller's transaction: with it, it is done or not done. Returns the number of the
 * record. Needs the owner's rights.
 */
export async function certifyErasure(
  client: Pick<ClientBase, 'query'>,
  who: { readonly osUser: string; readonly purpose: string; readonly ticket: string | null },
  outcome: 'begun' | 'done',
  details: string | null,
): Promise<number> {
  await client.query(
    `select maskline.append_reveals('erase', $1, $2, $3, null, array[null::text], array[$4::text], $5)`,
    [who.osUser, who.purpose, who.ticket, outcome, details],
  );
  // Nobody else appends before this transaction ends.
  const { rows } = await client.query<{ seq: number }>(
    'select max(r.seq)::float8 as seq from maskline.reveals r',
  );
  return rows[0]?.seq ?? 0;
}

/** So much of something that has a name. */
interface Named {
  readonly name: string;
  readonly count: number;
}

const UNCONFIGURED_ROWS = `
  select q.pipeline as name, count(*)::float8 as count from maskline.quarantine q
   where q.kind = 'masked' and q.pipeline <> all ($1::text[]) group by 1 order by 1`;

const UNCONFIGURED_ENTRIES = `
  select v.domain as name, count(*)::float8 as count from maskline.vault v
   where v.domain <> all ($1::text[]) group by 1 order by 1`;

/** Masked rows in quarantine of other pipelines, and vault entries of other domains: nobody knows how those were masked. */
export async function unconfiguredPlaces(
  pool: Pick<PostgresPool, 'query'>,
  pipelines: readonly string[],
  domains: readonly string[],
): Promise<{ readonly rows: readonly Named[]; readonly entries: readonly Named[] }> {
  const { rows } = await pool.query<Named>(UNCONFIGURED_ROWS, [pipelines]);
  const { rows: entries } = await pool.query<Named>(UNCONFIGURED_ENTRIES, [domains]);
  return { rows, entries };
}

/** Notes of deleted rows that no proof asks for, as their batches were pruned, and a while after that. */
const FORGET = `
  delete from maskline.erased
   where erased_at < (select h.at from maskline.horizons h where h.what = 'loads') - interval '7 days'`;

/** Forgets rows that were erased so long ago that nothing on record names them any more. */
export async function forgetErased(client: Pick<ClientBase, 'query'>): Promise<void> {
  await client.query(FORGET);
}
