import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ErrorCode, PipelineError } from '../../src/errors.js';
import { actionFor, outlast, persist, policies } from '../../src/policy.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

const never = new AbortController().signal;

function fault(code: ErrorCode): PipelineError {
  return new PipelineError(code, `made up: ${code}`);
}

/** Work that throws what it is given, one after the other, and then returns `done`. */
function failing(...errors: readonly unknown[]): { readonly work: () => Promise<string>; calls: number } {
  const state = {
    calls: 0,
    work: async (): Promise<string> => {
      const error = errors[state.calls];
      state.calls += 1;
      if (state.calls <= errors.length) throw error;
      return 'done';
    },
  };
  return state;
}

describe('the table of errors', () => {
  test('only outages are waited out: nothing that somebody has to mend, and nothing unknown', () => {
    const waits = Object.entries(policies).filter(([, { action }]) => action === 'wait');
    assert.deepEqual(
      waits.map(([code]) => code),
      ['postgres_unavailable', 'redis_unavailable', 'sqs_unavailable', 's3_unavailable', 'kms_unavailable'],
    );
  });

  test('whatever is no PipelineError is treated as unexpected', () => {
    for (const thrown of [new TypeError('x is not a function'), 'a string', undefined, null])
      assert.equal(actionFor(thrown), policies.unexpected.action);
  });

  test('every code has a remedy for the operator', () => {
    for (const { remedy } of Object.values(policies)) assert.ok(remedy.length > 0);
  });
});

describe('outlast', () => {
  test('tries again after outages for as long as they last, and says so each time', async () => {
    const clock = new VirtualClock();
    const outages = Array.from({ length: 50 }, () => fault('redis_unavailable'));
    const { work } = failing(...outages);
    const heard: unknown[] = [];
    const result = await clock.finish(outlast(clock, work, never, (error) => heard.push(error)));
    assert.equal(result, 'done');
    assert.deepEqual(heard, outages);
  });

  test('its waits grow from about 100 ms to 5 s at most', async () => {
    const clock = new VirtualClock();
    const at: number[] = [];
    const work = async (): Promise<void> => {
      at.push(clock.now());
      if (at.length <= 12) throw fault('postgres_unavailable');
    };
    await clock.finish(outlast(clock, work, never));
    const waits = at.slice(1).map((time, index) => time - (at[index] ?? 0));
    for (const [index, wait] of waits.entries()) {
      const full = Math.min(5_000, 100 * 2 ** index);
      assert.ok(wait >= full / 2 && wait <= full, `wait ${index + 1} took ${wait} ms of ${full}`);
    }
  });

  test('rethrows at once what is no outage', async () => {
    const clock = new VirtualClock();
    for (const code of ['contention', 'unexpected', 'table_unfit', 'payload_corrupt', 'canceled'] as const) {
      const error = fault(code);
      const work = failing(error);
      await assert.rejects(clock.finish(outlast(clock, work.work, never)), (thrown) => thrown === error);
      assert.equal(work.calls, 1);
    }
  });

  test('ends its wait and rethrows the outage when it is aborted', async () => {
    const clock = new VirtualClock();
    const stop = new AbortController();
    const work = failing(...Array.from({ length: 99 }, () => fault('sqs_unavailable')));
    const result = outlast(clock, work.work, stop.signal);
    result.catch(() => undefined);
    await clock.settle();
    assert.equal(work.calls, 1);
    stop.abort();
    // No time passes: the wait itself must end.
    await assert.rejects(result, { code: 'sqs_unavailable' });
    assert.equal(work.calls, 2);
    assert.equal(clock.timers, 0);
  });

  test('gives up after the limit, not before and not much later', async () => {
    const clock = new VirtualClock();
    const startedAt = clock.now();
    const work = failing(...Array.from({ length: 999 }, () => fault('postgres_unavailable')));
    const result = outlast(clock, work.work, never, () => undefined, 60_000);
    await assert.rejects(clock.finish(result), { code: 'postgres_unavailable' });
    assert.equal(clock.now() - startedAt, 60_000);
  });
});

describe('persist', () => {
  test('goes on after what is not understood, and after contention', async () => {
    const clock = new VirtualClock();
    const work = failing(new RangeError('surprise'), fault('contention'), fault('redis_unavailable'));
    assert.equal(await clock.finish(persist(clock, work.work, never, () => undefined)), 'done');
  });

  test('rethrows what only somebody can mend', async () => {
    const clock = new VirtualClock();
    for (const code of ['permission_denied', 'schema_outdated', 'canceled'] as const) {
      const work = failing(fault(code));
      await assert.rejects(clock.finish(persist(clock, work.work, never, () => undefined)), { code });
    }
  });

  test('rethrows whatever it is once it is aborted', async () => {
    const clock = new VirtualClock();
    const work = failing(fault('unexpected'));
    await assert.rejects(
      persist(clock, work.work, AbortSignal.abort(), () => undefined),
      { code: 'unexpected' },
    );
  });
});
