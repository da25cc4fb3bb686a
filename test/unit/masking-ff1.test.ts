import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';

import { ff1Cipher, ff1Mask } from '../../src/masking/ff1.js';
import type { Ff1Mask } from '../../src/masking/methods.js';
import { noneNormalized } from '../../src/masking/refusal.js';
import { unmaskOf } from '../../src/masking/unmask.js';
import { ff1Oracle } from '../support/ff1.js';
import { column, primaryMaster, testKeyring } from '../support/masking.js';
import { keyOracle } from '../support/oracle.js';

const TEN = '0123456789';
const THIRTY_SIX = '0123456789abcdefghijklmnopqrstuvwxyz';
const K16 = '2b7e151628aed2a6abf7158809cf4f3c';
const K24 = `${K16}ef4359d8d580aa4f`;
const K32 = `${K24}7f036d6f04fc6a94`;
const T10 = '39383736353433323130';
const T36 = '3737373770717273373737';

/** NIST, Cryptographic Standards examples, FF1samples.pdf: samples 1 to 9. */
const samples = [
  [K16, '', TEN, '0123456789', '2433477484'],
  [K16, T10, TEN, '0123456789', '6124200773'],
  [K16, T36, THIRTY_SIX, '0123456789abcdefghi', 'a9tv40mll9kdu509eum'],
  [K24, '', TEN, '0123456789', '2830668132'],
  [K24, T10, TEN, '0123456789', '2496655549'],
  [K24, T36, THIRTY_SIX, '0123456789abcdefghi', 'xbj3kv35jrawxv32ysr'],
  [K32, '', TEN, '0123456789', '6657667009'],
  [K32, T10, TEN, '0123456789', '1001623463'],
  [K32, T36, THIRTY_SIX, '0123456789abcdefghi', 'xs8a0azh2avyalyzuwd'],
] as const;

const ssn: Ff1Mask = {
  method: 'ff1',
  domain: 'ssn',
  template: [
    { least: 3, most: 3 },
    { literal: '-' },
    { least: 2, most: 2 },
    { literal: '-' },
    { least: 4, most: 4 },
  ],
  alphabet: TEN,
};
const keyring = testKeyring();
const maskAll = (mask: Ff1Mask, values: readonly unknown[]): readonly unknown[] =>
  ff1Mask(column('c'), mask, keyring)(values, noneNormalized());

test("NIST's FF1 samples encrypt and decrypt as published", () => {
  for (const [key, tweak, alphabet, plain, secret] of samples) {
    const template = [{ least: plain.length, most: plain.length }];
    const cipher = ff1Cipher(
      { template, alphabet },
      createSecretKey(Buffer.from(key, 'hex')),
      Buffer.from(tweak, 'hex'),
    );
    assert.equal(cipher.encrypt(plain), secret);
    assert.equal(cipher.decrypt(secret), plain);
    const numerals = [...plain].map((character) => alphabet.indexOf(character));
    const expected = ff1Oracle(Buffer.from(key, 'hex'), alphabet.length, Buffer.from(tweak, 'hex'), numerals);
    assert.equal(expected.map((numeral) => alphabet[numeral]).join(''), secret, 'the oracle is right too');
  }
});

test('the groups of a template are one number under the key and the name of the domain, and separators stay', () => {
  const key = keyOracle(primaryMaster, 'ff1', 'ssn', 2, 32);
  const tweak = Buffer.from('\0\u0003ssn', 'latin1');
  for (const digits of ['000000000', '999999999', '593475928']) {
    const secret = ff1Oracle(key, 10, tweak, [...digits].map(Number)).join('');
    const shaped = (text: string): string => text.replace(/^(...)(..)(....)$/, '$1-$2-$3');
    assert.deepEqual(maskAll(ssn, [shaped(digits), ` ${shaped(digits)}\n`]), [
      shaped(secret),
      shaped(secret),
    ]);
    assert.deepEqual(unmaskOf(ssn, keyring, 2)?.([shaped(secret)]), [shaped(digits)]);
  }
});

test('another domain and another key id give other numbers', () => {
  const of = (mask: Ff1Mask): unknown => maskAll(mask, ['593-47-5928'])[0];
  assert.notEqual(of(ssn), of({ ...ssn, domain: 'other' }));
  const first = unmaskOf(ssn, keyring, 1)?.([String(of(ssn))]);
  assert.notDeepEqual(first, ['593-47-5928']);
});

test('what does not fit the template is a rejection, never a guess', () => {
  const refused = { refused: 'bad_text' };
  assert.deepEqual(
    maskAll(ssn, ['593475928', '593-47-592', '593-47-59288', '593-47-592x', '٥93-47-5928', 'a\nb']),
    Array.from({ length: 6 }, () => refused),
  );
  assert.deepEqual(maskAll(ssn, [593475928, {}, true, '']), [
    { refused: 'wrong_type' },
    { refused: 'wrong_type' },
    { refused: 'wrong_type' },
    '\\N',
  ]);
  assert.deepEqual(unmaskOf(ssn, keyring, 2)?.(['593475928', '']), [null, null]);
});

test('runs of different lengths, literals of the alphabet and characters with a meaning in patterns keep their places', () => {
  const loose: Ff1Mask = {
    ...ssn,
    template: [{ literal: '(' }, { least: 2, most: 5 }, { literal: ').*' }, { least: 4, most: 9 }],
  };
  const prefixed: Ff1Mask = { ...ssn, template: [{ literal: '49' }, { least: 9, most: 9 }] };
  for (const [mask, value, shape] of [
    [loose, '(12).*3456', /^\(\d{2}\)\.\*\d{4}$/],
    [loose, '(12345).*678901234', /^\(\d{5}\)\.\*\d{9}$/],
    [prefixed, '49123456789', /^49\d{9}$/],
  ] as const) {
    const [masked] = maskAll(mask, [value]);
    assert.match(String(masked), shape);
    assert.notEqual(masked, value);
    assert.deepEqual(unmaskOf(mask, keyring, 2)?.([String(masked)]), [value]);
  }
});

test('an alphabet of characters beyond the first 65,536 is one of characters, not of halves', () => {
  const mask: Ff1Mask = { ...ssn, alphabet: '😀😁😂🤣😃😄😅😆😉😊]\\^-', template: [{ least: 6, most: 6 }] };
  const [masked] = maskAll(mask, ['😀]\\^-😊']);
  assert.equal([...String(masked).replaceAll('\\\\', '\\')].length, 6);
  assert.deepEqual(unmaskOf(mask, keyring, 2)?.([String(masked).replaceAll('\\\\', '\\')]), ['😀]\\^-😊']);
});
