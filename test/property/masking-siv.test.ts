import assert from 'node:assert/strict';
import { createHash, createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { aessiv } from '@noble/ciphers/aes.js';

import { packBytes, valueAt } from '../../src/masking/column.js';
import { Siv } from '../../src/masking/siv.js';

const KEYS = 100;
const VALUES_OF_EACH = 1000;

/** Bytes that a seed determines: SHA-256 in counter mode. */
function bytesFrom(seed: string): (count: number) => Buffer {
  let pool = Buffer.alloc(0);
  let block = 0;
  return (count) => {
    const chunks = [pool];
    for (let have = pool.length; have < count; have += 32) {
      chunks.push(createHash('sha256').update(`${seed}/${block}`).digest());
      block += 1;
    }
    const all = Buffer.concat(chunks);
    pool = all.subarray(count);
    return all.subarray(0, count);
  };
}

test('100,000 values in columns of mixed lengths are sealed as another implementation seals them', (context) => {
  const seed = process.env['MASKLINE_TEST_SEED'] ?? String(Date.now());
  context.diagnostic(`seed ${seed} (MASKLINE_TEST_SEED)`);
  const next = bytesFrom(seed);
  for (let k = 0; k < KEYS; k += 1) {
    const key = Buffer.from(next(64));
    const data = Buffer.from(next((next(1)[0] ?? 0) % 40));
    // Mostly short values, as identifiers are; now and then some blocks.
    const lengths = Array.from(next(VALUES_OF_EACH), (byte) => (byte < 200 ? byte % 21 : byte - 190));
    const values = lengths.map((length) => Buffer.from(next(length)));
    const siv = new Siv(createSecretKey(key), [data]);
    const sealed = siv.seal(packBytes(values));
    for (const [i, value] of values.entries()) {
      const expected = aessiv(key, data).encrypt(value);
      assert.ok(
        valueAt(sealed, i).equals(expected),
        `key ${k}, value ${i} of ${value.length} bytes, seed ${seed}`,
      );
    }
    assert.deepEqual(siv.open(sealed), values);
  }
});
