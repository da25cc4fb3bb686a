import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { type ErrorCode, PipelineError } from '../../src/errors.js';
import { createKekFile, kekFromEnv, kekFromFile } from '../../src/masking/kek.js';
import { Keyring, loadKeyring, readKeyringFile, writeKeyring } from '../../src/masking/keyring.js';
import { createKeyring, parseKeyring } from '../../src/masking/keyring-file.js';
import { primaryMaster, testKek, testKekBase64, testKeyring, testMasters } from '../support/masking.js';
import { hkdfOracle, keyOracle, keyringOracle, openKeyringOracle } from '../support/oracle.js';

const dir = mkdtempSync(join(tmpdir(), 'maskline-keyring-'));
after(() => rmSync(dir, { recursive: true }));
let files = 0;
const newPath = (): string => join(dir, `file-${(files += 1)}`);

function assertRefused(run: () => unknown, code: ErrorCode, pattern: RegExp): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof PipelineError);
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  });
}

test('the oracle derives keys as RFC 5869 does', () => {
  // RFC 5869, test case 1.
  const okm = hkdfOracle(
    Buffer.from('000102030405060708090a0b0c', 'hex'),
    Buffer.alloc(22, 0x0b),
    Buffer.from('f0f1f2f3f4f5f6f7f8f9', 'hex'),
    42,
  );
  assert.equal(
    okm.toString('hex'),
    '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
  );
});

test('every derived key is the one that the page defines, for each method, domain and kid', () => {
  const keyring = testKeyring();
  for (const [kid, master] of testMasters) {
    for (const domain of ['ip', 'device_id', '', 'ключ', 'a'.repeat(300)]) {
      for (const [method, length] of [
        ['hmac', 32],
        ['siv', 64],
        ['seal', 32],
      ] as const) {
        const key = keyring.derive(method, domain, kid);
        assert.deepEqual(key.export(), keyOracle(master, method, domain, kid, length));
        assert.equal(keyring.derive(method, domain, kid), key, 'derived once');
      }
    }
  }
  assert.equal(keyring.primaryKid, 2);
  assert.deepEqual(keyring.kids(), [1, 2]);
});

test('a new keyring holds one primary key, wrapped as the page defines, and is never twice the same', () => {
  const file = createKeyring(testKek, Date.UTC(2026, 0, 2));
  assert.deepEqual(Object.keys(file), ['format', 'id', 'kek', 'keys']);
  assert.equal(file.format, 'maskline-keyring/1');
  assert.match(file.id, /^kr_[A-Za-z0-9_-]{16}$/);
  assert.equal(file.keys.length, 1);
  assert.equal(file.keys[0]?.created, '2026-01-02T00:00:00.000Z');
  const master = openKeyringOracle(JSON.stringify(file), testKekBase64).get(1);
  assert.equal(master?.length, 32);
  const keyring = new Keyring(file, testKek, 'new');
  assert.deepEqual(
    keyring.derive('siv', 'd', 1).export(),
    keyOracle(master ?? Buffer.alloc(0), 'siv', 'd', 1, 64),
  );
  assert.notEqual(createKeyring(testKek, 0).keys[0]?.kcv, file.keys[0]?.kcv);
});

test('a wrong KEK fails when the keyring is loaded, and says which key of which keyring in which file', () => {
  const path = newPath();
  writeKeyring(path, createKeyring(testKek, 0));
  const { id } = readKeyringFile(path);
  const other = kekFromEnv(Buffer.alloc(32, 1).toString('base64'));
  assertRefused(
    () => loadKeyring(path, other),
    'key_unavailable',
    new RegExp(`${path}.*key 1 .*${id}.*MASKLINE_KEK`),
  );
});

test('a key that was exchanged or altered in the file is refused', () => {
  const json = keyringOracle(testMasters, testKekBase64);
  const load = (text: string): Keyring => new Keyring(parseKeyring(text, 'ring'), testKek, 'ring');
  const file = JSON.parse(json) as { id: string; keys: { kid: number; wrapped: string; kcv: string }[] };
  const [first, second] = file.keys;
  assert.ok(first && second);
  const altered = (change: object): string => JSON.stringify({ ...file, ...change });
  const swapped = [{ ...first, wrapped: second.wrapped, kcv: second.kcv }, second];
  assertRefused(() => load(altered({ keys: swapped })), 'key_unavailable', /key 1 .*does not open/);
  assertRefused(() => load(altered({ id: 'kr_other' })), 'key_unavailable', /does not open/);
  const wrongCheck = [{ ...first, kcv: second.kcv }, second];
  assertRefused(() => load(altered({ keys: wrongCheck })), 'key_unavailable', /key 1 .*check value/);
  assert.deepEqual(load(json).kids(), [1, 2]);
});

test('unknown and destroyed kids are key_unavailable, by number', () => {
  const file = JSON.parse(keyringOracle(testMasters, testKekBase64)) as {
    keys: { state: string; wrapped: null }[];
  };
  const [first] = file.keys;
  assert.ok(first);
  Object.assign(first, { state: 'destroyed', wrapped: null });
  const keyring = new Keyring(parseKeyring(JSON.stringify(file), 'ring'), testKek, 'ring');
  assert.deepEqual(keyring.kids(), [2]);
  assertRefused(() => keyring.derive('siv', 'd', 1), 'key_unavailable', /key 1 was destroyed/);
  assertRefused(() => keyring.derive('siv', 'd', 7), 'key_unavailable', /key 7 is not in keyring kr_oracle/);
});

test('a file that is no keyring of this format is config_invalid, and is not quoted', () => {
  const good = JSON.parse(keyringOracle(testMasters, testKekBase64)) as { keys: object[] };
  const [first, second] = good.keys;
  const withKeys = (...keys: unknown[]): unknown => ({ ...good, keys });
  const bad: readonly unknown[] = [
    null,
    [],
    'text',
    {},
    { ...good, format: 'maskline-keyring/2' },
    { ...good, id: 'x' },
    { ...good, kek: null },
    { ...good, keys: {} },
    { ...good, overrides: {} },
    withKeys(),
    withKeys(first),
    withKeys(second, second),
    withKeys(first, { ...second, state: 'decrypt-only' }),
    withKeys({ ...first, state: 'primary' }, second),
    withKeys(first, { ...second, kid: 0 }),
    withKeys(first, { ...second, kid: 10_000 }),
    withKeys(first, { ...second, kid: '2' }),
    withKeys(first, { ...second, state: 'old' }),
    withKeys(first, { ...second, created: 'yesterday' }),
    withKeys(first, { ...second, wrapped: 'c2VjcmV0' }),
    withKeys(first, { ...second, wrapped: null }),
    withKeys({ ...first, state: 'destroyed' }, second),
    withKeys(first, { ...second, kcv: 'xyz' }),
    withKeys(first, { ...second, comment: 'hello' }),
  ];
  for (const value of bad) {
    assertRefused(() => parseKeyring(JSON.stringify(value), 'ring.json'), 'config_invalid', /^ring\.json: /);
  }
  assertRefused(() => parseKeyring('{"id": secret', 'ring.json'), 'config_invalid', /^(?!.*secret)/);
});

test('a keyring file is written once, for its owner only, and never over another', () => {
  const path = newPath();
  writeKeyring(path, createKeyring(testKek, 0));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const before = readFileSync(path);
  assertRefused(() => writeKeyring(path, createKeyring(testKek, 0)), 'usage', /exists/);
  assert.deepEqual(readFileSync(path), before);
  assert.equal(loadKeyring(path, testKek).primaryKid, 1);
});

test('a keyring that is not there is key_unavailable and says how one is made', () => {
  assertRefused(() => loadKeyring(newPath(), testKek), 'key_unavailable', /keys init/);
});

test('a KEK that is missing or not exactly 32 bytes of standard base64 is refused and not quoted', () => {
  const hint = /\nopenssl rand -base64 32/;
  for (const value of [null, '']) assertRefused(() => kekFromEnv(value), 'config_invalid', hint);
  const good = Buffer.alloc(32, 0xfb).toString('base64');
  const bad = [
    good.slice(0, -1),
    `${good} `,
    ` ${good}`,
    `${good}\n`,
    good.replaceAll('+', '-').replaceAll('/', '_'),
    Buffer.alloc(31).toString('base64'),
    Buffer.alloc(33).toString('base64'),
    Buffer.alloc(32).toString('hex'),
    'hunter2',
    `${good.slice(0, 42)}B=`,
  ];
  for (const value of bad) {
    assertRefused(() => kekFromEnv(value), 'config_invalid', hint);
    assert.throws(
      () => kekFromEnv(value),
      (error: Error) => !error.message.includes(value.trim()),
    );
  }
  assert.deepEqual(kekFromEnv(good).key.export(), Buffer.alloc(32, 0xfb));
});

test('a KEK file is made for its owner only, read back, and never written over', () => {
  const path = newPath();
  const kek = createKekFile(path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(kek.record.type, 'file');
  assert.ok(kekFromFile(path).key.equals(kek.key));
  const before = readFileSync(path);
  assertRefused(() => createKekFile(path), 'usage', /exists/);
  assert.deepEqual(readFileSync(path), before);
});

test('a KEK file that others may read, a link, a directory, a missing or a wrong one is refused', () => {
  const path = newPath();
  createKekFile(path);
  for (const mode of [0o640, 0o604, 0o620, 0o601]) {
    chmodSync(path, mode);
    assertRefused(() => kekFromFile(path), 'config_invalid', /chmod 600/);
  }
  chmodSync(path, 0o400);
  assert.equal(kekFromFile(path).record.type, 'file');
  const link = newPath();
  symlinkSync(path, link);
  assertRefused(() => kekFromFile(link), 'config_invalid', /symbolic link/);
  assertRefused(() => kekFromFile(dir), 'config_invalid', /not a regular file/);
  assertRefused(() => kekFromFile(newPath()), 'config_invalid', /\nopenssl rand -base64 32/);
  const wrong = newPath();
  writeFileSync(wrong, 'secret', { mode: 0o600 });
  assertRefused(() => kekFromFile(wrong), 'config_invalid', /^(?!.*secret).*not the standard base64/s);
  const long = newPath();
  writeFileSync(long, 'a'.repeat(2000), { mode: 0o600 });
  assertRefused(() => kekFromFile(long), 'config_invalid', /too long/);
});

test('the master key is not in the file in clear', () => {
  const json = keyringOracle(testMasters, testKekBase64);
  for (const spelling of ['base64', 'base64url', 'hex'] as const) {
    assert.ok(!json.includes(primaryMaster.toString(spelling)));
  }
});
