import { type PostgresPool, createPool } from '../load/connection.js';
import { outlast } from '../policy.js';
import type { Deployment } from '../roles/deployment.js';

/** Lends a pool to `work`, once Postgres answers; waits up to `startup_timeout` for it. */
export async function withPool<T>(
  { config, clock, onWait }: Deployment,
  role: string,
  work: (pool: PostgresPool) => Promise<T>,
): Promise<T> {
  const pool = createPool({ url: config.database.url.reveal(), applicationName: `maskline-${role}` });
  const never = new AbortController().signal;
  try {
    await outlast(clock, () => pool.query('select 1'), never, onWait, config.startupTimeoutMs);
    return await work(pool);
  } finally {
    await pool.close();
  }
}
