import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PostgresPool } from '../../src/load/connection.js';
import { handlerLoop, queueWatch, watchedClient, watchedPool } from '../../src/roles/watch-ports.js';
import { Loops } from '../../src/roles/watch.js';
import type { QueueClient } from '../../src/source/queue-client.js';

const HOUR_MS = 3_600_000;
const never = (): Promise<never> => new Promise(() => undefined);

function rig() {
  let now = 0;
  const loops = new Loops({ elapsed: () => now });
  const overdueAfter = (ms: number): readonly string[] => {
    now += ms;
    return loops.all.filter((loop) => loop.isOverdue).map((loop) => loop.name);
  };
  return { loops, overdueAfter };
}

test('each call to Postgres is watched: a statement for minutes, a transaction for longer', () => {
  const { loops, overdueAfter } = rig();
  const stuck: PostgresPool = { query: never, withClient: never, transaction: never, close: never };
  const pool = watchedPool(loops, stuck);
  void pool.query('select 1');
  void pool.withClient(never);
  // Longer than a connection, its settings and a statement may take by their own limits.
  assert.deepEqual(overdueAfter(150_000), []);
  assert.deepEqual(overdueAfter(60_000), ['statements']);
  assert.deepEqual(overdueAfter(HOUR_MS), ['statements', 'transactions']);
});

test('each call to SQS that belongs to a loop is watched, apart from each other', () => {
  for (const [call, name] of [
    [
      (client: QueueClient) =>
        client.receive({ maxMessages: 1, waitS: 20, visibilityS: 1 }, new AbortController().signal),
      'receive',
    ],
    [(client: QueueClient) => client.deleteBatch(['x']), 'ack'],
    [(client: QueueClient) => client.changeVisibilityBatch([]), 'visibility'],
  ] as const) {
    const { loops, overdueAfter } = rig();
    const stuck = {
      queue: 'q',
      receive: never,
      deleteBatch: never,
      changeVisibilityBatch: never,
      attributes: never,
      close: () => undefined,
    };
    void call(watchedClient(loops, 'logins', stuck));
    assert.deepEqual(overdueAfter(60_000), []);
    assert.deepEqual(overdueAfter(60_000), [`${name} logins`]);
    assert.deepEqual(new Set(loops.all.map((loop) => loop.need)), new Set(['sqs logins']));
  }
});

test('calls to a queue, the wait of its consumer, and handlers are watched', () => {
  const { loops, overdueAfter } = rig();
  const watch = queueWatch(loops, 'load.logins');
  void watch.call(never);
  const fetched = watch.fetch();
  assert.deepEqual(overdueAfter(120_000), ['queue load.logins', 'fetch load.logins']);
  fetched();
  assert.deepEqual(overdueAfter(1), ['queue load.logins']);
  const handlers = handlerLoop(loops, 'load', { name: 'logins', limits: { residenceMs: 2 * HOUR_MS } });
  void handlers.turn(never);
  assert.equal(
    overdueAfter(HOUR_MS).includes('load logins'),
    false,
    'shorter than a batch may wait for its fate',
  );
  assert.equal(overdueAfter(2 * HOUR_MS).includes('load logins'), true);
});
