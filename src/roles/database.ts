import { parsePostgresUrl } from '../address/postgres-url.js';
import type { TlsFiles } from '../address/tls.js';
import type { Config, DatabaseUser } from '../config/config.js';
import type { Secret } from '../config/secret.js';
import { PipelineError } from '../errors.js';
import { type PostgresPool, type PostgresPoolOptions, createPool } from '../load/connection.js';
import type { Deployment } from './deployment.js';

/** Who uses a connection: a process of its own, or `all` for what does the work of several. */
export type PoolUser = DatabaseUser | 'all';

const USERS: readonly string[] = [
  'ingest',
  'transform',
  'load',
  'admin',
  'owner',
  'reveal',
  'audit',
] satisfies DatabaseUser[];

/** The user of a role's process; of a process that is several roles in one, or none, it is `all`. */
export function userOf(role: string): PoolUser {
  return isUser(role) ? role : 'all';
}

function isUser(role: string): role is DatabaseUser {
  return USERS.includes(role);
}

/**
 * Connections with the rights of that user: its URL below `database.roles`, or else `database.url`. Opens none yet.
 * Throws `config_invalid` when there is no URL for it, or a file of its TLS can't be read.
 */
export function openPool(
  { config }: Pick<Deployment, 'config'>,
  user: PoolUser,
  applicationName: string,
  limits: Pick<PostgresPoolOptions, 'max' | 'connectTimeoutMs' | 'statementTimeoutMs'> = {},
): PostgresPool {
  return createPool({ ...databaseServer(config, user), applicationName, ...limits });
}

/** The URL of that user, and the TLS of them all. Throws `config_invalid` when there is none. */
export function databaseServer(
  { database }: Pick<Config, 'database'>,
  user: PoolUser,
): { readonly url: string; readonly tls: TlsFiles | null } {
  const { url, tls, roles } = database;
  const secret: Secret | null = (user === 'all' ? undefined : roles[user]) ?? url;
  if (secret) return { url: secret.reveal(), tls };
  throw new PipelineError(
    'config_invalid',
    user === 'all'
      ? 'database.url is missing: what does the work of several roles in one process needs it besides database.roles'
      : `database.roles.${user} is missing, and there is no database.url: name one of them`,
  );
}

/** What is allowed about that user's connection, but weaker than it looks. */
export function databaseWarnings(config: Pick<Config, 'database'>, user: PoolUser): readonly string[] {
  const { url, tls } = databaseServer(config, user);
  return parsePostgresUrl(url, tls).warnings.map((warning) => `database: ${warning}`);
}

/** Every URL that the configuration has, under the key that it stands at, with a user whose pool goes by it. */
export function databaseUrls({ database }: Pick<Config, 'database'>): ReadonlyMap<string, PoolUser> {
  const urls = new Map<string, PoolUser>();
  if (database.url) urls.set('database.url', 'all');
  for (const user of Object.keys(database.roles)) {
    if (isUser(user)) urls.set(`database.roles.${user}`, user);
  }
  return urls;
}
