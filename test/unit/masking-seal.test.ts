import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PipelineError } from '../../src/errors.js';
import { PayloadSealer, open, seal } from '../../src/masking/seal.js';
import type { Sealer } from '../../src/queue/queue.js';
import { primaryMaster, testKeyring, testMasters } from '../support/masking.js';
import { openSealOracle } from '../support/oracle.js';

const keyring = testKeyring();
const hasCode = (code: string) => (error: unknown) => error instanceof PipelineError && error.code === code;

test('sealed bytes open by the definition of the page, under the key of their purpose', () => {
  for (const purpose of ['payload', 'quarantine', 'vault', 'redrive'] as const) {
    for (const plain of [Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(100_000, 7)]) {
      const { kid, sealed } = seal(keyring, purpose, 'transform.logins/42', plain);
      assert.equal(kid, 2);
      assert.equal(sealed.length, plain.length + 28);
      assert.deepEqual(openSealOracle(primaryMaster, kid, purpose, 'transform.logins/42', sealed), plain);
      assert.deepEqual(open(keyring, purpose, 'transform.logins/42', kid, sealed), plain);
    }
  }
});

test('the same bytes are never sealed alike', () => {
  const texts = Array.from({ length: 100 }, () =>
    seal(keyring, 'payload', 'id', Buffer.from('x')).sealed.toString('hex'),
  );
  assert.equal(new Set(texts).size, 100);
});

test('sealed bytes that were altered, cut or moved to another place, purpose or key are payload_corrupt', () => {
  const { kid, sealed } = seal(keyring, 'payload', 'place', Buffer.from('value'));
  const corrupt = hasCode('payload_corrupt');
  for (let bit = 0; bit < sealed.length * 8; bit += 1) {
    const altered = Buffer.from(sealed);
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.throws(() => open(keyring, 'payload', 'place', kid, altered), corrupt);
  }
  for (let length = 0; length < sealed.length; length += 1) {
    assert.throws(() => open(keyring, 'payload', 'place', kid, sealed.subarray(0, length)), corrupt);
  }
  assert.throws(() => open(keyring, 'payload', 'place2', kid, sealed), corrupt);
  assert.throws(() => open(keyring, 'quarantine', 'place', kid, sealed), corrupt);
  assert.throws(() => open(keyring, 'payload', 'place', 1, sealed), corrupt);
  assert.throws(() => open(keyring, 'payload', 'place', 3, sealed), hasCode('key_unavailable'));
});

test('what an earlier primary key sealed still opens', () => {
  const earlier = testKeyring(new Map([...testMasters].slice(0, 1)));
  const { kid, sealed } = seal(earlier, 'payload', 'id', Buffer.from('old'));
  assert.equal(kid, 1);
  assert.equal(open(keyring, 'payload', 'id', kid, sealed).toString(), 'old');
});

test('a queue seals and opens by the id alone', () => {
  const sealer: Sealer = new PayloadSealer(keyring);
  assert.equal(sealer.keyring, keyring.id);
  const { kid, sealed } = sealer.seal('load.logins/7', Buffer.from('rows'));
  assert.equal(sealer.open('load.logins/7', kid, sealed).toString(), 'rows');
  assert.throws(() => sealer.open('load.logins/8', kid, sealed), hasCode('payload_corrupt'));
});
