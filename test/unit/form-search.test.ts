import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormSearch, type Parts } from '../../src/masking/form-search.js';

function search(forms: readonly string[], text: string, parts: Parts = { starts: [0], ends: [text.length] }) {
  const all = new FormSearch();
  for (const form of forms) all.add(Buffer.from(`<${form}>`), 1, 1 + form.length);
  const found: (readonly [form: string | undefined, part: number, from: number, to: number])[] = [];
  all.find(Buffer.from(text), parts, (form, part, from, to) => found.push([forms[form], part, from, to]));
  return found;
}

test('every form is found wherever it is, also within another', () => {
  assert.deepEqual(search(['abcdefgh', 'bcdefghij', 'abcdefghi'], 'abcdefghij abcdefgh'), [
    ['abcdefgh', 0, 0, 8],
    ['abcdefghi', 0, 0, 9],
    ['bcdefghij', 0, 1, 10],
    ['abcdefgh', 0, 11, 19],
  ]);
});

test('case of ASCII and the alphabet of base64 do not count, all else does', () => {
  assert.equal(search(['ab-cd_EF'], 'AB+CD/ef').length, 1);
  assert.deepEqual(search(['abcdefgh'], 'abcdefgi bcdefgh abcdefg'), []);
});

test('nothing is found across the border of two parts, or outside of them', () => {
  const parts = { starts: [0, 12], ends: [6, 20] };
  assert.deepEqual(search(['abcdefgh', 'ijklmnop', '01234567'], 'abcdefghijkl01234567', parts), [
    ['01234567', 1, 12, 20],
  ]);
  assert.deepEqual(search(['abcdefghijkl'], 'abcdefghijkl', { starts: [0], ends: [10] }), []);
});

test('of a form beyond 64 bytes the first 64 are looked for', () => {
  const long = Array.from({ length: 30 }, (_, i) => `part-${i}`).join('');
  assert.deepEqual(search([long], `..${long.slice(0, 64)}..`), [[long, 0, 2, 66]]);
  assert.deepEqual(search([long], `..${long.slice(0, 63)}..`), []);
});

test('forms that are equal are all told of', () => {
  assert.equal(search(['abcdefgh', 'ABCDEFGH'], 'abcdefgh').length, 2);
});

test('nothing to look for is nothing to find', () => {
  assert.deepEqual(search([], 'abcdefgh'), []);
});
