import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { encodeField, encodeRows, lineEnds } from '../../src/copy-text.js';
import { decodeCopy } from '../support/masking.js';

const troublesome = fc.constantFrom(
  '\\',
  '\\.',
  '\\N',
  '\t',
  '\n',
  '\r',
  '\r\n',
  '\u2028',
  '.',
  'n',
  '😀',
  '\u0001',
  '',
);
const text = fc.oneof(
  fc.string({ unit: 'binary' }).map((value) => value.replaceAll('\0', '')),
  fc.array(troublesome).map((parts) => parts.join('')),
);

test('any well-formed text without NUL comes back from COPY text, and no line is ever the end mark', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(text, text), { maxLength: 20 }), (rows) => {
      const columns = [0, 1].map((c) => rows.map((row) => encodeField(row[c] ?? '')));
      const encoded = encodeRows(columns, [...rows.keys()]);
      assert.equal(lineEnds(encoded).length, rows.length);
      for (const line of encoded.toString().split('\n')) assert.notEqual(line.replace(/\r$/, ''), '\\.');
      assert.deepEqual(
        decodeCopy(encoded),
        rows.map((row) => [...row]),
      );
      const single = encodeRows([columns[0] ?? []], [...rows.keys()]);
      for (const line of single.toString().split('\n')) assert.notEqual(line.replace(/\r$/, ''), '\\.');
    }),
    { numRuns: 1000 },
  );
});
