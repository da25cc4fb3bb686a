import assert from 'node:assert/strict';
import test from 'node:test';
import { largestValue } from '../../src/config/token-length.js';
import { durationMs, formatDuration, formatSize, sizeBytes } from '../../src/config/units.js';

test('durations are a whole number and one unit, and nothing else', () => {
  const durations: readonly (readonly [string, number])[] = [
    ['0s', 0],
    ['500ms', 500],
    ['90s', 90_000],
    ['15m', 900_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
  ];
  for (const [text, ms] of durations) assert.equal(durationMs(text), ms, text);
  for (const text of ['', '5', 's', '1.5s', '-1s', '1 s', '1S', '1h30m', '1w', '5m\n', '99999999999999d']) {
    assert.equal(durationMs(text), null, JSON.stringify(text));
  }
});

test('sizes are a whole number and one binary unit, and nothing else', () => {
  const sizes: readonly (readonly [string, number])[] = [
    ['512B', 512],
    ['64KiB', 65_536],
    ['1MiB', 1_048_576],
    ['2GiB', 2_147_483_648],
  ];
  for (const [text, bytes] of sizes) assert.equal(sizeBytes(text), bytes, text);
  for (const text of ['', '1MB', '1mib', '1.5MiB', '-1B', '1', '99999999999GiB'])
    assert.equal(sizeBytes(text), null, text);
});

test('amounts are shown in the largest unit that is exact', () => {
  assert.equal(formatDuration(90_000), '90s');
  assert.equal(formatDuration(3_600_000), '1h');
  assert.equal(formatDuration(1_500), '1500ms');
  assert.equal(formatDuration(0), '0ms');
  assert.equal(formatSize(65_536), '64KiB');
  assert.equal(formatSize(1_000), '1000B');
});

test('the largest value that fits a column is found from the token format itself', () => {
  const token = (bytes: number): string => `s1234.${Buffer.alloc(16 + bytes).toString('base64url')}`;
  for (const pad of [null, 16, 32, 64] as const) {
    const mask = { method: 'siv', domain: 'd', as: 'text', pad, lower: false } as const;
    for (let limit = 20; limit <= 300; limit += 7) {
      // ISO/IEC 7816-4 padding always adds at least one byte: 15 bytes fill a block of 16, 16 bytes need two.
      const fitting = Array.from({ length: 400 }, (_, index) => index + 1).filter((bytes) => {
        const padded = pad === null ? bytes : bytes + pad - (bytes % pad);
        return token(padded).length <= limit;
      });
      assert.equal(largestValue(mask, limit, 400), fitting.at(-1) ?? 0, `${String(pad)} ${limit}`);
    }
  }
});
