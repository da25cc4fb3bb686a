import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { checkSchema } from './migrate.js';

/**
 * Whether the database can be worked with: maskline's schema is there, and it takes writes. A standby and a database
 * that was made read-only answer every look and load nothing. Throws `schema_outdated` or `postgres_unavailable`.
 */
export async function checkDatabase(pool: Pick<PostgresPool, 'query'>): Promise<void> {
  await checkSchema(pool);
  const { rows } = await pool.query<{ read_only: boolean }>(
    `select pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only`,
  );
  if (rows[0]?.read_only === false) return;
  throw new PipelineError(
    'postgres_unavailable',
    'the database is read-only, or a standby: nothing can be loaded',
  );
}
