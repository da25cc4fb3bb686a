import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventBus } from '../../src/ops/events.js';

const overlap = { pipeline: 'logins', at: 1 };

test('every listener of an event hears of it, in order, and of no other event', () => {
  const events = new EventBus();
  const heard: string[] = [];
  events.on('schedule_overlap', () => void heard.push('first'));
  events.on('schedule_overlap', () => void heard.push('second'));
  events.on('outage_waiting', () => void heard.push('other'));
  events.emit('schedule_overlap', overlap);
  assert.deepEqual(heard, ['first', 'second']);
});

test('a failing listener breaks neither the flow nor the listeners after it, and is counted', async () => {
  const events = new EventBus();
  const heard: number[] = [];
  events.on('schedule_overlap', () => {
    throw new Error('disk full');
  });
  events.on('schedule_overlap', () => Promise.reject(new Error('later')));
  events.on('schedule_overlap', ({ at }) => void heard.push(at));
  events.emit('schedule_overlap', overlap);
  assert.deepEqual(heard, [1]);
  await Promise.resolve();
  assert.equal(events.failures, 2);
});

test('who has unsubscribed hears nothing more, also when it does so while being told', () => {
  const events = new EventBus();
  const heard: string[] = [];
  const off = events.on('schedule_overlap', () => {
    heard.push('once');
    off();
  });
  events.on('schedule_overlap', () => void heard.push('always'));
  events.emit('schedule_overlap', overlap);
  events.emit('schedule_overlap', overlap);
  assert.deepEqual(heard, ['once', 'always', 'always']);
});
