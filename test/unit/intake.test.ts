import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PipelineError } from '../../src/errors.js';
import type { IntakeBar } from '../../src/ops/events.js';
import { Intake } from '../../src/roles/intake.js';
import { Run } from '../../src/run.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

const never = new AbortController().signal;

function setUp() {
  const clock = new VirtualClock();
  const changes: (IntakeBar | null)[] = [];
  const state: { bar: IntakeBar | null; error: Error | null } = { bar: null, error: null };
  const intake = new Intake({
    clock,
    look: () => (state.error ? Promise.reject(state.error) : Promise.resolve(state.bar)),
    onChange: (bar) => changes.push(bar),
  });
  const run = new Run({
    runId: 'run',
    pipeline: 'logins',
    trigger: 'drain',
    startedAt: clock.now(),
  });
  const hold = (): void =>
    run.hold(
      { batchId: 'batch', runId: 'run', pipeline: 'logins', messages: [], records: [] },
      [],
      clock.now(),
    );
  const ended = new AbortController();
  return { clock, changes, state, intake, run, hold, ended };
}

/** Whether a promise has come to its end by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  return (
    (await Promise.race([promise, new Promise((resolve) => setImmediate(resolve, pending))])) !== pending
  );
}

describe('the intake of a pipeline', () => {
  test('lets nothing in while the queue is full, and goes on by itself', async () => {
    const { clock, changes, state, intake, run, ended } = setUp();
    state.bar = 'queue_memory';
    const watching = intake.watch(run, ended.signal);
    await clock.advance(0);
    const admitted = intake.admit(never);
    await clock.advance(10_000);
    assert.equal(await isSettled(admitted), false);
    state.bar = null;
    await clock.advance(1_000);
    await admitted;
    assert.deepEqual(changes, ['queue_memory', null]);
    ended.abort();
    await watching;
  });

  test('counts no time of an outage as waiting of the batches', async () => {
    const { clock, state, intake, run, hold, ended } = setUp();
    const heldAt = clock.now();
    hold();
    const watching = intake.watch(run, ended.signal);
    await clock.advance(5_000);
    state.error = new PipelineError('postgres_unavailable', 'away');
    await clock.advance(600_000);
    state.error = null;
    await clock.advance(5_000);
    const waited = clock.now() - (run.held[0]?.heldAt ?? 0);
    assert.equal(clock.now() - heldAt, 610_000);
    // One look before the outage was seen, and one before its end was.
    assert.ok(waited >= 10_000 - 1_000 && waited <= 10_000 + 1_000, `${waited} ms`);
    ended.abort();
    await watching;
  });

  test('ends the run when another ingester has opened the breaker', async () => {
    const { clock, state, intake, run, ended } = setUp();
    state.bar = 'breaker_open';
    const watching = intake.watch(run, ended.signal);
    await clock.advance(0);
    assert.equal(run.intake.aborted, true);
    run.drained();
    assert.equal(run.report(clock.now()).state, 'breaker_open');
    ended.abort();
    await watching;
  });

  test('lets go of those who wait when they are told to stop', async () => {
    const { clock, state, intake, run, ended } = setUp();
    state.bar = 'backlog';
    const watching = intake.watch(run, ended.signal);
    await clock.advance(0);
    const stop = new AbortController();
    const admitted = intake.admit(stop.signal);
    assert.equal(await isSettled(admitted), false);
    stop.abort();
    await admitted;
    ended.abort();
    await watching;
  });

  test('lets nothing in before the first look of a run, whatever was found by the one before', async () => {
    const { clock, changes, state, intake, run, ended } = setUp();
    const first = new AbortController();
    const before = intake.watch(run, first.signal);
    await clock.advance(0);
    first.abort();
    await before;
    state.bar = 'workers_stopped';
    const watching = intake.watch(run, ended.signal);
    const admitted = intake.admit(never);
    await clock.advance(10_000);
    assert.equal(await isSettled(admitted), false);
    assert.deepEqual(changes, ['workers_stopped']);
    ended.abort();
    await watching;
    await admitted;
  });

  test('keeps looking for a run that goes on when another one ends', async () => {
    const { clock, state, intake, run, ended } = setUp();
    const other = new AbortController();
    state.bar = 'backlog';
    const watching = [intake.watch(run, ended.signal), intake.watch(run, other.signal)];
    await clock.advance(0);
    other.abort();
    await watching[1];
    assert.equal(await isSettled(intake.admit(ended.signal)), false);
    ended.abort();
    await watching[0];
    assert.equal(await isSettled(intake.admit(never)), true);
  });
});
