import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idTime, systemClock } from '../../src/clock.js';

test('the time of an id is that at which it was made', () => {
  // RFC 9562, appendix A.6: Tuesday, February 22, 2022 2:22:22.00 PM GMT-05:00.
  assert.equal(idTime('017F22E2-79B0-7CC3-98C4-DC0C0C07398F'), Date.parse('2022-02-22T14:22:22-05:00'));
  const before = Date.now();
  const time = idTime(systemClock.id()) ?? 0;
  assert.ok(before <= time + 1 && time <= Date.now() + 1, `${before} ${time}`);
});

test('ids that hold no time have none', () => {
  for (const id of ['', 'x', '5d41402a-bc4b-4a76-b971-9d911017c592', '017F22E2-79B0-7CC3-98C4-DC0C0C07398']) {
    assert.equal(idTime(id), null, id);
  }
});
