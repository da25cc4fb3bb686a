import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOf, kindWithin } from '../../src/foresight/detectors.js';

// Test numbers that card schemes and the IBAN registry publish; addresses of RFC 5737 and RFC 3849.
const known: readonly (readonly [string, string | null])[] = [
  ['4111111111111111', 'card'],
  ['4111 1111 1111 1111', 'card'],
  ['5555-5555-5555-4444', 'card'],
  ['378282246310005', 'card'],
  ['4111111111111112', null],
  ['1234567890123', null],
  ['GB82 WEST 1234 5698 7654 32', 'iban'],
  ['DE89370400440532013000', 'iban'],
  ['DE89370400440532013001', null],
  ['GB82  WEST12345698765432', null],
  ['078-05-1120', 'ssn'],
  ['078-051-120', null],
  ['192.0.2.1', 'ip'],
  ['2001:db8::1', 'ip'],
  ['::', null],
  ['192.0.2.256', null],
  ['192.0.2', null],
  ['jane@example.com', 'email'],
  ['jane+tag@mail.example.co.uk', 'email'],
  ['jane@example', null],
  ['@example.com', null],
  ['+49 30 123456', 'phone'],
  ['+1 (415) 555-2671', 'phone'],
  ['030 123456', null],
  ['52.5200,13.4050', 'coordinates'],
  ['52,13', null],
  ['2026-01-31', null],
  ['2.3.0', null],
  ['', null],
];

test('values are known by what they are, check digits included', () => {
  for (const [value, kind] of known) assert.equal(kindOf(value), kind, value);
});

test('personal data is found in the midst of a text', () => {
  const texts: readonly (readonly [string, string | null])[] = [
    ['please write to <jane@example.com>.', 'email'],
    ['from 192.0.2.1, again', 'ip'],
    ['card 4111 1111 1111 1111 was refused', 'card'],
    ['IBAN DE89 3704 0044 0532 0130 00 please', 'iban'],
    ['call +49 30 12345678 today', 'phone'],
    ['order 1234567890123456 shipped at 10:30', null],
    ['version 2.3.0 of the app', null],
  ];
  for (const [text, kind] of texts) assert.equal(kindWithin(text), kind, text);
});

test('no value takes long, however it is made up', () => {
  const start = performance.now();
  const long = 100_000;
  const hostile = [
    'AB12'.padEnd(long, 'A '),
    `AB12${'A '.repeat(15)}!`,
    '4'.repeat(long),
    '4 '.repeat(long),
    'a@'.repeat(long),
    `a@${'a.'.repeat(long)}`,
    `+1${' ('.repeat(long)}`,
    '1.'.repeat(long),
    ':'.repeat(long),
  ];
  for (const text of hostile) {
    kindOf(text);
    kindOf(text.slice(0, 254));
    kindWithin(text);
  }
  assert.ok(performance.now() - start < 2_000, `it took ${performance.now() - start} ms`);
});
