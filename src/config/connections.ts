import { PipelineError } from '../errors.js';
import { parsePostgresUrl } from '../address/postgres-url.js';
import { parseRedisUrl } from '../address/redis-url.js';
import type { TlsFiles } from '../address/tls.js';
import type { Config, DatabaseConfig, DatabaseUser, SentinelConfig } from './config.js';
import { type Environment, envText } from './interpolation.js';
import type { Findings, Path } from './problem.js';
import type { ShellInput } from './schema.js';
import { Secret } from './secret.js';

const DEFAULT_QUEUE_URL = 'redis://127.0.0.1:6379';

// BullMQ needs memory to finish jobs too: a Redis at its limit cannot drain.
const HIGH_WATER_LIMIT = 0.8;

const BACKENDS = {
  redis: 'redis',
  rediss: 'redis',
  postgres: 'postgres',
  postgresql: 'postgres',
  memory: 'memory',
} as const;

// Without a URL for all, each of these needs its own.
const NEEDED: readonly DatabaseUser[] = ['ingest', 'transform', 'load', 'admin', 'owner'];
const USERS: readonly DatabaseUser[] = [...NEEDED, 'reveal', 'audit'];

type TlsInput = ShellInput['database']['tls'];

/** How Postgres is reached; null when that is not to be found out. */
export function databaseOf(shell: ShellInput, env: Environment, findings: Findings): DatabaseConfig | null {
  const { roles } = shell.database;
  const tls = tlsOf(shell.database.tls);
  const url = shell.database.url ?? envText(env, 'DATABASE_URL');
  const missing = NEEDED.filter((user) => roles[user] === undefined);
  if (url === undefined && missing.length > 0) {
    const others = missing.length < NEEDED.length ? `, or name ${missing.join(', ')} in database.roles` : '';
    findings.error(['database', 'url'], `required: the URL of Postgres; or set DATABASE_URL${others}`);
    return null;
  }
  const origin = shell.database.url === undefined ? ' (from DATABASE_URL)' : '';
  const secretOf = (text: string, path: Path, from = ''): Secret | null =>
    isPostgres(text, path, from, tls, findings) ? new Secret(text) : null;
  const common = url === undefined ? null : secretOf(url, ['database', 'url'], origin);
  if (url !== undefined) checkTls(shell.database.tls, url, ['database', 'tls'], findings);
  const own: { [user in DatabaseUser]?: Secret } = {};
  for (const user of USERS) {
    const text = roles[user];
    const secret = text === undefined ? null : secretOf(text, ['database', 'roles', user]);
    if (secret) own[user] = secret;
  }
  return { url: common, tls, roles: own };
}

/** How the queue's server is reached; null when that is not to be found out. */
export function queueOf(shell: ShellInput, env: Environment, findings: Findings): Config['queue'] | null {
  const { queue } = shell;
  const url = queue.url ?? envText(env, 'REDIS_URL') ?? DEFAULT_QUEUE_URL;
  const scheme = /^([a-z]+):\/\//i.exec(url)?.[1]?.toLowerCase();
  const backend = Object.entries(BACKENDS).find(([known]) => known === scheme)?.[1];
  const origin = queue.url === undefined ? ' (from REDIS_URL)' : '';
  if (backend === undefined || !URL.canParse(url)) {
    findings.error(
      ['queue', 'url'],
      `must be a URL that begins with redis://, rediss://, postgres://, postgresql:// or memory://${origin}`,
    );
    return null;
  }
  const tls = tlsOf(queue.tls);
  checkTls(queue.tls, url, ['queue', 'tls'], findings);
  if (backend === 'redis') tried(['queue', 'url'], findings, () => parseRedisUrl(url));
  if (backend === 'postgres') isPostgres(url, ['queue', 'url'], origin, tls, findings);
  const ownerUrl = queue.owner_url ?? url;
  if (queue.owner_url !== undefined) {
    if (backend === 'postgres') isPostgres(ownerUrl, ['queue', 'owner_url'], '', tls, findings);
    else
      findings.error(
        ['queue', 'owner_url'],
        'is an option of postgres:// queues, and queue.url is none',
        'key',
      );
  }
  checkHighWater(queue.high_water, findings);
  return {
    url: new Secret(url),
    ownerUrl: new Secret(ownerUrl),
    backend,
    tls,
    sentinel: sentinelOf(queue.sentinel, { backend, isEncrypted: scheme === 'rediss' }, findings),
    prefix: queue.prefix,
    highWater: queue.high_water,
    keepFailed: { count: queue.keep_failed.count, ageS: Math.ceil(queue.keep_failed.age / 1000) },
  };
}

function checkHighWater(highWater: number, findings: Findings): void {
  if (highWater === 0)
    findings.error(['queue', 'high_water'], 'must be above 0, or nothing is ever received');
  if (highWater > HIGH_WATER_LIMIT) {
    findings.warn(['queue', 'high_water'], 'leaves Redis little room; when it is full, nothing moves');
  }
}

/** Null where there is none, or nothing in it: what nothing was set for must not change how we connect. */
function tlsOf(input: TlsInput): TlsFiles | null {
  if (input === undefined || Object.values(input).every((value) => value === undefined)) return null;
  return {
    caFile: input.ca_file ?? null,
    certFile: input.cert_file ?? null,
    keyFile: input.key_file ?? null,
    serverName: input.server_name ?? null,
  };
}

/** A `tls` that the connection would not heed is a mistake that must not go unseen. */
function checkTls(input: TlsInput, url: string, at: Path, findings: Findings): void {
  if (input === undefined) return;
  const isEmpty = tlsOf(input) === null;
  const scheme = new URL(url).protocol;
  if (!isEmpty && !scheme.startsWith('postgres') && scheme !== 'rediss:') {
    findings.error(at, `is for rediss:// and postgres://, and the URL begins with ${scheme}//`, 'key');
  }
  if (isEmpty && scheme.startsWith('postgres') && !new URL(url).searchParams.has('sslmode')) {
    findings.error(
      at,
      'holds nothing, so the connection would not be encrypted: name a ca_file, or write sslmode=verify-full in the URL',
      'key',
    );
  }
  if ((input.cert_file === undefined) !== (input.key_file === undefined)) {
    findings.error(at, 'needs cert_file and key_file together', 'key');
  }
}

function isPostgres(
  url: string,
  path: Path,
  origin: string,
  tls: TlsFiles | null,
  findings: Findings,
): boolean {
  if (!/^postgres(ql)?:\/\//i.test(url) || !URL.canParse(url)) {
    findings.error(
      path,
      `must be a URL that begins with postgres:// or postgresql://${origin}; in a password, write characters such as "#" and "/" percent-encoded`,
    );
    return false;
  }
  const address = tried(path, findings, () => parsePostgresUrl(url, tls));
  for (const warning of address?.warnings ?? []) findings.warn(path, warning);
  return address !== null;
}

function sentinelOf(
  input: ShellInput['queue']['sentinel'],
  url: { readonly backend: Config['queue']['backend']; readonly isEncrypted: boolean },
  findings: Findings,
): SentinelConfig | null {
  if (input === undefined) return null;
  if (url.backend !== 'redis') {
    findings.error(['queue', 'sentinel'], 'is for redis:// and rediss://, and queue.url is neither', 'key');
  }
  return {
    name: input.name,
    hosts: input.hosts,
    username: input.username ?? null,
    password: input.password === undefined ? null : new Secret(input.password),
    tls: input.tls ?? url.isEncrypted,
  };
}

/** The result, or null with what it threw reported. */
function tried<T>(path: Path, findings: Findings, work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof PipelineError)) throw error;
    findings.error(path, error.message);
    return null;
  }
}
