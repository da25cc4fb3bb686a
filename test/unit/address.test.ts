import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parsePostgresUrl } from '../../src/address/postgres-url.js';
import { parseRedisUrl } from '../../src/address/redis-url.js';
import { tlsFailure } from '../../src/address/tls-failure.js';
import type { TlsFiles } from '../../src/address/tls.js';
import { PipelineError } from '../../src/errors.js';

const SECRET = 's3cr3t';
const BASE = `postgres://app:${SECRET}@db:5432/app`;

const files = (given: Partial<TlsFiles>): TlsFiles => ({
  caFile: null,
  certFile: null,
  keyFile: null,
  serverName: null,
  ...given,
});

function refusal(work: () => unknown): PipelineError {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof PipelineError);
    assert.equal(error.code, 'config_invalid');
    assert.ok(!error.message.includes(SECRET), error.message);
    return error;
  }
  throw new assert.AssertionError({ message: 'it was not refused' });
}

describe('a Postgres URL', () => {
  // After table 32.1 of the PostgreSQL documentation, but for what could fall back on a connection in clear.
  const modes: readonly (readonly [string, TlsFiles | null, string | false | null])[] = [
    ['', null, null],
    ['?sslmode=disable', null, false],
    ['?ssl=false', null, false],
    ['?sslmode=require', null, 'none'],
    ['?sslmode=no-verify', null, 'none'],
    ['?sslmode=require&sslrootcert=/ca.pem', null, 'ca'],
    ['?sslmode=require&sslrootcert=system', null, 'full'],
    ['?sslmode=verify-ca&sslrootcert=/ca.pem', null, 'ca'],
    ['?sslmode=verify-full', null, 'full'],
    ['?sslmode=verify-full&sslrootcert=/ca.pem', null, 'full'],
    ['?sslrootcert=/ca.pem', null, 'full'],
    ['?ssl=true', null, 'full'],
    ['', files({ caFile: '/ca.pem' }), 'full'],
    ['?sslmode=require', files({ caFile: '/ca.pem' }), 'full'],
    ['?sslmode=verify-ca', files({ caFile: '/ca.pem' }), 'ca'],
    ['?sslmode=verify-full', files({ serverName: 'db' }), 'full'],
  ];
  for (const [query, tls, verification] of modes) {
    test(`${query || 'without a mode'}${tls ? ', with tls' : ''}: ${String(verification)}`, () => {
      const address = parsePostgresUrl(`${BASE}${query}`, tls);
      const found = address.tls && address.tls.verification;
      assert.equal(found, verification);
      assert.equal(address.url, BASE);
      assert.equal(address.warnings.length, verification === 'none' ? 1 : 0);
    });
  }

  const refused: readonly (readonly [string, TlsFiles | null, RegExp])[] = [
    ['?sslmode=prefer', null, /sslmode=prefer.*in clear/],
    ['?sslmode=allow', null, /sslmode=allow.*in clear/],
    ['?sslmode=verify-ca', null, /authority of your own/],
    ['?sslmode=verify-ca&sslrootcert=system', null, /authority of your own/],
    ['?sslmode=verify_full', null, /none that there is/],
    ['?ssl=maybe', null, /none that there is/],
    ['?sslmode=disable', files({ caFile: '/ca.pem' }), /contradicts/],
    ['?sslmode=no-verify', files({ caFile: '/ca.pem' }), /contradicts/],
    ['?sslrootcert=/a.pem', files({ caFile: '/b.pem' }), /both given/],
    ['?sslmode=verify-full&sslcrl=/crl.pem', null, /sslcrl.*not supported/],
    ['?sslmode=verify-full&sslpassword=x', null, /sslpassword.*not supported/],
    ['?sslnegotiation=direct', null, /needs TLS/],
    ['?sslnegotiation=later&sslmode=verify-full', null, /postgres or direct/],
  ];
  for (const [query, tls, message] of refused) {
    test(`${query}${tls ? ', with tls' : ''} is refused, and says why`, () => {
      assert.match(refusal(() => parsePostgresUrl(`${BASE}${query}`, tls)).message, message);
    });
  }

  test('its other parameters stay as they are, those of TLS go', () => {
    const { url, tls, direct } = parsePostgresUrl(
      `${BASE}?application_name=a%20b&sslmode=verify-full&sslcert=/c.pem&sslkey=/k.pem&sslnegotiation=direct&options=-c%20a%3Db`,
    );
    const parameters = Object.fromEntries(new URL(url).searchParams);
    assert.deepEqual(parameters, { application_name: 'a b', options: '-c a=b' });
    assert.deepEqual(tls, { ...files({ certFile: '/c.pem', keyFile: '/k.pem' }), verification: 'full' });
    assert.equal(direct, true);
    const untouched = `${BASE}?options=-c%20a%3Db`;
    assert.equal(parsePostgresUrl(untouched).url, untouched);
  });

  test('what is no such URL is refused without being quoted', () => {
    for (const url of [`mysql://u:${SECRET}@h/d`, `postgres://u:${SECRET}@[h/d`, SECRET]) {
      assert.match(refusal(() => parsePostgresUrl(url)).message, /cannot be read/);
    }
  });
});

describe('a Redis URL', () => {
  const plain = {
    host: 'h',
    port: 6379,
    username: null,
    password: null,
    db: 0,
    family: 0,
    isEncrypted: false,
  };
  const urls: readonly (readonly [string, object])[] = [
    ['redis://h', {}],
    ['redis://h:6380/3', { port: 6380, db: 3 }],
    ['redis://h?db=4&family=6', { db: 4, family: 6 }],
    ['rediss://:p%3Aw%40%2F%23%3F%25%20%C3%A9@h', { password: 'p:w@/#?% é', isEncrypted: true }],
    ['redis://user@h', { username: 'user' }],
    ['redis://us%2Fer:x@h/', { username: 'us/er', password: 'x' }],
    ['redis://[::1]:7000', { host: '::1', port: 7000 }],
    ['REDISS://h', { isEncrypted: true }],
  ];
  for (const [url, parts] of urls) {
    test(`${url} is taken apart`, () => assert.deepEqual(parseRedisUrl(url), { ...plain, ...parts }));
  }

  for (const url of [
    `redis://:${SECRET}%@h`,
    `redis://:${SECRET}@h/first`,
    `redis://:${SECRET}@h?ssl_cert_reqs=none`,
    `http://:${SECRET}@h`,
    `redis://:${SECRET}@h:port`,
  ]) {
    test(`${url.replace(SECRET, '…')} is refused without being quoted`, () => {
      assert.match(refusal(() => parseRedisUrl(url)).message, /^the Redis URL cannot be read: /);
    });
  }
});

describe('an error of TLS', () => {
  const places = { ca: 'CA', serverName: 'NAME', client: 'CLIENT', without: 'WITHOUT' };
  const lasting: readonly (readonly [string, RegExp])[] = [
    ['ERR_TLS_CERT_ALTNAME_INVALID', /another host.*NAME/],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', /not trusted.*CA/],
    ['SELF_SIGNED_CERT_IN_CHAIN', /not trusted.*CA/],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', /not trusted.*CA/],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', /not trusted.*CA/],
    ['CERT_HAS_EXPIRED', /renew/],
    ['CERT_NOT_YET_VALID', /renew/],
    ['ERR_SSL_WRONG_VERSION_NUMBER', /does not speak TLS.*WITHOUT/],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', /CLIENT/],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', /CLIENT/],
    ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', /CLIENT/],
    ['ERR_OSSL_X509_KEY_VALUES_MISMATCH', /CLIENT/],
    ['ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE', /TLS 1\.2/],
    ['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', /TLS 1\.2/],
  ];
  for (const [code, says] of lasting) {
    test(`${code} is a fault of the set-up, and says what to do`, () => {
      assert.match(tlsFailure(code, places) ?? '', says);
    });
  }

  for (const code of [
    'ECONNRESET',
    'ECONNREFUSED',
    'ERR_TLS_HANDSHAKE_TIMEOUT',
    'ERR_SSL_BAD_RECORD_MAC',
    '57P01',
    'EPROTO',
  ]) {
    test(`${code} may pass`, () => assert.equal(tlsFailure(code, places), null));
  }
});
