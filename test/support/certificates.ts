// Certificates for tests, made by openssl when they are asked for.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate and its key, as files in PEM. */
export interface TestCertificate {
  readonly certFile: string;
  readonly keyFile: string;
}

/** An authority, and what it signs. */
export interface TestAuthority extends TestCertificate {
  /** Signs a certificate of those names (`DNS:localhost`, `IP:127.0.0.1`); `subject` is its common name. */
  sign(file: string, names: readonly string[], subject?: string): TestCertificate;
}

/** Authorities in a directory of their own, to be removed in `after`. */
export class TestCertificates {
  readonly dir = mkdtempSync(join(tmpdir(), 'maskline-tls-'));

  constructor() {
    // Postgres, which does not run as root, reads its certificate here.
    chmodSync(this.dir, 0o755);
  }

  /** Files are named after the authority. */
  authority(name: string): TestAuthority {
    const ca = this.#files(name);
    openssl([
      'req',
      '-x509',
      ...NEW_KEY,
      '-subj',
      `/CN=${name}`,
      ...into(ca),
      '-addext',
      'basicConstraints=critical,CA:TRUE',
    ]);
    const sign: TestAuthority['sign'] = (file, names, subject = file) => {
      const made = this.#files(`${name}-${file}`);
      const by = ['-CA', ca.certFile, '-CAkey', ca.keyFile];
      const alternatives = names.length > 0 ? ['-addext', `subjectAltName=${names.join(',')}`] : [];
      const leaf = ['-addext', 'basicConstraints=critical,CA:FALSE', ...alternatives];
      openssl(['req', '-x509', ...NEW_KEY, '-subj', `/CN=${subject}`, ...by, ...leaf, ...into(made)]);
      return made;
    };
    return { ...ca, sign };
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  #files(name: string): TestCertificate {
    return { certFile: join(this.dir, `${name}.pem`), keyFile: join(this.dir, `${name}.key`) };
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-days', '2'];

function into({ certFile, keyFile }: TestCertificate): readonly string[] {
  return ['-out', certFile, '-keyout', keyFile];
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
