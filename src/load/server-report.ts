import type { Clock } from '../clock.js';
import type { PostgresPool } from './connection.js';

/** What a Postgres is like for the user of that connection. */
export interface ServerReport {
  readonly user: string;
  readonly maxConnections: number;
  /** Kept back for superusers and for members of pg_use_reserved_connections. */
  readonly reservedConnections: number;
  /** Of this user, and of this database; null: without a limit of their own. */
  readonly userLimit: number | null;
  readonly databaseLimit: number | null;
  /** As it is in a session of ours, in a statement after the one that set it; 0 is none. */
  readonly statementTimeoutMs: number;
  /** 0 is none; null before Postgres 17. No session of ours sets it: a role, a database or the server may. */
  readonly transactionTimeoutMs: number | null;
  readonly fsync: boolean;
  readonly fullPageWrites: boolean;
  /** Standbys that follow it, none of which a COMMIT waits for; 0 also where it waits for one. */
  readonly asynchronousStandbys: number;
  /** How far its clock is ahead of ours. */
  readonly aheadMs: number;
}

const REPORT = `
  select current_user::text as user,
         current_setting('max_connections')::int as max_connections,
         current_setting('superuser_reserved_connections')::int
           + coalesce(current_setting('reserved_connections', true), '0')::int as reserved,
         (select nullif(rolconnlimit, -1) from pg_roles where rolname = current_user) as user_limit,
         (select nullif(datconnlimit, -1) from pg_database where datname = current_database()) as database_limit,
         (select setting::float8 from pg_settings where name = 'statement_timeout') as statement_timeout,
         (select setting::float8 from pg_settings where name = 'transaction_timeout') as transaction_timeout,
         current_setting('fsync') = 'on' as fsync,
         current_setting('full_page_writes') = 'on' as full_page_writes,
         case when current_setting('synchronous_standby_names') = '' then
           (select count(*)::int from pg_stat_replication where application_name <> 'pg_basebackup') else 0 end
           as asynchronous_standbys,
         (extract(epoch from clock_timestamp()) * 1000)::float8 as now`;

interface ReportRow {
  readonly user: string;
  readonly max_connections: number;
  readonly reserved: number;
  readonly user_limit: number | null;
  readonly database_limit: number | null;
  readonly statement_timeout: number;
  readonly transaction_timeout: number | null;
  readonly fsync: boolean;
  readonly full_page_writes: boolean;
  readonly asynchronous_standbys: number;
  readonly now: number;
}

/** Asks the server about itself; reads settings and catalogs only. Throws as `PostgresPool`. */
export async function describeServer(
  pool: Pick<PostgresPool, 'withClient'>,
  clock: Pick<Clock, 'now'>,
): Promise<ServerReport> {
  return pool.withClient(async (client) => {
    const askedAt = clock.now();
    const { rows } = await client.query<ReportRow>(REPORT);
    const answeredAt = clock.now();
    const [row] = rows;
    if (!row) throw new TypeError('a query without a table gives one row');
    return {
      user: row.user,
      maxConnections: row.max_connections,
      reservedConnections: row.reserved,
      userLimit: row.user_limit,
      databaseLimit: row.database_limit,
      statementTimeoutMs: row.statement_timeout,
      transactionTimeoutMs: row.transaction_timeout,
      fsync: row.fsync,
      fullPageWrites: row.full_page_writes,
      asynchronousStandbys: row.asynchronous_standbys,
      aheadMs: row.now - (askedAt + answeredAt) / 2,
    };
  });
}
