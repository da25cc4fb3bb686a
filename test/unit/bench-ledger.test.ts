import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { requireSpace } from '../bench/ledger.js';
import { Fill } from '../bench/ledger-fill.js';

const NOW = Date.parse('2026-03-15T06:00:00.000Z');
const DAY_MS = 86_400_000;

test('the ids of a filled ledger are spread over 14 days, each on the day that it is counted to', () => {
  for (const ids of [1, 13, 1_000, 99_991]) {
    const fill = new Fill(ids, NOW);
    let next = 0;
    for (const { day, from, to } of fill.days()) {
      assert.equal(from, next);
      for (const n of [from, to - 1]) {
        const { sentAt } = fill.idOf(n);
        assert.equal(new Date(sentAt).toISOString().slice(0, 10).replaceAll('-', ''), day);
        assert.ok(sentAt >= NOW - 14 * DAY_MS && sentAt < NOW);
      }
      next = to;
    }
    assert.equal(next, ids);
  }
  // A quarter of the last day has passed, so three quarters of the first one count.
  const sizes = new Fill(14_000, NOW).days().map(({ from, to }) => to - from);
  assert.deepEqual(sizes, [750, ...Array.from({ length: 13 }, () => 1_000), 250]);
});

test('an id is a UUID of the hash of its number', () => {
  // RFC 1321, A.5: MD5 of "a" and others; of "0" by md5sum.
  assert.equal(new Fill(1, NOW).idOf(0).id, 'cfcd2084-95d5-65ef-66e7-dff9f98764da');
});

test('a ledger that finds no room on the disk is refused before anything is made', () => {
  assert.throws(() => requireSpace(tmpdir(), Number.MAX_SAFE_INTEGER), {
    code: 'usage',
    message: /need [\d.]+ GiB in .*, where [\d.]+ GiB are free: give another --dir, or fewer --ids/,
  });
  requireSpace(tmpdir(), 1);
});
