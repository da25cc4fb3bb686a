import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import { type ScheduleBook, startSchedule } from '../../src/roles/schedule.js';
import { isDue, slotsAfter } from '../../src/roles/slots.js';

const daily = { cron: '0 3 * * *', timezone: 'Europe/Berlin' };
const at = (time: string): number => Date.parse(time);

test('a schedule is due when a slot lies between its last start and now, in its own time zone', () => {
  // 03:00 in Berlin is 02:00 UTC in winter and 01:00 UTC in summer.
  assert.equal(isDue(daily, at('2026-01-10T01:59:00Z'), at('2026-01-10T02:01:00Z')), true);
  assert.equal(isDue(daily, at('2026-01-10T02:00:30Z'), at('2026-01-10T23:00:00Z')), false);
  assert.equal(isDue(daily, at('2026-07-10T00:59:00Z'), at('2026-07-10T01:01:00Z')), true);
  assert.equal(isDue(daily, at('2026-07-10T01:00:30Z'), at('2026-07-10T02:01:00Z')), false);
});

test('a schedule that has never started is due', () => {
  assert.equal(isDue(daily, null, at('2026-01-10T12:00:00Z')), true);
});

test('a schedule with seconds is due by the second', () => {
  const often = { cron: '*/30 * * * * *', timezone: 'UTC' };
  assert.equal(isDue(often, at('2026-01-10T12:00:01Z'), at('2026-01-10T12:00:29Z')), false);
  assert.equal(isDue(often, at('2026-01-10T12:00:01Z'), at('2026-01-10T12:00:31Z')), true);
});

test('the slots after a time are those of its zone, earliest first, and none of a date that never comes', () => {
  // Clocks in Berlin go forward on 2026-03-29 from 02:00 to 03:00.
  const slots = slotsAfter(daily, at('2026-03-28T00:00:00Z'), 3).map((slot) => new Date(slot).toISOString());
  assert.deepEqual(slots, [
    '2026-03-28T02:00:00.000Z',
    '2026-03-29T01:00:00.000Z',
    '2026-03-30T01:00:00.000Z',
  ]);
  assert.deepEqual(slotsAfter({ cron: '0 0 30 2 *', timezone: 'UTC' }, at('2026-01-01T00:00:00Z'), 2), []);
});

/** A book in memory; `noted` are the starts. */
function bookOf(last: number | null): ScheduleBook & { readonly noted: number[] } {
  const noted: number[] = [];
  return {
    noted,
    lastStartedAt: async () => last,
    started: async (_, when) => {
      noted.push(when);
    },
  };
}

test('ticks never overlap, the one that catches up included, and stopping waits for the one under way', async () => {
  let overlapped: () => void = () => undefined;
  const hasOverlapped = new Promise<void>((resolve) => {
    overlapped = resolve;
  });
  const book = bookOf(null);
  let running = 0;
  let most = 0;
  let finished = false;
  let finish: () => void = () => undefined;
  const mayFinish = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const service = await startSchedule({
    pipeline: 'logins',
    schedule: {
      kind: 'cron',
      cron: '* * * * * *',
      timezone: 'UTC',
      exclusive: false,
      pause: [],
      catchUp: true,
    },
    book,
    tick: async () => {
      running += 1;
      most = Math.max(most, running);
      await mayFinish;
      running -= 1;
      finished = true;
    },
    clock: systemClock,
    onOverlap: overlapped,
  });
  await hasOverlapped;
  const stopped = service.stop();
  assert.equal(finished, false);
  finish();
  await stopped;
  assert.equal(finished, true);
  assert.equal(most, 1);
  assert.equal(book.noted.length, 1);
});

test('without catch_up, or with a slot just taken, nothing starts before the next slot', async () => {
  let ticks = 0;
  const options = {
    pipeline: 'logins',
    tick: async () => {
      ticks += 1;
    },
    clock: systemClock,
  };
  const yearly = { kind: 'cron', cron: '0 0 1 1 *', timezone: 'UTC', exclusive: false, pause: [] } as const;
  const late = await startSchedule({
    ...options,
    schedule: { ...yearly, catchUp: false },
    book: bookOf(null),
  });
  const fresh = await startSchedule({
    ...options,
    schedule: { ...yearly, catchUp: true },
    book: bookOf(Date.now()),
  });
  await Promise.all([late.stop(), fresh.stop()]);
  assert.equal(ticks, 0);
});

test('a book that is away at the start keeps nobody from starting, and what was missed is caught up when it is back', async () => {
  let isAway = true;
  const waits: unknown[] = [];
  const ticked = new Promise<void>((resolve) => {
    void startSchedule({
      pipeline: 'logins',
      schedule: {
        kind: 'cron',
        cron: '0 0 1 1 *',
        timezone: 'UTC',
        exclusive: false,
        pause: [],
        catchUp: true,
      },
      book: {
        ...bookOf(null),
        lastStartedAt: async () => {
          if (isAway) throw new PipelineError('postgres_unavailable', 'away');
          return null;
        },
      },
      tick: async () => resolve(),
      clock: systemClock,
      onWait: (error) => {
        waits.push(error);
        isAway = false;
      },
    }).then((service) => ticked.then(() => service.stop()));
  });
  await ticked;
  assert.equal(waits.length, 1);
});

test('what is wrong with the book beyond an outage is told at the start', async () => {
  const refused = startSchedule({
    pipeline: 'logins',
    schedule: {
      kind: 'cron',
      cron: '0 0 1 1 *',
      timezone: 'UTC',
      exclusive: false,
      pause: [],
      catchUp: true,
    },
    book: {
      ...bookOf(null),
      lastStartedAt: async () => {
        throw new PipelineError('permission_denied', 'no right');
      },
    },
    tick: async () => undefined,
    clock: systemClock,
  });
  await assert.rejects(refused, { code: 'permission_denied' });
});

test('a slot that went by unseen is made up for: the machine was asleep, or the clock was set forward, or back', async () => {
  const start = at('2026-01-10T12:00:00Z');
  let now = start;
  let wake: () => void = () => undefined;
  const asleep = () => new Promise<void>((resolve) => (wake = resolve));
  const clock = {
    ...systemClock,
    now: () => now,
    sleep: (_: number, signal?: AbortSignal) => {
      signal?.addEventListener('abort', () => wake());
      return asleep();
    },
  };
  const ticks: number[] = [];
  const service = await startSchedule({
    pipeline: 'logins',
    schedule: {
      kind: 'cron',
      cron: '0 3 * * *',
      timezone: 'UTC',
      catchUp: true,
      exclusive: false,
      pause: [],
    },
    book: bookOf(start),
    tick: async () => void ticks.push(now),
    clock,
  });
  const lookAt = async (time: string): Promise<number> => {
    now = at(time);
    wake();
    await new Promise((resolve) => setImmediate(resolve));
    return ticks.length;
  };
  assert.equal(await lookAt('2026-01-11T02:59:59Z'), 0);
  assert.equal(await lookAt('2026-01-11T03:00:01Z'), 0, "a slot of this moment is node-cron's");
  assert.equal(await lookAt('2026-01-11T09:00:00Z'), 1);
  assert.equal(await lookAt('2026-01-11T10:00:00Z'), 1);
  assert.equal(await lookAt('2026-01-05T02:00:00Z'), 1);
  assert.equal(await lookAt('2026-01-05T03:01:00Z'), 2);
  await service.stop();
});
