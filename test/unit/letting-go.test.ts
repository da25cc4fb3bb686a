import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Receipt } from '../../src/batch.js';
import { failedOrMissing, overdue, releaseDelayMs } from '../../src/letting-go.js';
import type { JobState } from '../../src/queue/queue.js';
import type { Held } from '../../src/run.js';

const NOW = 1_750_000_000_000;

function held(batchId: string, ageMs: number): Held {
  return {
    batchId,
    runId: 'run',
    pipeline: 'logins',
    records: 1,
    receivedAt: NOW - ageMs,
    receipts: [],
    heldAt: NOW - ageMs,
  };
}

/** Two queues that answer from a table, and note who was asked for what. */
function queues(transform: { [id: string]: JobState }, load: { [id: string]: JobState }) {
  const asked: string[] = [];
  const answering = (name: string, states: { [id: string]: JobState }) => ({
    states: async (ids: readonly string[]): Promise<readonly JobState[]> => {
      asked.push(`${name}: ${ids.join(' ')}`);
      return ids.map((id) => states[id] ?? 'absent');
    },
  });
  return { asked, transformQueue: answering('transform', transform), loadQueue: answering('load', load) };
}

async function letGo(
  transform: { [id: string]: JobState },
  load: { [id: string]: JobState },
  batches: readonly Held[],
): Promise<readonly string[]> {
  const found = await failedOrMissing(queues(transform, load), batches, NOW);
  return found.map((batch) => batch.batchId).toSorted();
}

describe('a batch is let go', () => {
  test('when its job has failed for good, in either queue, however young it is', async () => {
    const batches = [held('a', 0), held('b', 0), held('c', 0)];
    assert.deepEqual(await letGo({ a: 'failed', c: 'live' }, { b: 'failed' }, batches), ['a', 'b']);
  });

  test('when no queue knows it and it was added more than 30 s ago', async () => {
    const batches = [held('young', 30_000), held('old', 30_001)];
    assert.deepEqual(await letGo({}, {}, batches), ['old']);
  });

  test('not while any queue works on it', async () => {
    const batches = [held('a', 600_000), held('b', 600_000)];
    assert.deepEqual(await letGo({ a: 'live' }, { b: 'live' }, batches), []);
  });

  test('when it has waited for longer than is allowed, not at the limit', () => {
    const batches = [held('at', 900_000), held('above', 900_001)];
    assert.deepEqual(
      overdue(batches, NOW, 900_000).map((batch) => batch.batchId),
      ['above'],
    );
  });
});

describe('asking the queues', () => {
  test('the transform queue comes first: a batch that is handed on in between is seen in the load queue', async () => {
    // GIVEN a batch that moves on just after the transform queue has answered
    const transformed: { [id: string]: JobState } = { a: 'live' };
    const loading: { [id: string]: JobState } = {};
    const both = queues(transformed, loading);
    const moving = {
      transformQueue: {
        states: async (ids: readonly string[]): Promise<readonly JobState[]> => {
          const answer = await both.transformQueue.states(ids);
          loading['a'] = 'live';
          delete transformed['a'];
          return answer;
        },
      },
      loadQueue: both.loadQueue,
    };
    // THEN no order of the two steps makes it look lost
    assert.deepEqual(await failedOrMissing(moving, [held('a', 60_000)], NOW), []);
    assert.deepEqual(await failedOrMissing(moving, [held('a', 60_000)], NOW), []);
    assert.deepEqual(both.asked, ['transform: a', 'load: ', 'transform: a', 'load: a']);
  });

  test('the load queue is asked only for what the transform queue does not know', async () => {
    const both = queues({ a: 'live', b: 'failed' }, {});
    await failedOrMissing(both, [held('a', 0), held('b', 0), held('c', 0)], NOW);
    assert.deepEqual(both.asked, ['transform: a b c', 'load: c']);
  });
});

describe('a released message', () => {
  test('stays away for 30 s at its first receive, doubling up to 15 min, and never longer', () => {
    const seconds = Array.from({ length: 8 }, (_, index) => releaseDelayMs(receipt(index + 1)) / 1_000);
    assert.deepEqual(seconds, [30, 60, 120, 240, 480, 900, 900, 900]);
    assert.equal(releaseDelayMs(receipt(100_000)), 900_000);
  });
});

function receipt(receiveCount: number): Receipt {
  return { messageId: 'm', handle: 'h', receiveCount, receivedAt: NOW, bytes: 1 };
}
