import { type TlsPlaces, tlsFailure } from '../address/tls-failure.js';
import { PipelineError } from '../errors.js';
import { REDIS_ACL_COMMANDS } from './redis-acl.js';

/** The servers that BullMQ runs on. */
export type Backend = 'redis' | 'postgres';

/** An answer that did not come in time. */
export class TimedOut extends Error {
  constructor(limitMs: number) {
    super(`no answer within ${limitMs} ms`);
    this.name = 'TimedOut';
  }
}

/** Rejects with TimedOut when `work` takes longer than `limitMs`; what then becomes of `work` is not looked at. */
export async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TimedOut(limitMs)), limitMs);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** First words of Redis error replies that pass when the server recovers (redis.io, "Redis protocol: errors"). */
const REDIS_AWAY = new Set([
  'BUSY',
  'CLUSTERDOWN',
  'LOADING',
  'MASTERDOWN',
  'MISCONF',
  'NOREPLICAS',
  'OOM',
  'READONLY',
  'TRYAGAIN',
  'UNBLOCKED',
]);
const REDIS_DENIED = new Set(['NOAUTH', 'NOPERM', 'WRONGPASS', 'DENIED']);

/** What ioredis and node-postgres say, without a code, of a connection that is not there. Matched, never quoted. */
const CONNECTION_LOST =
  /^(Connection is closed|Connection terminated|Stream isn't writeable|Command timed out|Socket timeout|Blocking command timed out|Socket closed|Query read timeout|timeout exceeded when trying to connect|Client has encountered a connection error|Command aborted due to connection close|Reached the max retries per request|All sentinels are unreachable)/;
const NO_TLS_OFFERED = /^(The server does not support SSL|There was an error establishing an SSL)/;
/** What ioredis says when the Sentinels were reached, but gave no address. */
const SENTINELS_DENY = /^All sentinels are unreachable.* Last error: (NOAUTH|NOPERM|WRONGPASS)/;
const NO_SUCH_PRIMARY = /^All sentinels are unreachable.* Last error: ERR No such master/;
const NO_PASSWORD = /^SASL: /;

/** Of the system and of name resolution, such as EAI_AGAIN; Node's own begin with ERR_. */
const SYSTEM_ERROR = /^E(?!RR_)[A-Z0-9_]{3,}$/;
/** OpenSSL's and Node's codes for TLS that ended or went wrong in a way that may pass. */
const TLS_ERROR = /^ERR_(SSL|TLS)_/;
const TLS_PLACES: { readonly [backend in Backend]: TlsPlaces } = {
  redis: {
    ca: 'queue.tls.ca_file',
    serverName: 'queue.tls.server_name',
    client: 'queue.tls.cert_file and key_file',
    without: 'write redis:// in queue.url',
  },
  postgres: {
    ca: 'queue.tls.ca_file, or sslrootcert in queue.url',
    serverName: 'queue.tls.server_name',
    client: 'queue.tls.cert_file and key_file',
    without: 'write sslmode=disable in queue.url',
  },
};
const SQLSTATE = /^[0-9A-Z]{5}$/;

/**
 * Whether the error says that the server can't be reached or can't answer now. Everything else is a refusal, which
 * comes back at once and must not be asked for again in a tight loop.
 */
export function isConnectionLoss(error: unknown): boolean {
  if (error instanceof TimedOut) return true;
  if (!(error instanceof Error)) return false;
  const code = codeOf(error);
  return (
    CONNECTION_LOST.test(error.message) ||
    SYSTEM_ERROR.test(code) ||
    TLS_ERROR.test(code) ||
    tlsTrouble('redis', error) !== null ||
    error.name === 'MaxRetriesPerRequestError'
  );
}

/** What only a change of the set-up mends about the TLS of a server; null when it is something else. */
function tlsTrouble(backend: Backend, error: Error): string | null {
  const places = TLS_PLACES[backend];
  if (NO_TLS_OFFERED.test(error.message)) return `offers no TLS: turn it on there, or ${places.without}`;
  return tlsFailure(codeOf(error), places);
}

/**
 * Any error of BullMQ or its driver as ours: `redis_unavailable` or `postgres_unavailable`, `config_invalid` for TLS
 * that can't come about, `permission_denied`, `schema_outdated`, `queue_unfit`, `contention` for a lock that was lost,
 * else `unexpected`. Of a driver's words only its error code is kept.
 */
export function queueError(backend: Backend, place: string, doing: string, error: unknown): PipelineError {
  if (error instanceof PipelineError) return error;
  const server = `${backend === 'redis' ? 'Redis' : 'Postgres'} at ${place}`;
  const options = { cause: error };
  if (!(error instanceof Error))
    return new PipelineError('unexpected', `${doing}: ${server} failed`, options);
  const refusal = refused(backend, error);
  if (refusal) return new PipelineError(refusal.code, `${doing}: ${server} ${refusal.says}`, options);
  if (isConnectionLoss(error)) {
    const why = codeOf(error) || (error instanceof TimedOut ? error.message : 'no connection');
    return new PipelineError(
      `${backend}_unavailable`,
      `${doing}: ${server} does not answer (${why})`,
      options,
    );
  }
  const known = backend === 'redis' ? redisReply(error) : sqlState(error);
  if (known) return new PipelineError(known.code, `${doing}: ${server} ${known.says}`, options);
  // BullMQ's own messages hold ids and names of its commands only.
  if (
    /^(Missing (lock|key) for job |could not renew lock|Job .* (is not in|could not be))/.test(error.message)
  ) {
    const message = `${doing}: the job is no longer this worker's; whoever took it over goes on with it`;
    return new PipelineError('contention', message, options);
  }
  return new PipelineError('unexpected', `${doing}: ${server} failed with ${error.name}`, options);
}

interface Known {
  readonly code: PipelineError['code'];
  readonly says: string;
}

/** What comes without a reply or SQLSTATE of its own, and won't pass. */
function refused(backend: Backend, error: Error): Known | null {
  const tls = tlsTrouble(backend, error);
  if (tls) return { code: 'config_invalid', says: tls };
  const word = SENTINELS_DENY.exec(error.message)?.[1];
  if (word) {
    const says = `is not told by its Sentinels (${word}): check queue.sentinel.username and password`;
    return { code: 'permission_denied', says };
  }
  if (NO_SUCH_PRIMARY.test(error.message)) {
    return {
      code: 'queue_unfit',
      says: 'is not known to its Sentinels by that name: check queue.sentinel.name',
    };
  }
  if (!NO_PASSWORD.test(error.message)) return null;
  return { code: 'permission_denied', says: 'asks for a password that queue.url does not give' };
}

function redisReply(error: Error): Known | null {
  // Before Redis 7 the refusal of a script's command stands in the middle of the text.
  const word = (/^ERR .*: -([A-Z]+) /.exec(error.message) ?? /^([A-Z]+) /.exec(error.message))?.[1] ?? '';
  if (REDIS_AWAY.has(word)) return { code: 'redis_unavailable', says: `can't answer now (${word})` };
  if (word === 'NOPERM') {
    const says = `refuses (${word}): the ACL of its user needs ~PREFIX:* for queue.prefix, and ${REDIS_ACL_COMMANDS}`;
    return { code: 'permission_denied', says };
  }
  if (REDIS_DENIED.has(word)) {
    return { code: 'permission_denied', says: `refuses (${word}): check the user and its password` };
  }
  return error.name === 'ReplyError' ? { code: 'unexpected', says: `refuses (${word || 'ERR'})` } : null;
}

function sqlState(error: Error): Known | null {
  if (error.name === 'SchemaMigrationRequiredError') {
    return { code: 'schema_outdated', says: `has no queue schema yet: run \`maskline migrate\`` };
  }
  if (error.name === 'SchemaVersionMismatchError') {
    return { code: 'schema_outdated', says: 'has a queue schema of a newer version: upgrade maskline' };
  }
  if (error.name === 'UnsupportedPostgresVersionError') {
    return { code: 'queue_unfit', says: 'is too old for a queue: upgrade it' };
  }
  const state = codeOf(error);
  if (!SQLSTATE.test(state)) return null;
  const says = `refuses (SQLSTATE ${state})`;
  // 08 connection, 53 resources, 57 operator intervention, 25006 a standby.
  if (/^(08|53|57|25006)/.test(state)) return { code: 'postgres_unavailable', says };
  if (/^(40|55P03)/.test(state)) return { code: 'contention', says };
  if (/^(28|42501)/.test(state)) return { code: 'permission_denied', says };
  if (/^(3F|42)/.test(state)) return { code: 'schema_outdated', says: `${says}: run \`maskline migrate\`` };
  if (state.startsWith('3D')) return { code: 'queue_unfit', says: `${says}: the database does not exist` };
  return { code: 'unexpected', says };
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}
