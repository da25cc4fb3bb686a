import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventBus } from '../../src/ops/events.js';
import { Outages } from '../../src/roles/outages.js';

function setUp() {
  const events = new EventBus();
  let now = 0;
  const outages = new Outages(events, { elapsed: () => now });
  return {
    outages,
    waitAt: (ms: number, code: 'postgres_unavailable' | 'contention' = 'postgres_unavailable') => {
      now = ms;
      events.emit('outage_waiting', { code });
    },
    at: (ms: number) => {
      now = ms;
    },
  };
}

test('a process that has waited for five seconds is not ready, and says what for', () => {
  const { outages, waitAt } = setUp();
  for (const ms of [0, 2_000, 4_900]) waitAt(ms);
  outages.check();
  waitAt(5_000);
  assert.throws(() => outages.check(), { code: 'postgres_unavailable' });
});

test('it is ready again once nothing has waited for fifteen seconds, and a wait after that begins anew', () => {
  const { outages, waitAt, at } = setUp();
  for (const ms of [0, 3_000, 6_000]) waitAt(ms);
  at(21_000);
  assert.throws(() => outages.check());
  at(21_001);
  outages.check();
  waitAt(30_000);
  outages.check();
});

test('what is no outage, such as locks of others, takes no process out of service', () => {
  const { outages, waitAt } = setUp();
  for (const ms of [0, 3_000, 6_000]) waitAt(ms, 'contention');
  outages.check();
});
