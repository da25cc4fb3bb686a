import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { type Clock, systemClock } from '../../src/clock.js';
import { type ErrorCode, PipelineError } from '../../src/errors.js';
import { takePlaintext } from '../../src/masking/kek-kms-answer.js';
import { createKekFile, kekFromEnv } from '../../src/masking/kek.js';
import { addKey, destroyKey, promoteKey, rewrapKeys } from '../../src/masking/keyring-change.js';
import { type KeyringFile, createKeyring } from '../../src/masking/keyring-file.js';
import { changeKeyring } from '../../src/masking/keyring-store.js';
import { type Keyring, loadKeyring, readKeyringFile, writeKeyring } from '../../src/masking/keyring.js';
import { compileMasker } from '../../src/masking/mask.js';
import { batchOf, column, decodeCopy, policyOf, token } from '../support/masking.js';
import { openKeyringOracle } from '../support/oracle.js';

const WRITER = fileURLToPath(new URL('../support/keyring-writer.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'maskline-keyring-change-'));
after(() => rmSync(dir, { recursive: true }));
let places = 0;

/** A keyring and its KEK in a directory of their own. */
function place() {
  places += 1;
  const own = mkdtempSync(join(dir, `${places}-`));
  const path = join(own, 'ring.json');
  const kekFile = join(own, 'kek');
  const kek = createKekFile(kekFile);
  writeKeyring(path, createKeyring(kek, 0));
  const masters = (): Map<number, Buffer> =>
    openKeyringOracle(readFileSync(path, 'utf8'), readFileSync(kekFile, 'utf8').trim());
  return { own, path, kekFile, kek, masters };
}

const states = ({ keys }: KeyringFile): unknown => keys.map(({ kid, state }) => [kid, state]);

function assertRefused(run: () => unknown, code: ErrorCode, pattern: RegExp): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof PipelineError);
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  });
}

describe('a change of the keyring', () => {
  test('adds keys that open only, promotes one of them, and destroys one for ever', () => {
    const { path, kek, masters } = place();
    const change = (make: Parameters<typeof changeKeyring>[0]['change']): KeyringFile =>
      changeKeyring({ path, kek, change: make });
    const first = masters().get(1);
    change((open) => addKey(open, 0));
    change((open) => addKey(open, 0));
    assert.deepEqual(states(readKeyringFile(path)), [
      [1, 'primary'],
      [2, 'decrypt-only'],
      [3, 'decrypt-only'],
    ]);
    change((open) => promoteKey(open, 3));
    assert.equal(loadKeyring(path, kek).primaryKid, 3);
    assert.deepEqual([...masters().keys()], [1, 2, 3]);
    assert.deepEqual(masters().get(1), first, 'the keys themselves stay');
    const before = readFileSync(path);
    assertRefused(() => change((open) => destroyKey(open, 3)), 'usage', /key 3 .* is the primary/);
    assertRefused(() => change((open) => promoteKey(open, 9)), 'usage', /no key 9 .*it has 1, 2, 3/);
    assert.deepEqual(readFileSync(path), before);
    change((open) => destroyKey(open, 1));
    assert.deepEqual(states(readKeyringFile(path)), [
      [1, 'destroyed'],
      [2, 'decrypt-only'],
      [3, 'primary'],
    ]);
    assert.deepEqual([...masters().keys()], [2, 3]);
    assertRefused(() => change((open) => destroyKey(open, 1)), 'usage', /was destroyed before/);
    assertRefused(() => change((open) => promoteKey(open, 1)), 'usage', /was destroyed: promote another/);
    assert.equal(change((open) => addKey(open, 0)).keys.at(-1)?.kid, 4, 'a kid never names a second key');
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  test('wraps the same keys with another KEK, and the one of before opens them no longer', () => {
    const { path, kek, masters } = place();
    changeKeyring({ path, kek, change: (open) => addKey(open, 0) });
    const before = masters();
    const other = Buffer.alloc(32, 7).toString('base64');
    const newKek = kekFromEnv(other, 'MASKLINE_NEW_KEK');
    changeKeyring({ path, kek, newKek, change: (open) => rewrapKeys(open, newKek) });
    assert.deepEqual(openKeyringOracle(readFileSync(path, 'utf8'), other), before);
    assertRefused(() => loadKeyring(path, kek), 'key_unavailable', /does not open with the KEK file/);
    assert.equal(readKeyringFile(path).kek.type, 'env');
  });

  test('touches nothing with a wrong KEK, and nothing that does not read back as it should', () => {
    const { own, path, kek } = place();
    const before = readFileSync(path);
    const wrong = kekFromEnv(Buffer.alloc(32, 1).toString('base64'));
    assertRefused(
      () => changeKeyring({ path, kek: wrong, change: (open) => addKey(open, 0) }),
      'key_unavailable',
      /key 1 .*does not open/,
    );
    // As a change would that loses a key on its way.
    assertRefused(
      () => changeKeyring({ path, kek, newKek: wrong, change: (open) => addKey(open, 0) }),
      'key_unavailable',
      /does not open/,
    );
    assertRefused(
      () =>
        changeKeyring({
          path,
          kek,
          change: () => createKeyring(kek, 0) && { ...createKeyring(kek, 0), keys: [] },
        }),
      'config_invalid',
      /0 keys are primary/,
    );
    assert.deepEqual(readFileSync(path), before);
    assert.deepEqual(
      readdirSync(own).filter((name) => name.endsWith('.lock')),
      [],
    );
  });

  test('is made by one process at a time', () => {
    const { path, kek } = place();
    changeKeyring({
      path,
      kek,
      change: (open) => {
        assertRefused(
          () => changeKeyring({ path, kek, change: (again) => addKey(again, 0) }),
          'usage',
          /ring\.json\.lock is there.*remove that file/,
        );
        return addKey(open, 0);
      },
    });
    assert.deepEqual(states(readKeyringFile(path)), [
      [1, 'primary'],
      [2, 'decrypt-only'],
    ]);
  });

  test('of a link changes what the link leads to', () => {
    const { own, path, kek } = place();
    const link = join(own, 'link.json');
    symlinkSync(path, link);
    changeKeyring({ path: link, kek, change: (open) => addKey(open, 0) });
    assert.equal(readKeyringFile(path).keys.length, 2);
  });

  for (const [step, keys] of [
    ['locked', 1],
    ['written', 1],
    ['verified', 1],
    ['renamed', 2],
  ] as const) {
    test(`that is killed once it is ${step} leaves the old file or the new one, whole, and can be made again`, () => {
      const { path, kekFile, kek } = place();
      const { signal, stderr } = spawnSync(process.execPath, [WRITER, path, kekFile, step], {
        encoding: 'utf8',
      });
      assert.equal(signal, 'SIGKILL', stderr);
      assert.equal(loadKeyring(path, kek).kids().length, keys);
      assertRefused(
        () => changeKeyring({ path, kek, change: (open) => addKey(open, 0) }),
        'usage',
        /was killed/,
      );
      rmSync(`${path}.lock`);
      changeKeyring({ path, kek, change: (open) => addKey(open, 0) });
      assert.equal(loadKeyring(path, kek).kids().length, keys + 1);
    });
  }

  test('is never begun on a file that a newer version has written', () => {
    const { path, kek } = place();
    writeFileSync(path, JSON.stringify({ ...readKeyringFile(path), format: 'maskline-keyring/2' }));
    assertRefused(
      () => changeKeyring({ path, kek, change: (open) => addKey(open, 0) }),
      'config_invalid',
      /format/,
    );
  });
});

test('two deployments with one keyring give the same tokens, and one with another gives none of them', () => {
  const { path, kek } = place();
  const other = place();
  const clock: Clock = systemClock;
  const policy = policyOf([
    column('ip', { mask: token('siv', { domain: 'ip', as: 'ip' }) }),
    column('id', { mask: token('hmac') }),
    column('account', {
      mask: { method: 'ff1', domain: 'a', template: [{ least: 9, most: 9 }], alphabet: '0123456789' },
    }),
    column('net', { mask: { method: 'ipcrypt-det', domain: 'net' } }),
  ]);
  const bodies = Array.from({ length: 50 }, (_, i) =>
    JSON.stringify({
      ip: `10.0.0.${i}`,
      id: `id-${i}`,
      account: String(100_000_000 + i),
      net: `10.1.0.${i}`,
    }),
  );
  const masked = (keyring: Keyring): readonly string[] =>
    decodeCopy(compileMasker(policy, keyring, clock).mask(batchOf(bodies)).masked.rows)
      .flat()
      .filter((cell) => cell !== null);
  const tokens = masked(loadKeyring(path, kek));
  assert.equal(tokens.length, 200);
  assert.deepEqual(masked(loadKeyring(path, kek)), tokens);
  const others = new Set(masked(loadKeyring(other.path, other.kek)));
  assert.deepEqual(
    tokens.filter((each) => others.has(each)),
    [],
  );
});

test('the key in an answer of KMS is taken out as bytes, in pieces or whole, and zeros are left for the SDK', async () => {
  const plain = Buffer.from('000102030405060708090a0b0c0d0e0ff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 'hex');
  for (const separator of [':', ' : ']) {
    const answer = `{"KeyId":"arn","Plaintext"${separator}"${plain.toString('base64')}","CiphertextBlob":"QUJD"}`;
    for (const size of [1, 7, answer.length]) {
      const pieces = Array.from({ length: Math.ceil(answer.length / size) }, (_, i) =>
        Buffer.from(answer.slice(i * size, (i + 1) * size)),
      );
      const response = { body: Readable.from(pieces) };
      const key = await takePlaintext(response);
      assert.deepEqual(key?.export(), plain);
      assert.ok(
        pieces.every((piece) => piece.every((byte) => byte === 0)),
        'the pieces are wiped',
      );
      const left = JSON.parse((await response.body.toArray()).join('')) as Readonly<{
        [name: string]: string;
      }>;
      assert.deepEqual(Buffer.from(left['Plaintext'] ?? '', 'base64'), Buffer.alloc(33), 'only zeros');
      assert.equal(left['CiphertextBlob'], 'QUJD');
    }
  }
  for (const none of ['{"KeyId":"arn"}', '', '{"Plaintext":"', '{"Plaintext":"*"}']) {
    assert.equal(await takePlaintext({ body: Readable.from([Buffer.from(none)]) }), null);
  }
});
