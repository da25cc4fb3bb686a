import assert from 'node:assert/strict';
import { test } from 'node:test';

import { canonicalText, trimAscii } from '../../src/masking/canonical.js';
import { formatIp, writeIp } from '../../src/masking/ip.js';

const bytesOf = (text: string): string | null => {
  const bytes = Buffer.alloc(18, 0xee);
  return writeIp(text, bytes, 1) ? bytes.toString('hex', 1, 17) : null;
};

test('white space at the ends is trimmed as WHATWG defines it, and no other', () => {
  assert.equal(trimAscii(' \t\n\f\r a b \r\f\n\t '), 'a b');
  assert.equal(trimAscii(' \t\n'), '');
  assert.equal(trimAscii(''), '');
  for (const other of ['\v', '\u00a0', '\u2003', '\u3000', '\ufeff', '\u0085']) {
    assert.equal(trimAscii(`${other}a${other}`), `${other}a${other}`);
  }
});

test('texts that differ in composition only become one, compatibility forms and case stay apart', () => {
  assert.equal(canonicalText('Cafe\u0301', false), 'Caf\u00e9');
  assert.equal(canonicalText('Caf\u00e9', false), 'Caf\u00e9');
  assert.equal(canonicalText('\u212b', false), '\u00c5');
  assert.equal(canonicalText('\ufb01', false), '\ufb01');
  assert.equal(canonicalText('ABC', false), 'ABC');
  assert.equal(canonicalText('ABC \u00c9', true), 'abc \u00e9');
});

test('the lower-case form is stable: making it again changes nothing', () => {
  const once = canonicalText('\u0130\u0325', true);
  assert.notEqual(once, null);
  assert.equal(canonicalText(once ?? '', true), once);
});

test('NUL, half surrogates, control and format characters are refused', () => {
  const refused = [
    '\0',
    'a\u0000',
    '\ud800',
    'a\udc00b',
    '\u0007',
    'a\tb',
    'a\nb',
    '\u007f',
    '\u0085',
    '\u009f',
  ];
  refused.push('\u00ad', '\u200b', '\u200d', '\u200e', '\u202e', '\u2066', '\ufeff', '\u{e0041}', '\v');
  for (const text of refused) assert.equal(canonicalText(text, false), null, JSON.stringify(text));
  for (const text of ['\u{1f600}', '日本', "O'Neil", 'a b', '\ue000', '\\', '"']) {
    assert.equal(canonicalText(text, false), text, JSON.stringify(text));
  }
});

test('an endless run of combining marks is refused in no time, a long but real one is not', () => {
  assert.equal(canonicalText(`a${'\u0315\u0316'.repeat(250_000)}`, false), null);
  assert.notEqual(canonicalText(`a${'\u0301'.repeat(100)}`, false), null);
});

test('every spelling of an address gives the same 16 bytes', () => {
  const v4 = '00000000000000000000ffff01020304';
  const doc = '20010db8000000000000000000000001';
  const spellings: readonly (readonly [string, string])[] = [
    ['1.2.3.4', v4],
    ['::ffff:1.2.3.4', v4],
    ['::FFFF:0102:0304', v4],
    ['0:0:0:0:0:ffff:1.2.3.4', v4],
    ['0000:0000:0000:0000:0000:ffff:0102:0304', v4],
    ['2001:db8::1', doc],
    ['2001:0DB8:0:0:0:0:0:1', doc],
    ['2001:0db8:0000:0000:0000:0000:0000:0001', doc],
    ['2001:db8:0::0:1', doc],
    ['2001:db8::0.0.0.1', doc],
    ['::', '0'.repeat(32)],
    ['::1', `${'0'.repeat(31)}1`],
    ['1::', `0001${'0'.repeat(28)}`],
    ['::1.2.3.4', '00000000000000000000000001020304'],
    ['64:ff9b::1.2.3.4', '0064ff9b000000000000000001020304'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['1:2:3:4:5:6:7::', '00010002000300040005000600070000'],
    ['::2:3:4:5:6:7:8', '00000002000300040005000600070008'],
    ['0.0.0.0', '00000000000000000000ffff00000000'],
    ['255.255.255.255', '00000000000000000000ffffffffffff'],
  ];
  for (const [text, expected] of spellings) assert.equal(bytesOf(text), expected, text);
});

test('what is no plain address is refused', () => {
  const refused = [
    '',
    ' ',
    '010.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.0.0.1',
    '1.2.3.4/32',
    '1.2.3',
    '1.2.3.4.5',
  ];
  refused.push(
    '256.1.1.1',
    '1.2.3.4 ',
    'fe80::1%eth0',
    'fe80::1%1',
    '[::1]',
    '::1/128',
    '1:2:3:4:5:6:7',
    ':::',
    '1::2::3',
  );
  refused.push(
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    '::ffff:1.2.3',
    '::ffff:01.2.3.4',
    '１.2.3.4',
    '1.2.3.4\0',
    'localhost',
    'unknown',
  );
  refused.push('1.2.3.4:80', '-1.2.3.4', '1,2,3,4', '::g');
  for (const text of refused) assert.equal(bytesOf(text), null, JSON.stringify(text));
});

test('addresses are printed dotted, or as RFC 5952 has it', () => {
  const print = (text: string): string => formatIp(Buffer.from(text, 'hex'));
  assert.equal(print('00000000000000000000ffff01020304'), '1.2.3.4');
  assert.equal(print('0'.repeat(32)), '::');
  assert.equal(print('20010db8000000000000000000000001'), '2001:db8::1');
  // RFC 5952 4.2.2: one group of zeros is not shortened; 4.2.3: the longest run is, the first of two equal ones.
  assert.equal(print('20010db8000000010001000100010001'), '2001:db8:0:1:1:1:1:1');
  assert.equal(print('20010000000000010000000000000001'), '2001:0:0:1::1');
  assert.equal(print('20010db8000000000001000000000001'), '2001:db8::1:0:0:1');
  assert.throws(() => formatIp(Buffer.alloc(4)), RangeError);
});
