import type { ConnectionOptions } from 'node:tls';
import { PipelineError } from '../errors.js';
import { NO_TLS_FILES, type TlsFiles, type TlsSettings, type TlsVerification, tlsOptions } from './tls.js';

/** A Postgres URL taken apart into what concerns TLS and the rest. */
export interface PostgresAddress {
  /** Without its parameters that concern TLS. */
  readonly url: string;
  /** Null: the URL says nothing of TLS, and none was configured. False: no TLS. */
  readonly tls: TlsSettings | false | null;
  /** TLS from the first byte, without asking in clear (libpq's sslnegotiation=direct). */
  readonly direct: boolean;
  /** What is allowed, but weaker than it looks. */
  readonly warnings: readonly string[];
}

/** libpq's parameters that concern TLS (PostgreSQL documentation, 32.1.2), and the driver's own. */
const PARAMETERS = ['ssl', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'sslnegotiation', 'uselibpqcompat'];
/** Those that nothing here could honour; to pass over them would be weaker than what was asked for. */
const UNSUPPORTED = [
  'sslcrl',
  'sslcrldir',
  'sslpassword',
  'ssl_min_protocol_version',
  'ssl_max_protocol_version',
];

/** libpq's word for the CAs of the system; Node's own take their place. */
const SYSTEM_CAS = 'system';

/**
 * Takes a Postgres URL apart, its `sslmode` as libpq means it: where the driver would take `require` for
 * `verify-full`, or fall back silently, this says so or refuses. `files` is the `tls` of the configuration, which
 * asks for verify-full. Throws `config_invalid`, without quoting the URL.
 */
export function parsePostgresUrl(url: string, files: TlsFiles | null = null): PostgresAddress {
  if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol)) {
    throw invalid('the database URL cannot be read; it should be postgres://user@host/db');
  }
  const rest = new URL(url);
  const given = new Map(PARAMETERS.map((name) => [name, rest.searchParams.get(name) || null]));
  const unsupported = UNSUPPORTED.filter((name) => rest.searchParams.has(name));
  if (unsupported.length > 0) throw invalid(`${unsupported.join(', ')} in the URL is not supported`);
  const isPlain = PARAMETERS.every((name) => !rest.searchParams.has(name));
  for (const name of PARAMETERS) rest.searchParams.delete(name);
  const { verification, warnings } = verificationOf(given, files);
  const direct = isDirect(given, verification);
  const tls = typeof verification === 'string' ? { ...filesOf(given, files), verification } : verification;
  return { url: isPlain ? url : rest.href, tls, direct, warnings };
}

/** What node-postgres is told of an address, in its own terms. */
export interface PostgresClientOptions {
  readonly connectionString: string;
  /** Absent where nothing was said: then PGSSLMODE counts, as for every client. */
  readonly ssl?: ConnectionOptions | false;
  readonly sslnegotiation?: 'direct';
}

/**
 * What node-postgres is told of a URL and the `tls` of the configuration. Throws `config_invalid`, also for a file
 * that can't be read.
 */
export function postgresClientOptions(url: string, files: TlsFiles | null): PostgresClientOptions {
  const address = parsePostgresUrl(url, files);
  const { tls } = address;
  return {
    connectionString: address.url,
    ...(tls === null ? {} : { ssl: tls === false ? tls : tlsOptions(tls) }),
    ...(address.direct ? { sslnegotiation: 'direct' } : {}),
  };
}

type Given = ReadonlyMap<string, string | null>;

interface Verification {
  readonly verification: TlsVerification | false | null;
  readonly warnings: readonly string[];
}

function verificationOf(given: Given, files: TlsFiles | null): Verification {
  const mode = modeOf(given);
  const root = given.get('sslrootcert') ?? files?.caFile ?? null;
  const hasFiles = root !== null || given.get('sslcert') !== null || given.get('sslkey') !== null;
  const quietly = (verification: Verification['verification']): Verification => ({
    verification,
    warnings: [],
  });
  if (files !== null && (mode === 'disable' || mode === 'no-verify')) {
    throw invalid(`sslmode=${mode} in the URL contradicts \`tls\`, which asks for a verified connection`);
  }
  switch (mode) {
    case null:
      return quietly(files !== null || hasFiles ? 'full' : null);
    case 'disable':
      return quietly(false);
    case 'allow':
    case 'prefer':
      throw invalid(
        `sslmode=${mode} in the URL would go on in clear with a server, or somebody in between, that offers no TLS: write verify-full, or disable`,
      );
    case 'no-verify':
      return { verification: 'none', warnings: [unverified(mode)] };
    case 'require':
      if (files !== null) return quietly('full');
      if (root === null) return { verification: 'none', warnings: [unverified(mode)] };
      return { verification: root === SYSTEM_CAS ? 'full' : 'ca', warnings: [] };
    case 'verify-ca':
      if (root !== null && root !== SYSTEM_CAS) return quietly('ca');
      throw invalid(
        'sslmode=verify-ca in the URL needs an authority of your own, as sslrootcert or tls.ca_file: with a public one it would trust any host; write verify-full',
      );
    case 'verify-full':
      return quietly('full');
    default:
      throw invalid(
        'sslmode in the URL is none that there is: write verify-full, verify-ca, require or disable',
      );
  }
}

/** `ssl` is the driver's older word for it. */
function modeOf(given: Given): string | null {
  const mode = given.get('sslmode') ?? null;
  const ssl = given.get('ssl') ?? null;
  if (mode !== null || ssl === null) return mode;
  if (ssl === 'true' || ssl === '1') return 'verify-full';
  if (ssl === 'false' || ssl === '0') return 'disable';
  return ssl;
}

function unverified(mode: string): string {
  return `sslmode=${mode} encrypts, but does not verify who answers: write verify-full, and name the authority's certificate as sslrootcert`;
}

function filesOf(given: Given, files: TlsFiles | null): TlsFiles {
  const configured = files ?? NO_TLS_FILES;
  const one = (name: string, file: string | null, key: string): string | null => {
    const own = given.get(name) ?? null;
    if (own !== null && file !== null)
      throw invalid(`${name} in the URL and tls.${key} are both given: keep one`);
    return own ?? file;
  };
  const ca = one('sslrootcert', configured.caFile, 'ca_file');
  return {
    caFile: ca === SYSTEM_CAS ? null : ca,
    certFile: one('sslcert', configured.certFile, 'cert_file'),
    keyFile: one('sslkey', configured.keyFile, 'key_file'),
    serverName: configured.serverName,
  };
}

function isDirect(given: Given, verification: Verification['verification']): boolean {
  const negotiation = given.get('sslnegotiation') ?? 'postgres';
  if (negotiation === 'postgres') return false;
  if (negotiation !== 'direct') throw invalid('sslnegotiation in the URL must be postgres or direct');
  if (typeof verification === 'string') return true;
  throw invalid('sslnegotiation=direct in the URL needs TLS: add sslmode=verify-full');
}

function invalid(message: string): PipelineError {
  return new PipelineError('config_invalid', message);
}
