import type { PostgresPool, PostgresPoolOptions } from '../load/connection.js';
import { outlast } from '../policy.js';
import { type PoolUser, openPool } from '../roles/database.js';
import type { Deployment } from '../roles/deployment.js';

/** Who a command works as: `cli` looks and steers, `migrate` owns the tables, `reveal` and `audit` are as they say. */
export type CommandRole = 'cli' | 'migrate' | 'reveal' | 'audit';

const USERS: { readonly [role in CommandRole]: PoolUser } = {
  cli: 'admin',
  migrate: 'owner',
  reveal: 'reveal',
  audit: 'audit',
};

/** Lends a pool of the user that goes with the role, once Postgres answers; waits up to `startup_timeout` for it. */
export async function withPool<T>(
  deployment: Deployment,
  role: CommandRole,
  work: (pool: PostgresPool) => Promise<T>,
  limits: Pick<PostgresPoolOptions, 'statementTimeoutMs'> = {},
): Promise<T> {
  const { config, clock, onWait } = deployment;
  const pool = openPool(deployment, USERS[role], `maskline-${role}`, limits);
  const never = new AbortController().signal;
  try {
    await outlast(clock, () => pool.query('select 1'), never, onWait, config.startupTimeoutMs);
    return await work(pool);
  } finally {
    await pool.close();
  }
}
