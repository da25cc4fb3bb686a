import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { type LifecycleEvent, type StopMode, runService } from '../../src/lifecycle.js';

test('what hangs is stopped hard and at once, and the process ends with 1 though stopping hangs too', async () => {
  const modes: (StopMode | undefined)[] = [];
  const exits: number[] = [];
  const events: LifecycleEvent[] = [];
  const startedAt = performance.now();
  const code = await runService({
    start: () =>
      Promise.resolve({
        service: {
          stop: (mode) => {
            modes.push(mode);
            return new Promise<never>(() => undefined);
          },
        },
        stuck: Promise.resolve(),
        held: () => ['3 messages'],
      }),
    deadlineMs: 400,
    exitCodeOf: () => 9,
    exitCodeOnSignal: 0,
    report: (event) => events.push(event),
    signals: new EventEmitter(),
    exit: (last) => exits.push(last),
  });
  assert.equal(code, 1);
  assert.deepEqual(modes, ['hard']);
  assert.deepEqual(exits, [1]);
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['hard_stop', 'overrun'],
  );
  assert.ok(performance.now() - startedAt < 390, 'it took longer than a hard stop may');
});

test('what hangs and lets itself be stopped ends with 1 as well: something of it may keep the process', async () => {
  const exits: number[] = [];
  let stopped: (code: number) => void = () => undefined;
  const done = new Promise<number>((resolve) => (stopped = resolve));
  const code = await runService({
    start: () =>
      Promise.resolve({ service: { stop: async () => stopped(0) }, done, stuck: Promise.resolve() }),
    deadlineMs: 20_000,
    exitCodeOf: () => 9,
    exitCodeOnSignal: 0,
    report: () => undefined,
    signals: new EventEmitter(),
    exit: (last) => exits.push(last),
  });
  assert.deepEqual([code, exits], [1, [1]]);
});

test('what stops because it was told to does not count as hanging', async () => {
  const signals = new EventEmitter();
  const exits: number[] = [];
  const running = runService({
    start: () => {
      setImmediate(() => signals.emit('SIGTERM'));
      return Promise.resolve({
        service: { stop: () => Promise.resolve() },
        stuck: new Promise(() => undefined),
      });
    },
    deadlineMs: 20_000,
    exitCodeOf: () => 9,
    exitCodeOnSignal: 0,
    report: () => undefined,
    signals,
    exit: (last) => exits.push(last),
  });
  assert.deepEqual([await running, exits], [0, []]);
});
