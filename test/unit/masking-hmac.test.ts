import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';
import { packBytes, valueAt } from '../../src/masking/column.js';
import { hmacColumn } from '../../src/masking/tokenize.js';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const LONG_KEY = Buffer.alloc(131, 0xaa);

/** RFC 4231, sections 4.2 to 4.8: key, data, and the first 128 bits of HMAC-SHA-256. */
const rfc4231 = [
  [Buffer.alloc(20, 0x0b), Buffer.from('Hi There'), 'b0344c61d8db38535ca8afceaf0bf12b'],
  [Buffer.from('Jefe'), Buffer.from('what do ya want for nothing?'), '5bdcc146bf60754e6a042426089575c7'],
  [Buffer.alloc(20, 0xaa), Buffer.alloc(50, 0xdd), '773ea91e36800e46854db8ebd09181a7'],
  [
    hex('0102030405060708090a0b0c0d0e0f10111213141516171819'),
    Buffer.alloc(50, 0xcd),
    '82558a389a443c0ea4cc819899f2083a',
  ],
  [Buffer.alloc(20, 0x0c), Buffer.from('Test With Truncation'), 'a3b6167473100ee06e0c796c2955552b'],
  [
    LONG_KEY,
    Buffer.from('Test Using Larger Than Block-Size Key - Hash Key First'),
    '60e431591ee0b67f0d8a26aacbf5b77f',
  ],
  [
    LONG_KEY,
    Buffer.from(
      'This is a test using a larger than block-size key and a larger than block-size data. ' +
        'The key needs to be hashed before being used by the HMAC algorithm.',
    ),
    '9b09ffa71b942fcb27635fbcd5b0e944',
  ],
] as const;

test('the examples of RFC 4231 come out to the byte, alone and twice in a column with others', () => {
  for (const [key, data, expected] of rfc4231) {
    const column = packBytes([Buffer.from('another'), data, Buffer.alloc(0), data]);
    const out = hmacColumn(createSecretKey(key), column);
    assert.equal(valueAt(out, 1).toString('hex'), expected);
    assert.equal(valueAt(out, 3).toString('hex'), expected);
    assert.notEqual(valueAt(out, 0).toString('hex'), expected);
  }
});
