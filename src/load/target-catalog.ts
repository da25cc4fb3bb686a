import type { PostgresPool } from './connection.js';
import type { TableName } from './copy.js';

/** A column of the target as the catalog has it. */
export interface CatalogColumn {
  readonly name: string;
  /** As SQL spells it, e.g. `character varying(32)`. */
  readonly type: string;
  /** `pg_type.typname` of the type, or of what a domain is made of. */
  readonly base_type: string;
  /** False for types of extensions and of users. */
  readonly built_in: boolean;
  /** The n of varchar(n) and char(n); null when unlimited. */
  readonly max_length: number | null;
  readonly not_null: boolean;
  readonly has_default: boolean;
  readonly generated: boolean;
  /** `always`: Postgres numbers its rows, and no UPDATE may set it. */
  readonly identity: 'always' | 'by default' | null;
  readonly may_insert: boolean;
  readonly may_update: boolean;
  readonly may_select: boolean;
}

/** The target table as the catalog has it. */
export interface CatalogTable {
  /** `pg_class.relkind`: r an ordinary table, p a partitioned one. */
  readonly kind: string;
  /** True unless the table, or a partition of it, is temporary, unlogged or foreign. */
  readonly logged: boolean;
  readonly has_default_partition: boolean;
  /** As `pg_get_partkeydef` spells it; null for a table that is not partitioned. */
  readonly partition_key: string | null;
  readonly row_security: boolean;
  readonly columns: readonly CatalogColumn[];
  /** The columns of each unique index that can tell of every row, at once, whether its key is there. */
  readonly unique_keys: readonly (readonly string[])[];
}

/** What there is where the target should be. */
export interface Catalog {
  readonly in_recovery: boolean;
  readonly schema_exists: boolean;
  readonly table: CatalogTable | null;
}

const TABLE = `
  select pg_is_in_recovery() as in_recovery,
         exists (select from pg_namespace where nspname = $1) as schema_exists,
         c.oid is not null as table_exists,
         c.relkind as kind,
         not exists (
           select from pg_class p
            where (p.oid = c.oid or p.oid in (select relid from pg_partition_tree(c.oid)))
              and (p.relpersistence <> 'p' or p.relkind = 'f')) as logged,
         exists (select from pg_partitioned_table p where p.partrelid = c.oid and p.partdefid <> 0)
           as has_default_partition,
         pg_get_partkeydef(c.oid) as partition_key,
         row_security_active(c.oid) as row_security,
         c.oid::int8::text as oid
    from (select) as one
    left join pg_class c on c.relname = $2 and c.relnamespace = (select oid from pg_namespace where nspname = $1)`;

const COLUMNS = `
  with recursive base as (
    select a.attnum, a.atttypid as type, a.atttypmod as typmod, a.attnotnull as not_null, a.atthasdef as has_default
      from pg_attribute a where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
    union all
    select b.attnum, t.typbasetype, t.typtypmod, b.not_null or t.typnotnull, b.has_default or t.typdefault is not null
      from base b join pg_type t on t.oid = b.type and t.typtype = 'd')
  select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, t.typname as base_type,
         t.typnamespace = 'pg_catalog'::regnamespace as built_in,
         case when t.typname in ('varchar', 'bpchar') and b.typmod >= 0 then b.typmod - 4 end as max_length,
         b.not_null, b.has_default or a.attidentity <> '' as has_default, a.attgenerated <> '' as generated,
         case a.attidentity when 'a' then 'always' when 'd' then 'by default' end as identity,
         has_column_privilege($1::oid, a.attnum, 'INSERT') as may_insert,
         has_column_privilege($1::oid, a.attnum, 'UPDATE') as may_update,
         has_column_privilege($1::oid, a.attnum, 'SELECT') as may_select
    from base b
    join pg_type t on t.oid = b.type and t.typtype <> 'd'
    join pg_attribute a on a.attrelid = $1 and a.attnum = b.attnum
   order by a.attnum`;

const UNIQUE_KEYS = `
  select array(select a.attname::text from unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) as k (attnum)
                 join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum) as columns
    from pg_index i
   where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
     and i.indexprs is null`;

interface TableRow extends Omit<CatalogTable, 'columns' | 'unique_keys'> {
  readonly in_recovery: boolean;
  readonly schema_exists: boolean;
  readonly table_exists: boolean;
  readonly oid: string | null;
}

/** Reads what the catalog says of the table. Throws `postgres_unavailable`. */
export async function readCatalog(pool: Pick<PostgresPool, 'query'>, name: TableName): Promise<Catalog> {
  const { rows } = await pool.query<TableRow>(TABLE, [name.schema, name.table]);
  const row = rows[0];
  if (!row?.table_exists) {
    return {
      in_recovery: row?.in_recovery ?? false,
      schema_exists: row?.schema_exists ?? false,
      table: null,
    };
  }
  const columns = await pool.query<CatalogColumn>(COLUMNS, [row.oid]);
  const { in_recovery, schema_exists, kind, logged, has_default_partition, partition_key, row_security } =
    row;
  const keys = await pool.query<{ columns: readonly string[] }>(UNIQUE_KEYS, [row.oid]);
  const unique_keys = keys.rows.map((key) => key.columns);
  const table = {
    kind,
    logged,
    has_default_partition,
    partition_key,
    row_security,
    columns: columns.rows,
    unique_keys,
  };
  return { in_recovery, schema_exists, table };
}
