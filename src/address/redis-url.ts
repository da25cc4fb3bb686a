import { PipelineError } from '../errors.js';

/** A Redis URL taken apart. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  /** Null: the default user. */
  readonly username: string | null;
  readonly password: string | null;
  readonly db: number;
  /** 4 or 6; 0 is whichever the name resolves to. */
  readonly family: number;
  /** rediss:// */
  readonly isEncrypted: boolean;
}

const DEFAULT_PORT = 6379;
const PARAMETERS = ['db', 'family'];

/**
 * Takes `redis://user:password@host:port/db` or `rediss://…` apart (the scheme is the one registered with IANA).
 * User and password may be percent-encoded. Throws `config_invalid`, without quoting the URL.
 */
export function parseRedisUrl(text: string): RedisAddress {
  if (!/^rediss?:\/\//i.test(text) || !URL.canParse(text)) {
    throw invalid('it should be redis://user:password@host:port/db, or rediss:// with TLS');
  }
  const url = new URL(text);
  const unknown = [...url.searchParams.keys()].filter((name) => !PARAMETERS.includes(name));
  if (unknown.length > 0) throw invalid(`it may have the parameters ${PARAMETERS.join(' and ')} only`);
  const path = url.pathname.replace(/^\//, '');
  return {
    host: decoded(url.hostname.replace(/^\[(.+)\]$/, '$1')) || 'localhost',
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    username: decoded(url.username) || null,
    password: decoded(url.password) || null,
    db: wholeNumber(path || url.searchParams.get('db') || '0', 'its database'),
    family: wholeNumber(url.searchParams.get('family') ?? '0', 'its family'),
    isEncrypted: url.protocol === 'rediss:',
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('a "%" in its user or password must be written as %25');
  }
}

function wholeNumber(text: string, what: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw invalid(`${what} must be a number`);
}

function invalid(why: string): PipelineError {
  return new PipelineError('config_invalid', `the Redis URL cannot be read: ${why}`);
}
