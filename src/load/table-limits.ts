import type { ColumnLimit, TableLimits } from '../masking/limits.js';
import type { PostgresPool } from './connection.js';
import type { TableName } from './copy.js';

// NOT NULL is looked at once the triggers before the row are through, and so are CHECKs: any of them may mend a row.
const LIMITS = `
  with recursive target as (
    select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')),
  mended as (
    select exists (
      select from pg_trigger g, target
       where (g.tgrelid = target.oid or g.tgrelid in (select relid from pg_partition_tree(target.oid)))
         -- Row, before, insert (pg_trigger.h: TRIGGER_TYPE_ROW, _BEFORE, _INSERT).
         and g.tgtype & 7 = 7 and g.tgenabled <> 'D') as by_triggers),
  base as (
    select a.attnum, a.atttypid as type, a.atttypmod as typmod, a.attcollation as collation
      from pg_attribute a, target where a.attrelid = target.oid and a.attnum > 0 and not a.attisdropped
    union all
    select b.attnum, t.typbasetype, t.typtypmod, b.collation
      from base b join pg_type t on t.oid = b.type and t.typtype = 'd')
  select a.attname as name, t.typname as base_type, t.typtype = 'e' as is_enum,
         t.typnamespace = 'pg_catalog'::regnamespace as built_in,
         case when t.typname in ('varchar', 'bpchar') and b.typmod >= 0
               and current_setting('server_encoding') = 'UTF8' then b.typmod - 4 end as max_length,
         a.attnotnull and not mended.by_triggers as not_null,
         -- The typmod of a numeric: a header of 4, precision above 16 bits, below it the scale in 11 bits, signed.
         case when t.typname = 'numeric' and b.typmod >= 0
              then ((b.typmod - 4) >> 16) - ((((b.typmod - 4) & 2047) # 1024) - 1024) end as whole_digits,
         case when t.typtype = 'e' then array(select e.enumlabel::text from pg_enum e where e.enumtypid = t.oid) end
           as labels,
         array(
           select pg_get_constraintdef(k.oid) from pg_constraint k
            where k.conrelid = a.attrelid and k.contype = 'c' and k.conkey = array[a.attnum] and not mended.by_triggers
              and t.typname in ('text', 'varchar')
              and coalesce((select l.collisdeterministic from pg_collation l where l.oid = b.collation), true)) as checks
    from base b
    cross join mended
    join pg_type t on t.oid = b.type and t.typtype <> 'd'
    join pg_attribute a on a.attrelid = (select oid from target) and a.attnum = b.attnum`;

interface LimitRow {
  readonly name: string;
  readonly base_type: string;
  readonly is_enum: boolean;
  readonly built_in: boolean;
  readonly max_length: number | null;
  readonly not_null: boolean;
  readonly whole_digits: number | null;
  readonly labels: readonly string[] | null;
  readonly checks: readonly string[];
}

/** PostgreSQL documentation, 8.1.1. */
const INTEGERS: Readonly<{ [type: string]: readonly [least: string, most: string] }> = {
  int2: ['-32768', '32767'],
  int4: ['-2147483648', '2147483647'],
  int8: ['-9223372036854775808', '9223372036854775807'],
};

/** What a table certainly refuses, by the catalog of this moment; empty when it is not there. Throws `postgres_unavailable`. */
export async function readLimits(
  pool: Pick<PostgresPool, 'query'>,
  { schema, table }: TableName,
): Promise<TableLimits> {
  const { rows } = await pool.query<LimitRow>(LIMITS, [schema, table]);
  const limits = rows.map((row) => [row.name, limitOf(row)] as const);
  // Most columns need not be looked at.
  const isSet = (part: unknown): boolean => part !== null && part !== false;
  return new Map(limits.filter(([, limit]) => Object.values(limit).some(isSet)));
}

function limitOf(row: LimitRow): ColumnLimit {
  const listed = row.checks.map(listOfCheck).find((list) => list !== null) ?? null;
  return {
    maxLength: row.max_length,
    notNull: row.not_null,
    integers: row.built_in ? (INTEGERS[row.base_type] ?? null) : null,
    wholeDigits: row.whole_digits,
    oneOf: row.labels ?? listed,
  };
}

/** `CHECK (((state)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))`, and of text. */
const LIST_CHECK =
  /^CHECK \(\(\(?(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)\)?(?:::text)? = ANY \(\(?ARRAY\[((?:'(?:[^']|'')*'::(?:text|character varying)(?:, )?)+)\]\)?(?:::text\[\])?\)\)\)$/;

/** The values that a CHECK lists, when it does nothing else; a backslash could mean an escape, and is left alone. */
function listOfCheck(definition: string): readonly string[] | null {
  const [, list] = LIST_CHECK.exec(definition) ?? [];
  if (list === undefined || list.includes('\\')) return null;
  return [...list.matchAll(/'((?:[^']|'')*)'::/g)].map(([, value = '']) => value.replaceAll("''", "'"));
}
