import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import {
  type ConnectionOptions,
  type PeerCertificate,
  checkServerIdentity,
  createSecureContext,
} from 'node:tls';
import { PipelineError } from '../errors.js';

/** Files of a TLS connection, and the name that the server's certificate must hold; null where the default does. */
export interface TlsFiles {
  /** PEM of the authorities that are trusted, in place of those that Node brings along. */
  readonly caFile: string | null;
  /** PEM of the certificate that this side shows. */
  readonly certFile: string | null;
  readonly keyFile: string | null;
  /** In place of the host that is connected to. */
  readonly serverName: string | null;
}

/** How far a server's certificate is verified: authority and name; authority alone; not at all. */
export type TlsVerification = 'full' | 'ca' | 'none';

/** How a connection is encrypted. */
export interface TlsSettings extends TlsFiles {
  readonly verification: TlsVerification;
}

/** No files, and no name of its own. */
export const NO_TLS_FILES: TlsFiles = { caFile: null, certFile: null, keyFile: null, serverName: null };

/**
 * The settings as Node's `tls.connect` takes them; `host` is who is asked for, where that is known. The files are read
 * anew for every connection, so that renewed certificates need no restart; one that can't be read then is taken as it
 * was. Throws `config_invalid` when a file can't be read now, or holds no certificate or key.
 */
export function tlsOptions(settings: TlsSettings, host: string | null = null): ConnectionOptions {
  const ca = renewed(settings.caFile, 'CA certificate');
  const cert = renewed(settings.certFile, 'client certificate');
  const key = renewed(settings.keyFile, 'client key');
  checkCertificate(ca(), settings.caFile);
  checkPair(settings, cert(), key());
  return {
    get ca() {
      return ca();
    },
    get cert() {
      return cert();
    },
    get key() {
      return key();
    },
    rejectUnauthorized: settings.verification !== 'none',
    ...identity(settings, host),
  };
}

/** Which name is asked for, and which one the certificate is held against. */
function identity({ verification, serverName }: TlsSettings, host: string | null): ConnectionOptions {
  const name = serverName ?? host;
  return {
    // An address must not be asked for (RFC 6066, section 3).
    ...(name === null || isIP(name) !== 0 ? {} : { servername: name }),
    ...(verification === 'full' ? {} : { checkServerIdentity: () => undefined }),
    ...(verification === 'full' && serverName !== null
      ? // Some drivers put their host in place of `servername`; this they leave alone.
        {
          checkServerIdentity: (_host: string, shown: PeerCertificate) =>
            checkServerIdentity(serverName, shown),
        }
      : {}),
  };
}

function renewed(path: string | null, what: string): () => string | undefined {
  if (path === null) return () => undefined;
  let latest = read(path, what);
  return () => {
    try {
      latest = readFileSync(path, 'utf8');
    } catch {
      // In the middle of being replaced.
    }
    return latest;
  };
}

function read(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new PipelineError('config_invalid', `the ${what} ${path} cannot be read (${codeOf(error)})`);
  }
}

/** Node takes a CA without any certificate in it, and then trusts nobody. */
function checkCertificate(pem: string | undefined, path: string | null): void {
  if (pem === undefined) return;
  if (isCertificate(pem)) return;
  throw new PipelineError('config_invalid', `the CA certificate ${path} holds no certificate in PEM`);
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== null;
  } catch {
    return false;
  }
}

function checkPair({ certFile, keyFile }: TlsFiles, cert: string | undefined, key: string | undefined): void {
  if ((cert === undefined) !== (key === undefined)) {
    const [given, missing] = cert === undefined ? ['key', 'certificate'] : ['certificate', 'key'];
    throw new PipelineError('config_invalid', `a client ${given} is of no use without the client ${missing}`);
  }
  if (cert === undefined || key === undefined) return;
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw new PipelineError(
      'config_invalid',
      `the client certificate ${certFile} and the client key ${keyFile} are no pair in PEM without a passphrase (${codeOf(error)})`,
    );
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
}
