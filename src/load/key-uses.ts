import { escapeIdentifier } from 'pg';
import type { PostgresPool } from './connection.js';
import { type TableName, quoteTable } from './copy.js';
import { holdsToken, holdsVaultToken, isOfKid } from './remask-sql.js';

/** What a pipeline's table may hold of keys. */
export interface KeyedTarget extends TableName {
  /** Columns of tokens. */
  readonly tokens: readonly KeyedColumn[];
  /** Columns that hold the key id of their row. */
  readonly kidColumns: readonly string[];
}

/** A column of tokens; of `letters`, where not all methods are asked for. A list, where they are within JSON, too. */
export interface KeyedColumn {
  readonly name: string;
  readonly isList: boolean;
  readonly letters?: 'h';
}

/** So many things in that place need the key. */
export interface KeyUse {
  readonly place: string;
  readonly count: number;
}

/** A process that is silent for longer says so no more; as `status` has it. */
const SEEN_MINUTES = 10;

/** The tables of maskline that note a key id for what they hold, whatever they are: those of later versions too. */
const SEALED_TABLES = `
  select c.relname as name from pg_attribute a
    join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p') and not c.relispartition
   where c.relnamespace = 'maskline'::regnamespace and a.attname = 'kid' and not a.attisdropped
   order by c.relname`;

/**
 * How often a column of a target holds a token of that key, or a row goes by it. Columns that are not there hold none,
 * and tokens of the vault whose values were erased don't count.
 */
export async function targetUses(
  pool: Pick<PostgresPool, 'query'>,
  target: KeyedTarget,
  kid: number,
): Promise<readonly KeyUse[]> {
  const table = quoteTable(target);
  const { rows: found } = await pool.query<{ name: string }>(
    `select attname as name from pg_attribute
      where attrelid = to_regclass($1) and attnum > 0 and not attisdropped`,
    [table],
  );
  const known = new Set(found.map(({ name }) => name));
  const conditions = new Map([
    ...target.tokens.map(
      (column) =>
        [
          column.name,
          column.letters === undefined
            ? `(${holdsToken(column, 'hs', kid)} or ${holdsVaultToken(column, kid)})`
            : holdsToken(column, column.letters, kid),
        ] as const,
    ),
    ...target.kidColumns.map((name) => [name, isOfKid([name], kid)] as const),
  ]);
  const columns = [...conditions].filter(([name]) => known.has(name));
  if (columns.length === 0) return [];
  const counts = columns.map(
    ([name, condition]) => `(count(*) filter (where ${condition}))::float8 as ${escapeIdentifier(name)}`,
  );
  const { rows } = await pool.query<{ readonly [name: string]: number }>(
    `select ${counts.join(', ')} from ${table} as t`,
  );
  return columns.map(([name]) => ({
    place: `${target.schema}.${target.table}.${name}`,
    count: rows[0]?.[name] ?? 0,
  }));
}

/** How many rows of each of maskline's own tables are sealed under that key. Throws as `PostgresPool`. */
export async function sealedUses(pool: Pick<PostgresPool, 'query'>, kid: number): Promise<readonly KeyUse[]> {
  const { rows: tables } = await pool.query<{ name: string }>(SEALED_TABLES);
  const uses: KeyUse[] = [];
  for (const { name } of tables) {
    const { rows } = await pool.query<{ n: number }>(
      `select count(*)::float8 as n from maskline.${escapeIdentifier(name)} where kid = $1`,
      [kid],
    );
    uses.push({ place: `maskline.${name}`, count: rows[0]?.n ?? 0 });
  }
  return uses;
}

/** Keys that something was made under. */
export interface KidsFound {
  readonly place: string;
  readonly kids: readonly number[];
}

/** Enough to meet every key that is in use, and read in a moment; old rows, whose key may be gone, lie first. */
const ROWS_LOOKED_AT = 100_000;

const READABLE = `
  select t.schema, t."table", t."column"
    from unnest($1::text[], $2::text[], $3::text[]) with ordinality as t (schema, "table", "column", i)
    join pg_namespace n on n.nspname = t.schema and has_schema_privilege(n.oid, 'USAGE')
    join pg_class c on c.relnamespace = n.oid and c.relname = t."table"
    join pg_attribute a on a.attrelid = c.oid and a.attname = t."column"
     and has_column_privilege(c.oid, a.attnum, 'SELECT')
   order by t.i`;

/**
 * The keys that the first rows of maskline's own tables are sealed under, and those of the tokens of `siv` and `hmac` in these columns of
 * targets, as far as the user of this connection may read them. Throws as `PostgresPool`.
 */
export async function kidsFound(
  pool: Pick<PostgresPool, 'query'>,
  columns: readonly (TableName & { readonly column: string })[],
): Promise<readonly KidsFound[]> {
  const { rows: sealed } = await pool.query<{ name: string }>(SEALED_TABLES);
  const asked = [
    ...sealed.map(({ name }) => ({ schema: 'maskline', table: name, column: 'kid' })),
    ...columns,
  ];
  const { rows: readable } = await pool.query<TableName & { readonly column: string }>(READABLE, [
    asked.map(({ schema }) => schema),
    asked.map(({ table }) => table),
    asked.map(({ column }) => column),
  ]);
  const found: KidsFound[] = [];
  for (const { schema, table, column } of readable) {
    const name = escapeIdentifier(column);
    const kid = schema === 'maskline' ? name : `substring(${name}::text from '^[hs]([1-9][0-9]{0,3})[.]')`;
    const { rows } = await pool.query<{ kid: number }>(
      `select distinct kid::int as kid from (
         select ${kid} as kid from ${quoteTable({ schema, table })} limit ${ROWS_LOOKED_AT}) as k
        where kid is not null order by 1`,
    );
    const place = schema === 'maskline' ? `maskline.${table}` : `${schema}.${table}.${column}`;
    if (rows.length > 0) found.push({ place, kids: rows.map((row) => row.kid) });
  }
  return found;
}

/** Processes at work that began before `sinceMs` (epoch ms): they may mask under the primary key of then. */
export async function processesSince(pool: Pick<PostgresPool, 'query'>, sinceMs: number): Promise<KeyUse> {
  const { rows } = await pool.query<{ n: number }>(
    `select count(*)::float8 as n from maskline.processes
      where seen_at > now() - $1 * interval '1 minute' and started_at < $2 and role <> 'admin'`,
    [SEEN_MINUTES, new Date(sinceMs).toISOString()],
  );
  return { place: 'processes that began before the keyring was last changed', count: rows[0]?.n ?? 0 };
}

/** Which of these tokens the vault knows, as those of today or former ones. */
export async function knownTokens(
  pool: Pick<PostgresPool, 'query'>,
  tokens: readonly string[],
): Promise<ReadonlySet<string>> {
  if (tokens.length === 0) return new Set();
  const { rows } = await pool.query<{ token: string }>(
    `select v.token from maskline.vault v where v.token = any ($1::text[])
     union all select f.token from maskline.vault_former f where f.token = any ($1::text[])`,
    [[...new Set(tokens)]],
  );
  return new Set(rows.map(({ token }) => token));
}

/** A masked row in quarantine, sealed. */
export interface SealedRow {
  readonly id: string;
  readonly pipeline: string;
  readonly kind: 'raw' | 'masked';
  readonly kid: number;
  readonly sealed: Buffer;
}

const PAGE = 100;

/** The masked rows in quarantine whose seal is of another key: their tokens may be of that one. In pages, none empty. */
export async function* maskedRowsSealedOtherwise(
  pool: Pick<PostgresPool, 'query'>,
  kid: number,
): AsyncGenerator<readonly SealedRow[]> {
  let after = '00000000-0000-0000-0000-000000000000';
  for (;;) {
    const { rows } = await pool.query<SealedRow>(
      `select id, pipeline, kind, kid, sealed from maskline.quarantine
        where kind = 'masked' and kid <> $1 and id > $2 order by id limit ${String(PAGE)}`,
      [kid, after],
    );
    if (rows.length > 0) yield rows;
    if (rows.length < PAGE) return;
    after = rows.at(-1)?.id ?? after;
  }
}
