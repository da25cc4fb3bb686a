import assert from 'node:assert/strict';
import { test } from 'node:test';

import { NULL_FIELD, encodeField, encodeRows, lineAt, lineEnds, withoutLines } from '../../src/copy-text.js';
import { decodeCopy } from '../support/masking.js';

test('backslash, tab, line feed and carriage return are escaped, and nothing else is touched', () => {
  assert.equal(encodeField('a\\b\tc\nd\re'), 'a\\\\b\\tc\\nd\\re');
  const plain = 'é "quoted", \u2028 \u0001\b\f\v 😀 %s $1 \'; drop table';
  assert.equal(encodeField(plain), plain);
});

test('text that looks like NULL or like the end of data comes back as text', () => {
  for (const text of ['\\N', '\\.', '\\', '\\\\N', '', '.']) {
    assert.deepEqual(decodeCopy(encodeRows([[encodeField(text)]], [0])), [[text]]);
  }
  assert.deepEqual(decodeCopy(encodeRows([[NULL_FIELD], ['x']], [0])), [[null, 'x']]);
});

test('rows hold the named rows only, in their order, each ended by a newline byte', () => {
  const columns = [
    ['a0', 'a1', 'a2'],
    ['b0', 'b1', 'b2'],
  ];
  assert.equal(encodeRows(columns, [0, 2]).toString(), 'a0\tb0\na2\tb2\n');
  assert.equal(encodeRows(columns, []).length, 0);
  assert.throws(() => encodeRows(columns, [3]), RangeError);
});

test('lines are found by their newline bytes, whatever they hold', () => {
  const rows = Buffer.from('é\n\nlast\\n\n');
  const ends = lineEnds(rows);
  assert.deepEqual(ends, [3, 4, 11]);
  assert.deepEqual(
    [0, 1, 2].map((i) => lineAt(rows, ends, i).toString()),
    ['é\n', '\n', 'last\\n\n'],
  );
  assert.deepEqual(lineEnds(Buffer.alloc(0)), []);
  assert.throws(() => lineEnds(Buffer.from('a\nb')), RangeError);
});

test('every set of lines can be left out, and the others stay as they were', () => {
  const lines = ['zero\n', '\n', 'two\t2\n', 'three\n', 'é\n'];
  const rows = Buffer.from(lines.join(''));
  const ends = lineEnds(rows);
  for (let mask = 0; mask < 2 ** lines.length; mask += 1) {
    const drop = new Set([...lines.keys()].filter((i) => (mask >> i) % 2 === 1));
    const expected = lines.filter((_, i) => !drop.has(i)).join('');
    assert.equal(withoutLines(rows, ends, drop).toString(), expected);
  }
});
