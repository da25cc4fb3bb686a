import assert from 'node:assert/strict';
import { chmodSync, chownSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { TlsFiles } from '../../src/address/tls.js';
import { systemClock } from '../../src/clock.js';
import { unprivilegedUser } from '../../src/embedded/postgres-binaries.js';
import { PipelineError } from '../../src/errors.js';
import { type PostgresPoolOptions, createPool } from '../../src/load/connection.js';
import { createBullQueue, migrateQueue } from '../../src/queue/bullmq.js';
import { batchCodec } from '../../src/queue/payload.js';
import { type TestAuthority, type TestCertificate, TestCertificates } from '../support/certificates.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';
import { Seen, batchOf, eventually, testSealer } from '../support/queue.js';

const PASSWORD = 'p%ss:w@rd/#?&é +';

let certificates: TestCertificates;
let authority: TestAuthority;
let stranger: TestAuthority;
let server: TestPostgres;
let warnings: Error[];
const onWarning = (warning: Error): void => void warnings.push(warning);

/** The database as `app`, by that host, with these parameters. */
function at(host: string, parameters: Readonly<{ [name: string]: string }> = {}): string {
  const url = new URL(server.server.url);
  [url.hostname, url.username, url.password] = [host, 'app', encodeURIComponent(PASSWORD)];
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return url.href;
}

function files(given: Partial<TlsFiles>): TlsFiles {
  return { caFile: null, certFile: null, keyFile: null, serverName: null, ...given };
}

/** Whether the connection came about encrypted, as the server sees it. */
async function isEncrypted(options: Pick<PostgresPoolOptions, 'url' | 'tls'>): Promise<boolean> {
  const pool = createPool({ ...options, applicationName: 'test' });
  try {
    const { rows } = await pool.query<{ ssl: boolean }>(
      'select ssl from pg_stat_ssl where pid = pg_backend_pid()',
    );
    return rows[0]?.ssl ?? false;
  } finally {
    await pool.close();
  }
}

/** Asserts the code and what the message says, and that it quotes no secret. */
function saying(code: string, text: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof PipelineError);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    assert.ok(
      ![PASSWORD, encodeURIComponent(PASSWORD), encodeURI(PASSWORD)].some((secret) =>
        error.message.includes(secret),
      ),
    );
    return true;
  };
}

/** The server's files, which only its own user may read. */
function install(shown: TestCertificate): { readonly [setting: string]: string } {
  const runAs = unprivilegedUser();
  if (runAs) chownSync(shown.keyFile, runAs.uid, runAs.gid);
  chmodSync(shown.keyFile, 0o600);
  return {
    ssl_cert_file: shown.certFile,
    ssl_key_file: shown.keyFile,
    ssl_ca_file: authority.certFile,
  };
}

/** Settings of the server, in force for what connects from now on. */
async function set(settings: Readonly<{ [name: string]: string }>): Promise<void> {
  await withConnection(server.server.url, async (client) => {
    for (const [name, value] of Object.entries(settings)) {
      await client.query(`alter system set ${name} = ${client.escapeLiteral(value)}`);
    }
    await client.query('select pg_reload_conf()');
  });
  const known = async (): Promise<unknown> => {
    const rows = await rowsOf(
      server.server.url,
      'select name, setting from pg_settings where name = any ($1)',
      [Object.keys(settings)],
    );
    return rows.every(({ name, setting }) => settings[String(name)] === setting);
  };
  await eventually(known, (is) => is === true);
}

/** pg_hba.conf of those lines, in force. */
async function allow(lines: readonly string[]): Promise<void> {
  const [row] = await rowsOf(server.server.url, 'show hba_file');
  writeFileSync(String(row?.['hba_file']), [...lines, ''].join('\n'));
  await withConnection(server.server.url, (client) => client.query('select pg_reload_conf()'));
}

const ANYHOW = ['host all postgres 127.0.0.1/32 scram-sha-256', 'host all app 127.0.0.1/32 scram-sha-256'];
const ENCRYPTED_ONLY = [
  'host all postgres 127.0.0.1/32 scram-sha-256',
  'hostssl all app 127.0.0.1/32 scram-sha-256',
];
const WITH_CERTIFICATE = [
  'host all postgres 127.0.0.1/32 scram-sha-256',
  'hostssl all app 127.0.0.1/32 scram-sha-256 clientcert=verify-full',
];

describe('Postgres over TLS', () => {
  before(async () => {
    certificates = new TestCertificates();
    authority = certificates.authority('authority');
    stranger = certificates.authority('stranger');
    server = await startTestPostgres();
    const shown = authority.sign('server', ['DNS:localhost', 'DNS:db.example']);
    await set({ ...install(shown), ssl: 'on' });
    await withConnection(server.server.url, async (client) => {
      await client.query(`create role app login password ${client.escapeLiteral(PASSWORD)}`);
    });
    await allow(ANYHOW);
    warnings = [];
    process.on('warning', onWarning);
  });

  after(async () => {
    process.off('warning', onWarning);
    await server.stop();
    certificates.remove();
  });

  const good: readonly [string, () => Pick<PostgresPoolOptions, 'url' | 'tls'>, boolean][] = [
    ['nothing said', () => ({ url: at('localhost') }), false],
    ['sslmode=disable', () => ({ url: at('localhost', { sslmode: 'disable' }) }), false],
    [
      'verify-full with the CA',
      () => ({ url: at('localhost', { sslmode: 'verify-full', sslrootcert: authority.certFile }) }),
      true,
    ],
    [
      'the CA alone, which verifies',
      () => ({ url: at('localhost', { sslrootcert: authority.certFile }) }),
      true,
    ],
    [
      'verify-ca, by an address that the certificate does not hold',
      () => ({ url: at('127.0.0.1', { sslmode: 'verify-ca', sslrootcert: authority.certFile }) }),
      true,
    ],
    [
      'require with the CA, which is verify-ca',
      () => ({ url: at('127.0.0.1', { sslmode: 'require', sslrootcert: authority.certFile }) }),
      true,
    ],
    [
      'require without a CA, which verifies nothing',
      () => ({ url: at('127.0.0.1', { sslmode: 'require' }) }),
      true,
    ],
    ['no-verify', () => ({ url: at('127.0.0.1', { sslmode: 'no-verify' }) }), true],
    ['tls with the CA', () => ({ url: at('localhost'), tls: files({ caFile: authority.certFile }) }), true],
    [
      'tls with a name, by another host',
      () => ({ url: at('127.0.0.1'), tls: files({ caFile: authority.certFile, serverName: 'db.example' }) }),
      true,
    ],
    [
      'tls with a name, by another name',
      () => ({ url: at('localhost'), tls: files({ caFile: authority.certFile, serverName: 'db.example' }) }),
      true,
    ],
    [
      'TLS from the first byte',
      () => ({
        url: at('localhost', {
          sslmode: 'verify-full',
          sslrootcert: authority.certFile,
          sslnegotiation: 'direct',
        }),
      }),
      true,
    ],
  ];
  for (const [what, options, encrypted] of good) {
    test(`${what}: the connection is ${encrypted ? 'encrypted' : 'in clear'}`, async () => {
      assert.equal(await isEncrypted(options()), encrypted);
    });
  }

  const bad: readonly [string, () => Pick<PostgresPoolOptions, 'url' | 'tls'>, RegExp][] = [
    [
      'another CA',
      () => ({ url: at('localhost', { sslmode: 'verify-full', sslrootcert: stranger.certFile }) }),
      /not trusted.*sslrootcert/,
    ],
    [
      'another CA under verify-ca',
      () => ({ url: at('localhost', { sslmode: 'verify-ca', sslrootcert: stranger.certFile }) }),
      /not trusted/,
    ],
    [
      'another CA under require',
      () => ({ url: at('localhost', { sslmode: 'require', sslrootcert: stranger.certFile }) }),
      /not trusted/,
    ],
    ['no CA under verify-full', () => ({ url: at('localhost', { sslmode: 'verify-full' }) }), /not trusted/],
    [
      'a host that it does not hold',
      () => ({ url: at('127.0.0.1', { sslmode: 'verify-full', sslrootcert: authority.certFile }) }),
      /another host.*database\.tls\.server_name/,
    ],
    [
      'a name that it does not hold',
      () => ({
        url: at('localhost'),
        tls: files({ caFile: authority.certFile, serverName: 'other.example' }),
      }),
      /another host/,
    ],
    [
      'the public CAs',
      () => ({ url: at('localhost', { sslmode: 'require', sslrootcert: 'system' }) }),
      /not trusted/,
    ],
    ['sslmode=prefer', () => ({ url: at('localhost', { sslmode: 'prefer' }) }), /prefer.*in clear/],
    [
      'a CA that is not there',
      () => ({ url: at('localhost', { sslrootcert: '/absent.pem' }) }),
      /absent\.pem.*ENOENT/,
    ],
  ];
  for (const [what, options, text] of bad) {
    test(`${what} is a fault of the configuration`, async () => {
      await assert.rejects(isEncrypted(options()), saying('config_invalid', text));
    });
  }

  test('a server that takes no login in clear, or wants a client certificate, is told from a missing right', async () => {
    const caFile = authority.certFile;
    const login = /login.*pg_hba\.conf.*TLS.*28000/;
    await allow(ENCRYPTED_ONLY);
    await eventually(
      () => isEncrypted({ url: at('localhost') }).catch((error: unknown) => error),
      (answer) => answer instanceof PipelineError,
    );
    await assert.rejects(isEncrypted({ url: at('localhost') }), saying('permission_denied', login));
    assert.equal(await isEncrypted({ url: at('localhost'), tls: files({ caFile }) }), true);
    await allow(WITH_CERTIFICATE);
    await eventually(
      () => isEncrypted({ url: at('localhost'), tls: files({ caFile }) }).catch((error: unknown) => error),
      (answer) => answer instanceof PipelineError,
    );
    await assert.rejects(
      isEncrypted({ url: at('localhost'), tls: files({ caFile }) }),
      saying('permission_denied', login),
    );
    const own = authority.sign('client', [], 'app');
    assert.equal(await isEncrypted({ url: at('localhost'), tls: files({ caFile, ...own }) }), true);
    const { certFile: sslcert, keyFile: sslkey } = own;
    assert.equal(await isEncrypted({ url: at('localhost', { sslrootcert: caFile, sslcert, sslkey }) }), true);
    const foreign = stranger.sign('client', [], 'app');
    const refused = (error: unknown): boolean =>
      error instanceof PipelineError && ['config_invalid', 'postgres_unavailable'].includes(error.code);
    await assert.rejects(isEncrypted({ url: at('localhost'), tls: files({ caFile, ...foreign }) }), refused);
    await allow(ANYHOW);
  });

  test('a server without TLS is a fault of the configuration', async () => {
    await set({ ssl: 'off' });
    const encrypted = { url: at('localhost', { sslmode: 'verify-full', sslrootcert: authority.certFile }) };
    const answer = (): Promise<unknown> => isEncrypted(encrypted).catch((error: unknown) => error);
    await eventually(answer, (value) => value instanceof PipelineError);
    await assert.rejects(isEncrypted(encrypted), saying('config_invalid', /offers no TLS/));
    await set({ ssl: 'on' });
    await eventually(answer, (value) => value === true);
  });

  test('a queue there works over TLS, its notifications too, and refuses what does not verify', async () => {
    const tls = files({ caFile: authority.certFile });
    const place = { backend: 'postgres', prefix: 'integration' } as const;
    await migrateQueue({ ...place, url: server.server.url.replace('127.0.0.1', 'localhost'), tls });
    const open = (url: string, settings: TlsFiles) =>
      createBullQueue({
        ...place,
        url,
        tls: settings,
        name: 'transform.logins',
        codec: batchCodec,
        sealer: testSealer(),
        clock: systemClock,
        keepFailed: { count: 10, ageS: 60 },
      });
    const url = server.server.url.replace('127.0.0.1', 'localhost');
    const queue = open(url, tls);
    const seen = new Seen<string>();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    const batch = batchOf(['{}']);
    await queue.add(batch);
    await seen.take(1);
    const connections = await rowsOf(
      server.server.url,
      `select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name like '%transform.logins%'`,
    );
    assert.deepEqual(connections, [{ ssl: true }]);
    await queue.close();
    const wary = open(url, files({ caFile: stranger.certFile }));
    await assert.rejects(wary.add(batch), saying('config_invalid', /not trusted.*queue\.tls\.ca_file/));
    await wary.close();
  });

  test('a CA that is renewed on disk is taken up by the next connection, without a restart', async () => {
    const caFile = join(certificates.dir, 'trusted.pem');
    copyFileSync(stranger.certFile, caFile);
    const pool = createPool({ url: at('localhost'), tls: files({ caFile }), applicationName: 'test' });
    await assert.rejects(pool.query('select 1'), { code: 'config_invalid' });
    copyFileSync(authority.certFile, caFile);
    await pool.query('select 1');
    await pool.close();
  });

  test('the driver has printed no warning of its own', () => {
    assert.deepEqual(warnings, []);
  });
});
