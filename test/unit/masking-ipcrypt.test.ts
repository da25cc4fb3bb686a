import assert from 'node:assert/strict';
import { createSecretKey, randomBytes } from 'node:crypto';
import { before, test } from 'node:test';
import sodium from 'libsodium-wrappers';

import { PipelineError } from '../../src/errors.js';
import { formatIp, writeIp } from '../../src/masking/ip.js';
import { type IpcryptCipher, ipcryptDet, ipcryptMask, ipcryptPfx } from '../../src/masking/ipcrypt.js';
import { noneNormalized } from '../../src/masking/refusal.js';
import { unmaskOf } from '../../src/masking/unmask.js';
import { primaryMaster, testKeyring } from '../support/masking.js';
import { keyOracle } from '../support/oracle.js';

const A = '0123456789abcdeffedcba9876543210';
const B = '1032547698badcfeefcdab8967452301';
const C = '2b7e151628aed2a6abf7158809cf4f3c';
const D = `${C}a9f5ba40db214c3798f2e1c23456789a`;

/** draft-denis-ipcrypt, test vectors: key, address, encrypted address. */
const deterministic = [
  [A, '0.0.0.0', 'bde9:6789:d353:824c:d7c6:f58a:6bd2:26eb'],
  [B, '255.255.255.255', 'aed2:92f6:ea23:58c3:48fd:8b8:74e8:45d8'],
  [C, '192.0.2.1', '1dbd:c1b9:fff1:7586:7d0b:67b4:e76e:4777'],
  [A, '2001:db8:85a3::8a2e:370:7334', '1eef:2352:64c8:18e6:6456:1373:f615:5032'],
  [B, '192.0.2.1', '7fde:a680:9546:ef2:d3c:7abb:1b38:2659'],
] as const;
const prefixPreserving = [
  [A + B, '0.0.0.0', '151.82.155.134'],
  [A + B, '255.255.255.255', '94.185.169.89'],
  [A + B, '192.0.2.1', '100.115.72.131'],
  [A + B, '2001:db8::1', 'c180:5dd4:2587:3524:30ab:fa65:6ab6:f88'],
  [D, '10.0.0.47', '19.214.210.244'],
  [D, '10.0.0.129', '19.214.210.80'],
  [D, '10.0.0.234', '19.214.210.30'],
  [D, '172.16.5.193', '210.78.229.136'],
  [D, '172.16.97.42', '210.78.179.241'],
  [D, '172.16.248.177', '210.78.121.215'],
  [D, '2001:db8::a5c9:4e2f:bb91:5a7d', '7cec:702c:1243:f70:1956:125:b9bd:1aba'],
  [D, '2001:db8::7234:d8f1:3c6e:9a52', '7cec:702c:1243:f70:a3ef:c8e:95c1:cd0d'],
  [D, '2001:db8::f1e0:937b:26d4:8c1a', '7cec:702c:1243:f70:443c:c8e:6a62:b64d'],
  [D, '2001:db8:3a5c:0:e7d1:4b9f:2c8a:f673', '7cec:702c:3503:bef:e616:96bd:be33:a9b9'],
  [D, '2001:db8:9f27:0:b4e2:7a3d:5f91:c8e6', '7cec:702c:a504:b74e:194a:3d90:b047:2d1a'],
  [D, '2001:db8:d8b4:0:193c:a5e7:8b2f:46d1', '7cec:702c:f840:aa67:1b8:e84f:ac9d:77fb'],
] as const;

const keyOf = (bytes: Uint8Array): ReturnType<typeof createSecretKey> => createSecretKey(bytes);
const bytesOf = (text: string): Buffer => {
  const bytes = Buffer.alloc(16);
  assert.ok(writeIp(text, bytes, 0));
  return bytes;
};

before(() => sodium.ready);

test("the draft's vectors of ipcrypt-deterministic and ipcrypt-pfx are met, in both directions", () => {
  const check = (cipher: IpcryptCipher, address: string, secret: string): void => {
    assert.equal(formatIp(cipher.encrypt(bytesOf(address))), secret);
    assert.equal(formatIp(cipher.decrypt(bytesOf(secret))), address);
  };
  for (const [key, address, secret] of deterministic)
    check(ipcryptDet(keyOf(Buffer.from(key, 'hex'))), address, secret);
  for (const [key, address, secret] of prefixPreserving)
    check(ipcryptPfx(keyOf(Buffer.from(key, 'hex'))), address, secret);
});

test('a column of addresses of both families is encrypted as libsodium encrypts each, and decrypted to itself', () => {
  for (let round = 0; round < 4; round += 1) {
    // More than one chunk of each family.
    const count = 2500;
    const addresses = randomBytes(count * 16);
    for (let i = 0; i < count; i += 2) bytesOf('::ffff:0.0.0.0').copy(addresses, i * 16, 0, 12);
    const det = randomBytes(16);
    const pfx = randomBytes(32);
    for (const [cipher, expected] of [
      [ipcryptDet(keyOf(det)), (one: Uint8Array) => sodium.crypto_ipcrypt_encrypt(one, det)],
      [ipcryptPfx(keyOf(pfx)), (one: Uint8Array) => sodium.crypto_ipcrypt_pfx_encrypt(one, pfx)],
    ] as const) {
      const secret = cipher.encrypt(addresses);
      for (let i = 0; i < count; i += 1) {
        const at = i * 16;
        assert.deepEqual(
          secret.subarray(at, at + 16).toString('hex'),
          Buffer.from(expected(addresses.subarray(at, at + 16))).toString('hex'),
        );
      }
      assert.ok(cipher.decrypt(secret).equals(addresses));
    }
  }
});

test('a key of two equal halves is refused, as it would encrypt nothing', () => {
  assert.throws(
    () => ipcryptPfx(keyOf(Buffer.from(A + A, 'hex'))),
    (error) => error instanceof PipelineError && error.code === 'key_unavailable',
  );
});

test('a column is masked under the key of its method, domain and key id, printed as RFC 5952, and unmasked again', () => {
  const keyring = testKeyring();
  for (const [method, length] of [
    ['ipcrypt-det', 16],
    ['ipcrypt-pfx', 32],
  ] as const) {
    const mask = { method, domain: 'ip' } as const;
    const key = keyOracle(primaryMaster, method, 'ip', 2, length);
    const encrypt =
      method === 'ipcrypt-det' ? sodium.crypto_ipcrypt_encrypt : sodium.crypto_ipcrypt_pfx_encrypt;
    const expected = formatIp(encrypt(bytesOf('192.0.2.1'), key));
    const cells = ipcryptMask(mask, keyring)(
      [' 192.0.2.1', '::FFFF:c000:201', 'x', 7, '', '192.0.2.1/32', '2001:DB8::1'],
      noneNormalized(),
    );
    assert.deepEqual(cells.slice(0, 6), [
      expected,
      expected,
      { refused: 'bad_ip' },
      { refused: 'wrong_type' },
      '\\N',
      { refused: 'bad_ip' },
    ]);
    const last = cells[6];
    assert.ok(typeof last === 'string');
    const stored = [expected, 'no address', last];
    assert.deepEqual(unmaskOf(mask, keyring, 2)?.(stored), ['192.0.2.1', null, '2001:db8::1']);
  }
});
