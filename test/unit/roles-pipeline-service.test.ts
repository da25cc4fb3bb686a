import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PipelineError } from '../../src/errors.js';
import { EventBus } from '../../src/ops/events.js';
import { PipelineService } from '../../src/roles/pipeline-service.js';
import { Stops } from '../../src/roles/stops.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

const unfit = (message = 'table public.t does not exist'): PipelineError =>
  new PipelineError('table_unfit', message);

/** A pipeline whose table and work are as the test says. */
function piped(name = 'p', clock = new VirtualClock(), isUnfit = false) {
  const seen: string[] = [];
  const state = { unfit: isUnfit, stops: [] as unknown[] };
  let fail: (error: unknown) => void = () => undefined;
  const events = new EventBus();
  events.on(
    'pipeline_stopped',
    ({ isStopped }) => void seen.push(isStopped ? 'told stopped' : 'told going on'),
  );
  const service = new PipelineService({
    pipeline: name,
    check: async () => {
      seen.push('check');
      if (state.unfit) throw unfit();
    },
    begin: async (onError) => {
      seen.push('begin');
      fail = onError;
      return {
        stop: async () => void seen.push('stop'),
        breakDown: async () => void seen.push('breakDown'),
      };
    },
    clock,
    log: { error: () => undefined, info: () => undefined },
    events,
    onStopped: (error) => state.stops.push(error),
  });
  return { clock, seen, state, service, fail: (error: unknown) => fail(error) };
}

const stoppedFor = ({ stoppage }: PipelineService): string | null => stoppage?.code ?? null;
const count = (seen: readonly string[], what: string): number => seen.filter((each) => each === what).length;

test('what only a person can mend stops it; it looks on, ever more seldom, and goes on when that is mended', async () => {
  const { clock, seen, state, service, fail } = piped();
  await clock.finish(service.begun);
  assert.deepEqual(seen, ['check', 'begin']);
  // An outage, or one batch's own trouble, is no reason.
  fail(new PipelineError('postgres_unavailable', 'away'));
  fail(new PipelineError('contention', 'locked'));
  await clock.settle();
  assert.equal(stoppedFor(service), null);

  state.unfit = true;
  fail(unfit());
  await clock.settle();
  assert.deepEqual(seen.slice(2, 4), ['breakDown', 'told stopped']);
  assert.equal(stoppedFor(service), 'table_unfit');
  assert.equal(state.stops.length, 1);
  await clock.advance(10 * 60_000);
  assert.ok(count(seen, 'check') >= 8 && count(seen, 'check') <= 16, seen.join());
  assert.equal(count(seen, 'begin'), 1);

  state.unfit = false;
  await clock.advance(61_000);
  assert.equal(count(seen, 'begin'), 2);
  assert.equal(stoppedFor(service), null);
  assert.equal(seen.at(-1), 'told going on');
  await clock.finish(service.stop());
  assert.equal(seen.at(-1), 'stop');
});

test('what no look shows is tried again seldom: each trial costs its messages a receive', async () => {
  const { clock, seen, service, fail } = piped();
  await clock.finish(service.begun);
  const trials: number[] = [];
  for (let n = 0; n < 4; n += 1) {
    fail(new PipelineError('row_count_differs', 'a trigger drops rows'));
    await clock.settle();
    const from = clock.elapsed();
    const before = count(seen, 'begin');
    while (count(seen, 'begin') === before) await clock.advance(5_000);
    trials.push(Math.round((clock.elapsed() - from) / 60_000));
  }
  assert.deepEqual(trials, [1, 2, 4, 8]);
  await clock.finish(service.stop());
});

test('one that is unfit at the start begins when it is mended, and stops when told to meanwhile', async () => {
  const first = piped('p', new VirtualClock(), true);
  await first.clock.finish(first.service.begun);
  assert.equal(first.service.stoppage?.code, 'table_unfit');
  first.state.unfit = false;
  await first.clock.advance(10_000);
  assert.equal(count(first.seen, 'begin'), 1);
  await first.clock.finish(first.service.stop());

  const second = piped('p', new VirtualClock(), true);
  await second.clock.finish(second.service.begun);
  await second.clock.finish(second.service.stop());
  assert.equal(count(second.seen, 'begin'), 0);
});

test('a process ends when all its pipelines are stopped, and says what is wrong with each', async () => {
  const clock = new VirtualClock();
  const stops = new Stops();
  const [a, b] = [piped('a', clock), piped('b', clock)];
  for (const [name, one] of Object.entries({ a, b })) {
    stops.add(name, one.service);
    await clock.finish(one.service.begun);
  }
  a.fail(unfit('table a'));
  await clock.settle();
  stops.stopped(a.state.stops[0]);
  assert.deepEqual(Object.keys(stops.byName), ['a']);
  assert.equal(stops.isComplete, false);
  b.fail(unfit('table b'));
  await clock.settle();
  stops.stopped(b.state.stops[0]);
  await assert.rejects(stops.complete, { code: 'table_unfit', message: 'table a\ntable b' });
  await clock.finish(a.service.stop());
  await clock.finish(b.service.stop());
});
