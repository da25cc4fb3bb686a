import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PauseWindow, Schedule } from '../../src/config/config.js';
import { lastPauseEnd, nextPauseAt, pausedUntil, runsAfter } from '../../src/roles/slots.js';

const EVERY_DAY = [0, 1, 2, 3, 4, 5, 6];
const WORKDAYS = [1, 2, 3, 4, 5];
const HOUR = 60;
const at = (time: string): number => Date.parse(time);
const iso = (time: number | null | undefined): string | null =>
  time === null || time === undefined ? null : new Date(time).toISOString().replace(':00.000Z', 'Z');

const night = (days = EVERY_DAY): PauseWindow => ({ from: 22 * HOUR, to: 6 * HOUR, days });
const berlin = (...pause: readonly PauseWindow[]) => ({ timezone: 'Europe/Berlin', pause });
const cron = (
  pattern: string,
  pause: readonly PauseWindow[],
  catchUp = true,
): Extract<Schedule, { kind: 'cron' }> => ({
  kind: 'cron',
  cron: pattern,
  timezone: 'Europe/Berlin',
  exclusive: false,
  catchUp,
  pause,
});

test('a pause holds from its first minute to its last, over midnight, on the days on which it begins', () => {
  // 2026-01-09 is a Friday; Berlin is at UTC+1.
  const schedule = berlin(night(WORKDAYS));
  const until = (time: string): string | null => iso(pausedUntil(schedule, at(time)));
  assert.equal(until('2026-01-09T20:59:59.999Z'), null);
  assert.equal(until('2026-01-09T21:00:00Z'), '2026-01-10T05:00Z');
  assert.equal(until('2026-01-10T04:59:59Z'), '2026-01-10T05:00Z', 'Saturday morning is of Friday night');
  assert.equal(until('2026-01-10T05:00:00Z'), null);
  assert.equal(until('2026-01-10T23:00:00Z'), null, 'none begins on a Saturday');
  assert.equal(until('2026-01-12T04:00:00Z'), null, 'nor on a Sunday');
});

test('pauses that touch or overlap are one, and whole days follow upon each other', () => {
  const weekend = { from: 0, to: 24 * HOUR, days: [0, 6] };
  const schedule = berlin(night(), weekend);
  assert.equal(iso(pausedUntil(schedule, at('2026-01-09T22:00:00Z'))), '2026-01-12T05:00Z');
  assert.equal(iso(nextPauseAt(schedule, at('2026-01-09T12:00:00Z'))), '2026-01-09T21:00Z');
  assert.equal(iso(lastPauseEnd(schedule, at('2026-01-12T09:00:00Z'))), '2026-01-12T05:00Z');
  assert.equal(lastPauseEnd(schedule, at('2026-01-11T09:00:00Z')), null, 'one holds');
  assert.equal(nextPauseAt(berlin(), at('2026-01-09T12:00:00Z')), null);
});

test('a pause is told by the clocks of its zone on the days on which these change', () => {
  const schedule = berlin(night());
  // Forward on 2026-03-29: that night has 7 hours. Back on 2026-10-25: it has 9.
  const spring = pausedUntil(schedule, at('2026-03-28T21:00:00Z')) ?? 0;
  assert.equal(spring - at('2026-03-28T21:00:00Z'), 7 * 3_600_000);
  const autumn = pausedUntil(schedule, at('2026-10-24T20:00:00Z')) ?? 0;
  assert.equal(autumn - at('2026-10-24T20:00:00Z'), 9 * 3_600_000);
  assert.equal(pausedUntil(schedule, at('2026-10-24T19:59:59Z')), null);
  // 02:30 comes twice, and ends the pause when it comes first; it does not hold again in the hour that is repeated.
  const early = berlin({ from: 0, to: 2 * HOUR + 30, days: EVERY_DAY });
  assert.equal(iso(pausedUntil(early, at('2026-10-25T00:29:00Z'))), '2026-10-25T00:30Z');
  assert.equal(pausedUntil(early, at('2026-10-25T01:15:00Z')), null);
  // What a day lacks counts an hour later.
  assert.equal(iso(pausedUntil(early, at('2026-03-29T00:59:00Z'))), '2026-03-29T01:30Z');
});

test('runs begin at slots outside of pauses, and once at the end of one that held some up', () => {
  const from = at('2026-01-09T20:10:00Z');
  const hourly = runsAfter(cron('0 * * * *', [night()]), from, 3).map(iso);
  assert.deepEqual(hourly, ['2026-01-10T05:00Z', '2026-01-10T06:00Z', '2026-01-10T07:00Z']);
  const halfPast = runsAfter(cron('30 * * * *', [night()]), from, 3).map(iso);
  assert.deepEqual(halfPast, ['2026-01-09T20:30Z', '2026-01-10T05:00Z', '2026-01-10T05:30Z']);
  const strict = runsAfter(cron('30 * * * *', [night()], false), from, 2).map(iso);
  assert.deepEqual(strict, ['2026-01-09T20:30Z', '2026-01-10T05:30Z']);
  const atTheEnd = runsAfter(cron('0 6,23 * * *', [night()], false), from, 2).map(iso);
  assert.deepEqual(atTheEnd, ['2026-01-10T05:00Z', '2026-01-11T05:00Z']);
});

test('within a pause the next run is at its end if a slot went by in it, be it before or after now', () => {
  const [within] = runsAfter(cron('0 23 * * *', [night()]), at('2026-01-09T23:30:00Z'), 1);
  assert.equal(iso(within), '2026-01-10T05:00Z');
  const [none] = runsAfter(cron('0 12 * * *', [night()]), at('2026-01-09T23:30:00Z'), 1);
  assert.equal(iso(none), '2026-01-10T11:00Z');
});

test('every day has its run where clocks change: what it lacks comes an hour later, what comes twice counts once', () => {
  const nightly = cron('30 2 * * *', []);
  assert.deepEqual(runsAfter(nightly, at('2026-03-28T12:00:00Z'), 2).map(iso), [
    '2026-03-29T01:30Z',
    '2026-03-30T00:30Z',
  ]);
  assert.deepEqual(runsAfter(nightly, at('2026-10-24T12:00:00Z'), 2).map(iso), [
    '2026-10-25T00:30Z',
    '2026-10-26T01:30Z',
  ]);
});
