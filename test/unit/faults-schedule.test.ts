import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { type Clock, systemClock } from '../../src/clock.js';
import type { PauseWindow } from '../../src/config/config.js';
import { type ScheduleBook, startSchedule } from '../../src/roles/schedule.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const at = (time: string): number => Date.parse(time);

/** The clock of the machine, whose time these tests set. */
const clock: Clock = {
  ...systemClock,
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal?.addEventListener('abort', end);
    }),
};

beforeEach(() => mock.timers.enable({ apis: ['setTimeout', 'Date'], now: at('2026-01-01T00:00:00Z') }));
afterEach(() => mock.timers.reset());

/** Lets what the timers have begun come to its end. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
};

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= MINUTE_MS) {
    mock.timers.tick(Math.min(left, MINUTE_MS));
    await settle();
  }
}

/** A schedule whose ticks are noted, beginning at that time; its book remembers nothing but what is noted. */
async function running(
  cron: string,
  timezone: string,
  from: number,
  rest: { readonly pause?: readonly PauseWindow[]; readonly catchUp?: boolean } = {},
) {
  mock.timers.setTime(from);
  const ticks: string[] = [];
  const book: ScheduleBook = { lastStartedAt: async () => from, started: async () => undefined };
  const service = await startSchedule({
    pipeline: 'logins',
    schedule: { kind: 'cron', cron, timezone, exclusive: false, pause: [], catchUp: true, ...rest },
    book,
    tick: async () => {
      ticks.push(new Date().toISOString().slice(0, 16));
    },
    clock,
  });
  await settle();
  return { ticks, service };
}

test('a day on which clocks change has its run, once, at the hour of the zone that there is', async () => {
  // In Berlin 02:30 comes twice on 2026-10-25, and never on 2026-03-29.
  const night = await running('30 4 * * *', 'Europe/Berlin', at('2026-10-24T20:00:00Z'));
  await pass(30 * HOUR_MS);
  await night.service.stop();
  assert.deepEqual(night.ticks, ['2026-10-25T03:30']);

  const spring = await running('30 4 * * *', 'Europe/Berlin', at('2026-03-28T20:00:00Z'));
  await pass(30 * HOUR_MS);
  await spring.service.stop();
  assert.deepEqual(spring.ticks, ['2026-03-29T02:30']);
});

// What node-cron leaves out is made up for within half a minute, which here is the next one.
test('a time that comes twice has one run, when it comes first, and one that a day lacks has it an hour later', async () => {
  const runs = async (from: number): Promise<readonly string[]> => {
    const { ticks, service } = await running('30 2 * * *', 'Europe/Berlin', from);
    await pass(54 * HOUR_MS);
    await service.stop();
    return ticks;
  };
  assert.deepEqual(await runs(at('2026-10-24T20:00:00Z')), [
    '2026-10-25T00:31',
    '2026-10-26T01:30',
    '2026-10-27T01:30',
  ]);
  assert.deepEqual(await runs(at('2026-03-28T20:00:00Z')), [
    '2026-03-29T01:31',
    '2026-03-30T00:30',
    '2026-03-31T00:30',
  ]);
});

test('a clock that jumps an hour forth has one run for what it left out, and goes on from there; one that jumps back goes through its slots again', async () => {
  const runs = async (jumpMs: number, restMs: number): Promise<readonly string[]> => {
    const { ticks, service } = await running('*/10 * * * *', 'UTC', at('2026-01-10T12:01:00Z'));
    await pass(30 * MINUTE_MS);
    const undo = jump(jumpMs);
    try {
      await pass(restMs);
      await service.stop();
    } finally {
      undo();
    }
    return ticks.map((time) => time.slice(11));
  };
  const before = ['12:10', '12:20', '12:30'];
  assert.deepEqual(await runs(HOUR_MS, 30 * MINUTE_MS), [...before, '13:32', '13:40', '13:50', '14:00']);
  assert.deepEqual(await runs(-HOUR_MS, 90 * MINUTE_MS), [
    ...before,
    '11:41',
    '11:51',
    '12:01',
    '12:11',
    '12:21',
    '12:31',
    '12:40',
    '12:50',
    '13:00',
  ]);
});

/** Sets the clock on the wall; timers go on by a clock of their own, as they do in Node. */
function jump(ms: number): () => void {
  const before = globalThis.Date;
  globalThis.Date = new Proxy(before, {
    construct: (date, args: readonly number[]): Date =>
      args.length === 0 ? new date(date.now() + ms) : (Reflect.construct(date, args) as Date),
    get: (date, name): unknown => (name === 'now' ? () => date.now() + ms : Reflect.get(date, name)),
  });
  return () => {
    globalThis.Date = before;
  };
}

test('in a pause no run begins, and what it held up begins once at its end, unless catch_up says otherwise', async () => {
  const night = { from: 22 * 60, to: 6 * 60, days: [0, 1, 2, 3, 4, 5, 6] };
  const runs = async (cron: string, from: string, catchUp: boolean): Promise<readonly string[]> => {
    const { ticks, service } = await running(cron, 'UTC', at(from), { pause: [night], catchUp });
    await pass(11 * HOUR_MS);
    await service.stop();
    return ticks.map((time) => time.slice(8));
  };
  const hourly = '20 * * * *';
  assert.deepEqual(await runs(hourly, '2026-01-10T20:50:00Z', true), [
    '10T21:20',
    '11T06:00',
    '11T06:20',
    '11T07:20',
  ]);
  assert.deepEqual(await runs(hourly, '2026-01-10T20:50:00Z', false), ['10T21:20', '11T06:20', '11T07:20']);
  // One that starts within it, after slots that it held up, knows of them by the book.
  assert.deepEqual(await runs('0 12 * * *', '2026-01-10T22:30:00Z', true), []);
});
