import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { canonicalText, trimAscii } from '../../src/masking/canonical.js';
import { formatIp, writeIp } from '../../src/masking/ip.js';

const bytesOf = (text: string): Buffer | null => {
  const bytes = Buffer.alloc(16);
  return writeIp(text, bytes, 0) ? bytes : null;
};

/** Groups with many zeros among them, which is where spellings differ. */
const groups = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), {
  minLength: 8,
  maxLength: 8,
});

/** A spelling of the address: upper or lower case, leading zeros, any run of zeros shortened, a dotted tail. */
function spell(parts: readonly number[], choices: readonly number[]): string {
  const [upper = 0, padding = 0, gap = 0, dotted = 0] = choices;
  const text = parts.map((part) => part.toString(16).padStart(padding % 5, '0'));
  const tail = parts.slice(6).flatMap((part) => [part >> 8, part & 0xff]);
  if (dotted % 2 === 1) text.splice(6, 2, tail.join('.'));
  const hexGroups = dotted % 2 === 1 ? 6 : 8;
  const runs: (readonly [number, number])[] = [];
  for (let start = 0; start < hexGroups; start += 1) {
    for (let end = start + 1; end <= hexGroups && parts[end - 1] === 0; end += 1) runs.push([start, end]);
  }
  const run = gap % 3 === 0 ? undefined : runs[gap % Math.max(1, runs.length)];
  const spelled = run
    ? `${text.slice(0, run[0]).join(':')}::${text.slice(run[1]).join(':')}`
    : text.join(':');
  return upper % 2 === 1 ? spelled.toUpperCase() : spelled;
}

test('equal addresses in any spelling give equal bytes, unequal ones unequal bytes', () => {
  const choices = fc.array(fc.nat(1000), { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(groups, groups, choices, choices, (a, b, one, other) => {
      const expected = Buffer.from(a.map((group) => group.toString(16).padStart(4, '0')).join(''), 'hex');
      assert.deepEqual(bytesOf(spell(a, one)), expected, spell(a, one));
      assert.deepEqual(bytesOf(spell(a, other)), expected, spell(a, other));
      const isSame = a.every((group, i) => group === b[i]);
      assert.equal(bytesOf(spell(b, other))?.equals(expected), isSame);
    }),
    { numRuns: 3000 },
  );
});

test('an address that was printed reads as the same bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), groups, (random, zeros) => {
      const sparse = Buffer.from(zeros.flatMap((group) => [group >> 8, group & 0xff]));
      for (const bytes of [Buffer.from(random), sparse]) assert.deepEqual(bytesOf(formatIp(bytes)), bytes);
    }),
    { numRuns: 1000 },
  );
});

test('canonical text is stable, and the same for every composition of the same text', () => {
  const text = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: 'binary' }),
    fc
      .array(fc.constantFrom('\u0130', '\u0325', '\u0307', 'I', '\u03a3', '\u00c5', 'A\u030a', '\u1e9e'))
      .map((x) => x.join('')),
  );
  fc.assert(
    fc.property(text, fc.boolean(), (value, lower) => {
      const trimmed = trimAscii(value);
      const canonical = canonicalText(trimmed, lower);
      assert.equal(canonicalText(trimmed.normalize('NFD'), lower), canonical);
      if (canonical === null) return;
      assert.equal(canonicalText(canonical, lower), canonical);
      assert.ok(!/\p{Cc}/u.test(canonical));
    }),
    { numRuns: 3000 },
  );
});
