import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PipelineError } from '../../src/errors.js';
import { packBytes, padColumn, unpad, valueAt } from '../../src/masking/column.js';
import { type TokenMask, tokenLength } from '../../src/masking/methods.js';
import { openToken, parseToken, tokenPattern } from '../../src/masking/token.js';
import { tokenMask } from '../../src/masking/tokenize.js';
import { column, primaryMaster, testKeyring, testMasters, token } from '../support/masking.js';
import { masterFor, tokenOracle } from '../support/oracle.js';

const keyring = testKeyring();
const maskAll = (mask: TokenMask, values: readonly string[], ring = keyring): readonly unknown[] =>
  tokenMask(column('c'), mask, ring)(values, { trimmed: 0, empty_to_null: 0, sentinel_to_null: 0 });
const maskOne = (mask: TokenMask, value: string): string => String(maskAll(mask, [value])[0]);

/** Every combination of options, with values that suit it. */
const cases = (['siv', 'hmac'] as const).flatMap((method) =>
  ([null, 16, 32, 64] as const).flatMap((pad) => [
    ...[false, true].map((lower) => ({
      mask: token(method, { pad, lower, domain: 'device_id' }),
      values: [
        '593-47-5928',
        'a',
        'Äé 日本 😀',
        ' trimmed\n',
        'Cafe\u0301',
        'x'.repeat(15),
        'x'.repeat(16),
        'X'.repeat(171),
      ],
    })),
    {
      mask: token(method, { pad, as: 'ip', domain: 'ip' }),
      values: ['199.172.111.135', '::ffff:1.2.3.4', ' 2001:DB8::1 ', '::1.2.3.4', '0.0.0.0', 'fe80::1'],
    },
  ]),
);

test('every token is the one that the page defines, for each method and option', () => {
  for (const { mask, values } of cases) {
    const expected = values.map((value) =>
      tokenOracle(primaryMaster, 2, mask.method, mask.domain, mask.as, value, mask),
    );
    assert.deepEqual(maskAll(mask, values), expected, JSON.stringify(mask));
  }
});

test('tokens of a fixed key never change', () => {
  // Computed with a third implementation (OpenSSL's own AES-SIV and HKDF, by way of Python) from the page.
  const master = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
  const ring = testKeyring(new Map([[1, master]]));
  const known: readonly (readonly [TokenMask, string, string])[] = [
    [
      token('siv', { domain: 'ip', as: 'ip' }),
      '199.172.111.135',
      's1.8KpPKnUD4DmQWllFORpO0i1vslHLYa1OtDf0iDxAwio',
    ],
    [token('siv', { domain: 'device_id' }), '593-47-5928', 's1.zwU5IvkY69GKSY1bU5_3UDEKDEatOD5m8KHG'],
    [
      token('siv', { domain: 'device_id', pad: 32 }),
      '593-47-5928',
      's1.yxGLNZHCg17vFTGVWI-OjG1g5TwncOSQtrrMUgGO0_6huW_FAqIwPTduC-is4NFv',
    ],
    [token('hmac', { domain: 'ip', as: 'ip' }), '2001:DB8::1', 'h1.uTgVLusJsuIk0z4YrNFuPQ'],
    [
      token('hmac', { domain: 'email', lower: true }),
      ' Cafe\u0301@Example.com ',
      'h1.M35DTsvUCMZRqe6L-QnC1w',
    ],
  ];
  for (const [mask, value, expected] of known) {
    assert.deepEqual(maskAll(mask, [value], ring), [expected]);
    assert.equal(tokenOracle(master, 1, mask.method, mask.domain, mask.as, value, mask), expected);
  }
});

test('a token has the form and the length that are announced', () => {
  for (const { mask, values } of cases) {
    for (const value of values) {
      const text = maskOne(mask, value);
      assert.match(text, tokenPattern);
      const canonical = value.trim().normalize('NFC');
      assert.equal(
        text.length,
        tokenLength(mask, 2, Buffer.byteLength(canonical)),
        `${mask.method} ${value}`,
      );
    }
  }
  assert.equal(tokenLength(token('hmac'), 1, 1000), 25);
  assert.equal(tokenLength(token('siv', { as: 'ip' }), 1, 1000), 46);
  assert.equal(tokenLength(token('siv'), 1, 11), 39);
  assert.equal(tokenLength(token('siv'), 9999, 171), 256);
});

test('equal values give equal tokens within a domain, and unequal ones between domains, methods and keys', () => {
  const first = testKeyring(new Map([...testMasters].slice(0, 1)));
  const tokens = [
    ...maskAll(token('siv'), ['value', ' value ', 'value']),
    ...maskAll(token('siv', { domain: 'other' }), ['value']),
    ...maskAll(token('hmac'), ['value', ' value ', 'value']),
    ...maskAll(token('hmac', { domain: 'other' }), ['value']),
    ...maskAll(token('siv'), ['value'], first),
    ...maskAll(token('hmac'), ['value'], first),
  ];
  assert.equal(new Set(tokens.slice(0, 3)).size, 1);
  assert.equal(new Set(tokens.slice(4, 7)).size, 1);
  assert.equal(new Set(tokens).size, 6);
});

test('a siv token gives its value back in canonical form, also when another key is primary by now', () => {
  for (const { mask, values } of cases.filter((one) => one.mask.method === 'siv' && !one.mask.lower)) {
    for (const value of values) {
      const opened = openToken(keyring, mask, maskOne(mask, value)) ?? '';
      const canonical = value
        .trim()
        .normalize('NFC')
        .replace('::ffff:1.2.3.4', '1.2.3.4')
        .replace('::1.2.3.4', '::102:304');
      assert.equal(opened, mask.as === 'ip' ? canonical.toLowerCase() : canonical);
      assert.equal(maskOne(mask, opened), maskOne(mask, value));
    }
  }
  const earlier = tokenOracle(masterFor('first'), 1, 'siv', 'd', 'text', 'old value') ?? '';
  assert.equal(openToken(keyring, token('siv'), earlier), 'old value');
});

test('a token that was altered in any bit or character does not open', () => {
  const mask = token('siv');
  // 26 bytes, so that the last character has bits to spare.
  const good = maskOne(mask, '593-47-592');
  assert.equal(openToken(keyring, mask, good), '593-47-592');
  const body = Buffer.from(good.slice(3), 'base64url');
  for (let bit = 0; bit < body.length * 8; bit += 1) {
    const altered = Buffer.from(body);
    altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(openToken(keyring, mask, `s2.${altered.toString('base64url')}`), null);
  }
  // Another spelling of the same bytes is no token either.
  for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ ') {
    for (let i = 0; i < good.length; i += 1) {
      const altered = good.slice(0, i) + character + good.slice(i + 1);
      if (altered === good || !altered.startsWith('s2.')) continue;
      assert.equal(openToken(keyring, mask, altered), null, altered);
    }
  }
});

test('what is no token, of another mask or of another method does not open; an unknown key is said so', () => {
  const mask = token('siv', { domain: 'a' });
  const good = maskOne(mask, 'value of a mask');
  for (const text of [
    '',
    's2.',
    'value',
    good.slice(1),
    ` ${good}`,
    `${good}\n`,
    `${good}=`,
    good.replace('s2', 's02'),
  ]) {
    assert.equal(openToken(keyring, mask, text), null, text);
  }
  assert.equal(openToken(keyring, { ...mask, domain: 'b' }, good), null);
  assert.equal(openToken(keyring, { ...mask, pad: 16 }, good), null);
  assert.equal(openToken(keyring, { ...mask, as: 'ip' }, good), null);
  assert.equal(openToken(keyring, mask, maskOne({ ...mask, pad: 32 }, 'x')), null);
  assert.equal(openToken(keyring, mask, maskOne({ ...mask, as: 'ip' }, '::1')), null);
  assert.equal(openToken(keyring, mask, good.replace('s2.', 's1.')), null);
  assert.equal(openToken(keyring, mask, maskOne({ ...mask, method: 'hmac' }, 'x')), null);
  assert.throws(
    () => openToken(keyring, mask, good.replace('s2.', 's7.')),
    (error) => error instanceof PipelineError && error.code === 'key_unavailable',
  );
  assert.equal(parseToken('h12.AAAAAAAAAAAAAAAAAAAAAA')?.kid, 12);
});

test('masking does not read equal values twice as different ones, nor a column after another as the first', () => {
  const mask = tokenMask(column('c'), token('hmac'), keyring);
  const normalized = { trimmed: 0, empty_to_null: 0, sentinel_to_null: 0 };
  const first = mask(['a', 'b', 'a', 'aa', 'a'], normalized);
  assert.equal(new Set(first).size, 3);
  assert.deepEqual(mask(['b', 'a'], normalized), [first[1], first[0]]);
  assert.deepEqual(mask([], normalized), []);
});

test('padding is undone only where it is exactly what ISO/IEC 7816-4 puts there', () => {
  for (const length of [0, 1, 15, 16, 17, 31, 32]) {
    const value = Buffer.alloc(length, 0x80);
    const padded = valueAt(padColumn(packBytes([Buffer.alloc(3), value]), 16), 1);
    assert.equal(padded.length, (Math.floor(length / 16) + 1) * 16);
    assert.deepEqual(unpad(padded, 16), value);
  }
  const bad = [
    '',
    '80',
    '00'.repeat(16),
    'ff'.repeat(16),
    `80${'00'.repeat(16)}`,
    `${'61'.repeat(15)}80${'00'.repeat(16)}`,
  ];
  for (const text of bad) assert.equal(unpad(Buffer.from(text, 'hex'), 16), null, text);
});
