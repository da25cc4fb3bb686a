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
  on conflict (pipeline) do update
     set table_schema = $2, table_name = $3, column_name = $4, every = $5, back = $6, ahead = $7`;

/**
 * Notes whether the pipeline's target is to get partitions; `ensureTargetPartitions` makes them from then on. Needs the
 * owner's rights. Throws `postgres_unavailable`.
 */
export async function notePartitioning(
  pool: Pick<PostgresPool, 'query'>,
  pipeline: string,
  { schema, table }: TableName,
  partitioning: Partitioning | null,
): Promise<void> {
  if (partitioning === null) {
    await pool.query('delete from maskline.partitioned_targets where pipeline = $1', [pipeline]);
    return;
  }
  const { by, every, back, ahead } = partitioning;
  await pool.query(NOTE, [pipeline, schema, table, by, every, back, ahead]);
}

/**
 * Makes the partitions that the noted targets lack; to be called once a day. Safe in parallel; needs the right to execute
 * `maskline.ensure_target_partitions`. Returns how many it made.
 */
export async function ensureTargetPartitions(pool: Pick<PostgresPool, 'query'>): Promise<number> {
  const { rows } = await pool.query<{ made: number }>('select maskline.ensure_target_partitions() as made');
  return rows[0]?.made ?? 0;
}
