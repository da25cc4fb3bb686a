import { escapeIdentifier } from 'pg';
import type { PostgresPool } from './connection.js';
import type { TableName } from './copy.js';

/** How a target is cut into partitions that are made ahead of time. */
export interface Partitioning {
  /** A loaded column of type timestamptz or date that is never NULL. */
  readonly by: string;
  /** Of UTC. */
  readonly every: 'day' | 'month';
  /** Periods before and after the one of today that have a partition. */
  readonly back: number;
  readonly ahead: number;
}

/** The clause that makes a table partitioned. */
export function partitionClause({ by }: Partitioning): string {
  return `partition by range (${escapeIdentifier(by)})`;
}

/** Whether a partition key, as Postgres spells it, is the range of that column alone. */
export function isPartitionedBy(key: string | null, { by }: Partitioning): boolean {
  return key === `RANGE (${by})` || key === `RANGE (${escapeIdentifier(by)})`;
}

const NOTE = `
  insert into maskline.partitioned_targets as p (pipeline, table_schema, table_name, column_name, every, back, ahead)
  values ($1, $2, $3, $4, $5, $6, $7)
  on conflict (pipeline, table_schema, table_name) do update
     set column_name = $4, every = $5, back = $6, ahead = $7`;

const FORGET = `
  delete from maskline.partitioned_targets p
   where p.pipeline = $1
     and not exists (select from unnest($2::text[], $3::text[]) as t (table_schema, table_name)
                      where t.table_schema = p.table_schema and t.table_name = p.table_name)`;

/**
 * Notes which of the pipeline's targets are to get partitions; `ensureTargetPartitions` makes them from then on. Needs
 * the owner's rights. Throws `postgres_unavailable`.
 */
export async function notePartitioning(
  pool: Pick<PostgresPool, 'query'>,
  pipeline: string,
  targets: readonly (TableName & { readonly partition: Partitioning | null })[],
): Promise<void> {
  const noted = targets.filter(({ partition }) => partition !== null);
  const names = [noted.map(({ schema }) => schema), noted.map(({ table }) => table)];
  await pool.query(FORGET, [pipeline, ...names]);
  for (const { schema, table, partition } of noted) {
    if (partition === null) continue;
    const { by, every, back, ahead } = partition;
    await pool.query(NOTE, [pipeline, schema, table, by, every, back, ahead]);
  }
}

/**
 * Makes the partitions that the noted targets lack; to be called once a day. Safe in parallel; needs the right to execute
 * `maskline.ensure_target_partitions`. Returns how many it made.
 */
export async function ensureTargetPartitions(pool: Pick<PostgresPool, 'query'>): Promise<number> {
  const { rows } = await pool.query<{ made: number }>('select maskline.ensure_target_partitions() as made');
  return rows[0]?.made ?? 0;
}
