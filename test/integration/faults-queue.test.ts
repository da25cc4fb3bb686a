import assert from 'node:assert/strict';
import { copyFile, readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { startSqs } from '../../src/embedded/sqs.js';
import type { RedisOptions } from '../../src/embedded/redis.js';
import type { CliProcess } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { type TestPostgres, startTestPostgres, withConnection } from '../support/postgres.js';
import { eventually } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';
import { Sent, allSettled, assertSameEnd } from '../support/same-end.js';
import { PIPELINE, Stack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const TABLE = `public.${PIPELINE}`;
/** A lost batch is missed after 30 s, and its messages come again 30 s later. */
const LIMIT_MS = 180_000;
/** Other keys of a queue have names. */
const BATCH_ID = /^[0-9a-f-]{36}$/;
const MESSAGES = 1_000;

let postgres: TestPostgres;
const stacks: Stack[] = [];
before(async () => {
  postgres = await startTestPostgres();
});
after(async () => {
  await Promise.all(stacks.map((stack) => stack.stop()));
  await postgres.stop();
});

/** A deployment with a Redis of its own, which it may ruin, events for it, and a look into its queues. */
async function onRedis(options: Pick<RedisOptions, 'appendOnly'> = {}) {
  const [redis, sqs] = await Promise.all([startTestRedis(options), startSqs({ remember: MESSAGES })]);
  const stack = new Stack({ postgres: { ...postgres, stop: async () => undefined }, redis, sqs });
  stacks.push(stack);
  const deployment = await stack.deployment({
    ddl: `create table ${TABLE} (event_id varchar(32) not null, device varchar(256) not null)`,
    pipeline: {
      schedule: '* * * * * *',
      batch: { max_messages: 20, linger: '50ms' },
      columns: SMALL_COLUMNS,
    },
  });
  const sent = new Sent(deployment, smallEvents(MESSAGES, 10));
  const start = (args: readonly string[], env = {}): CliProcess =>
    deployment.cli.spawn(args, { limitMs: LIMIT_MS, env });
  /** Ids of the batches that a queue holds. */
  const batchesIn = async (client: Redis, stage: 'transform' | 'load'): Promise<readonly string[]> => {
    const keys = await client.keys(`${deployment.prefix}:${stage}.${PIPELINE}:*-*`);
    return keys.map((key) => key.slice(key.lastIndexOf(':') + 1)).filter((id) => BATCH_ID.test(id));
  };
  return { redis, deployment, sent, start, batchesIn };
}

/** A connection to Redis that is closed afterwards. */
async function withRedis<T>(url: string, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url);
  client.on('error', () => undefined);
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
}

async function stopAndCompare(sent: Sent, processes: readonly CliProcess[]): Promise<void> {
  await allSettled(sent);
  for (const process of processes) {
    assert.ok(process.isRunning, process.stderr);
    process.signal('SIGTERM');
  }
  for (const process of processes) assert.equal((await process.ended).code, 0, process.stderr);
  await assertSameEnd(sent);
}

const hasLetGo = (process: CliProcess): boolean =>
  process.log.all.some(({ event }) => event === 'batch_let_go');

describe('what Redis does not keep', { concurrency: 3 }, () => {
  test('adding stops half-way since Redis is full: what was added is known by id, the rest waits unacked', async () => {
    // GIVEN an ingester that adds its batches slowly
    const { redis, deployment, sent, start, batchesIn } = await onRedis();
    await sent.send(MESSAGES);
    await withRedis(redis.url, async (client) => {
      const ingest = start(['run', 'ingest'], {
        MASKLINE_ALLOW_FAILPOINTS: '1',
        MASKLINE_FAILPOINTS: 'add_batch.after=delay(100ms)',
      });
      await eventually(
        () => batchesIn(client, 'transform'),
        (batches) => batches.length > 2,
        LIMIT_MS,
      );
      // WHEN there is no more room in the middle of it
      await client.config('SET', 'maxmemory', '1');
      await ingest.log.take(
        1,
        ({ event, code }) => event === 'outage_waiting' && code === 'redis_unavailable',
        LIMIT_MS,
      );
      // THEN some are there, whole, and nothing is acked
      const added = await batchesIn(client, 'transform');
      assert.ok(added.length > 0 && added.length < MESSAGES / 20, `${added.length} batches were added`);
      const { visible, inFlight } = await deployment.depth();
      assert.equal(visible + inFlight, MESSAGES);
      // and all come to their end when there is room
      await client.config('SET', 'maxmemory', '0');
      await stopAndCompare(sent, [ingest, start(['run', 'transform']), start(['run', 'load'])]);
      const loaded = await deployment.query(
        'select batch_id::text from maskline.loads where batch_id = any($1::uuid[])',
        [added],
      );
      assert.equal(loaded.length, added.length, 'what was added before is loaded under its id');
      assert.ok(!hasLetGo(ingest));
    });
  });

  test('the end of the append-only file is cut off in the middle of a run: same end', async () => {
    const { redis, deployment, sent, start, batchesIn } = await onRedis({ appendOnly: true });
    await sent.send(MESSAGES);
    const all = start(['run', 'all']);
    await withConnection(deployment.database, async (lock) => {
      // Loading waits for this, so that batches wait in Redis.
      await lock.query(`begin; lock table ${TABLE}`);
      await withRedis(redis.url, (client) =>
        eventually(
          () => batchesIn(client, 'load'),
          (batches) => batches.length > 20,
          LIMIT_MS,
        ),
      );
      await redis.kill();
      await cutAppendOnlyFile(join(redis.dir, 'appendonlydir'));
      await redis.restart();
      await lock.query('rollback');
    });
    await stopAndCompare(sent, [all]);
    assert.ok(hasLetGo(all), 'no batch was lost: the fault did not bite');
  });

  test('an old snapshot is restored in the middle of a run: what it brings back is not loaded again, what it lacks comes from SQS', async () => {
    const { redis, deployment, sent, start, batchesIn } = await onRedis();
    const dump = join(redis.dir, 'dump.rdb');
    const old = join(redis.dir, 'old.rdb');
    await sent.send(MESSAGES / 2);
    const all = start(['run', 'all']);
    const whileLocked = (work: (client: Redis) => Promise<void>): Promise<void> =>
      withConnection(deployment.database, async (lock) => {
        await lock.query(`begin; lock table ${TABLE}`);
        await withRedis(redis.url, work);
        await lock.query('rollback');
      });
    let kept: readonly string[] = [];
    await whileLocked(async (client) => {
      kept = await eventually(
        () => batchesIn(client, 'load'),
        (batches) => batches.length > 10,
        LIMIT_MS,
      );
      await client.save();
      await copyFile(dump, old);
    });
    await deployment.countUntil('maskline.ledger', (count) => count >= MESSAGES / 2, LIMIT_MS);
    await whileLocked(async (client) => {
      await sent.send(MESSAGES / 2);
      await eventually(
        () => batchesIn(client, 'load'),
        (batches) => batches.length > 10,
        LIMIT_MS,
      );
      await redis.kill();
      await copyFile(old, dump);
      await redis.restart();
    });
    const again = await deployment.query(
      `select 1 from maskline.loads where state = 'committed' and batch_id = any($1::uuid[])`,
      [kept],
    );
    assert.ok(again.length > 10, 'what the snapshot brought back had been loaded before');
    await stopAndCompare(sent, [all]);
    assert.ok(hasLetGo(all), 'no batch was lost: the fault did not bite');
  });
});

/** As after a power cut: half of the latest file is missing, and its end is in the middle of a command. */
async function cutAppendOnlyFile(dir: string): Promise<void> {
  const files = (await readdir(dir)).filter((name) => name.endsWith('.incr.aof'));
  const file = join(dir, files.at(-1) ?? '');
  const { size } = await stat(file);
  await truncate(file, Math.floor(size / 2) + 7);
}
