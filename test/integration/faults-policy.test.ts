import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import type { CliProcess, Json } from '../support/cli.js';
import { NotedSqs } from '../support/noted-sqs.js';
import { tokenOracle } from '../support/oracle.js';
import { eventually } from '../support/queue.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const TABLE = `public.${PIPELINE}`;
const COUNT = 30;
const PER_BATCH = 10;
const LIMIT_MS = 120_000;

const ID = { from: 'event_id', type: 'text', max_length: 32, required: true };
const DEVICE = { from: 'device', required: true, mask: { method: 'siv', domain: 'device' } };
const KIND = { from: 'kind', type: 'text', max_length: 8 };

let stack: Stack;
let sqs: NotedSqs;
before(async () => {
  stack = await startStack();
  sqs = await NotedSqs.start(stack);
});
after(async () => {
  await stack.stop();
  await sqs.stop();
});

/** A deployment with these columns, in a table that has them all. */
async function deploymentOf(columns: Json, maxMessages = PER_BATCH): Promise<Deployment> {
  return stack.deployment({
    ddl: `create table ${TABLE} (event_id varchar(32), device varchar(256), kind varchar(8) default 'unset')`,
    pipeline: { schedule: '* * * * * *', batch: { max_messages: maxMessages, linger: '500ms' }, columns },
  });
}

const body = (n: number): string =>
  JSON.stringify({ event_id: `e${String(n).padStart(3, '0')}`, device: `d${n}`, kind: `k${n}` });
const bodies = (from: number): readonly string[] => Array.from({ length: COUNT }, (_, i) => body(from + i));

const start = ({ cli }: Deployment, role: string): CliProcess =>
  cli.spawn(['run', role], { limitMs: LIMIT_MS, env: sqs.env });

/** Resolves when so many batches wait for a loader, of which there is none. */
async function masked({ prefix }: Deployment, batches: number): Promise<void> {
  const redis = new Redis(stack.redis.url);
  try {
    const waiting = `${prefix}:load.${PIPELINE}:wait`;
    await eventually(
      () => redis.llen(waiting),
      (count) => count >= batches,
      LIMIT_MS,
    );
  } finally {
    redis.disconnect();
  }
}

/** All that were sent are settled, and the processes end well. */
async function settled(
  deployment: Deployment,
  count: number,
  processes: readonly CliProcess[],
): Promise<void> {
  await deployment.countUntil('maskline.ledger', (n) => n >= count, LIMIT_MS);
  await eventually(
    () => deployment.depth(),
    ({ visible, inFlight }) => visible + inFlight === 0,
    LIMIT_MS,
  );
  for (const process of processes) {
    process.signal('SIGTERM');
    assert.equal((await process.ended).code, 0, process.stderr);
  }
}

/** The table by id, as texts. */
async function rows(deployment: Deployment): Promise<readonly Json[]> {
  return deployment.query(`select event_id, device, kind from ${TABLE} order by event_id collate "C"`);
}

/** What the device of event `n` must be, recomputed by another implementation. */
function deviceOf(deployment: Deployment, n: number, method: 'siv' | 'hmac'): string | null {
  const master = deployment.masters().get(1);
  assert.ok(master);
  return tokenOracle(master, 1, method, 'device', 'text', `d${n}`);
}

describe('the policy changes while batches wait for their loader', { concurrency: 3 }, () => {
  test('a column is added between masking and loading: the batch is loaded by its own columns, the next by the new ones', async () => {
    // GIVEN batches that were masked before the pipeline had a kind
    const deployment = await deploymentOf({ event_id: ID, device: DEVICE });
    const ingest = start(deployment, 'ingest');
    const before = start(deployment, 'transform');
    await deployment.send(bodies(0));
    await masked(deployment, COUNT / PER_BATCH);
    before.signal('SIGTERM');
    assert.equal((await before.ended).code, 0);
    // WHEN it gets one, as the first of its columns
    deployment.configurePipeline({ columns: { kind: KIND, event_id: ID, device: DEVICE } });
    await deployment.send(bodies(COUNT));
    await settled(deployment, 2 * COUNT, [ingest, start(deployment, 'transform'), start(deployment, 'load')]);
    // THEN each value is in its own column, and a batch is of one policy
    const expected = Array.from({ length: 2 * COUNT }, (_, n) => ({
      event_id: `e${String(n).padStart(3, '0')}`,
      device: deviceOf(deployment, n, 'siv'),
      kind: n < COUNT ? 'unset' : `k${n}`,
    }));
    assert.deepEqual(await rows(deployment), expected);
    const policies = await deployment.query(
      'select policy_sha256, sum(loaded)::int as n from maskline.loads group by 1',
    );
    assert.deepEqual(
      policies.map(({ n }) => n),
      [COUNT, COUNT],
    );
  });

  test('the mask of a column changes between masking and loading: each row has the token of one policy, as its batch says', async () => {
    const deployment = await deploymentOf({ event_id: ID, device: DEVICE });
    const ingest = start(deployment, 'ingest');
    const before = start(deployment, 'transform');
    await deployment.send(bodies(0));
    await masked(deployment, COUNT / PER_BATCH);
    before.signal('SIGTERM');
    await before.ended;
    const hashed = { ...DEVICE, mask: { method: 'hmac', domain: 'device' } };
    deployment.configurePipeline({ columns: { event_id: ID, device: hashed } });
    await deployment.send(bodies(COUNT));
    await settled(deployment, 2 * COUNT, [ingest, start(deployment, 'transform'), start(deployment, 'load')]);
    const expected = Array.from({ length: 2 * COUNT }, (_, n) =>
      deviceOf(deployment, n, n < COUNT ? 'siv' : 'hmac'),
    );
    assert.deepEqual(
      (await rows(deployment)).map(({ device }) => device),
      expected,
    );
    const mixed = await deployment.query(
      'select batch_id from maskline.ledger group by batch_id having count(*) <> $1',
      [PER_BATCH],
    );
    assert.deepEqual(mixed, []);
  });

  test('the table has lost a column by then: the batch is let go, and SQS brings its messages to the new policy', async () => {
    // One batch, or the loader would stop before it has come to all of them.
    const deployment = await deploymentOf({ event_id: ID, device: DEVICE, kind: KIND }, COUNT);
    const ingest = start(deployment, 'ingest');
    const before = start(deployment, 'transform');
    await deployment.send(bodies(0));
    await masked(deployment, 1);
    before.signal('SIGTERM');
    await before.ended;
    // WHEN the column is gone from table and file
    await deployment.query(`alter table ${TABLE} drop column kind`);
    deployment.configurePipeline({ columns: { event_id: ID, device: DEVICE } });
    const stopped = await start(deployment, 'load').ended;
    // THEN the loader stops and says so, and nothing is quarantined for it
    assert.equal(stopped.code, 2, stopped.stderr);
    assert.match(stopped.stderr, /42703/);
    assert.equal(await deployment.count('maskline.quarantine'), 0);
    // and what it had is let go, to be masked anew
    const workers = [start(deployment, 'transform'), start(deployment, 'load')];
    const released = await eventually(
      async () => sqs.changes(deployment).filter(({ seconds }) => seconds === 30),
      (changes) => changes.length >= COUNT,
      LIMIT_MS,
    );
    await sqs.passTime(deployment, released);
    await settled(deployment, COUNT, [ingest, ...workers]);
    const ids = await deployment.query(`select event_id, device from ${TABLE} order by event_id collate "C"`);
    const expected = Array.from({ length: COUNT }, (_, n) => ({
      event_id: `e${String(n).padStart(3, '0')}`,
      device: deviceOf(deployment, n, 'siv'),
    }));
    assert.deepEqual(ids, expected);
  });

  test('what a newer version has queued is left to it by an older one, and nothing else waits for that', async () => {
    // GIVEN a batch that says it is of a newer version, among others
    const deployment = await deploymentOf({ event_id: ID, device: DEVICE });
    const ingest = start(deployment, 'ingest');
    await deployment.send(bodies(0));
    const redis = new Redis(stack.redis.url);
    try {
      const queue = `${deployment.prefix}:transform.${PIPELINE}`;
      const [id = ''] = await eventually(
        () => redis.lrange(`${queue}:wait`, 0, -1),
        (ids) => ids.length >= COUNT / PER_BATCH,
        LIMIT_MS,
      );
      const written = String(await redis.hget(`${queue}:${id}`, 'data'));
      await redis.hset(`${queue}:${id}`, 'data', written.replace('"v":1', '"v":2'));
      // WHEN workers of this version come by
      const workers = [start(deployment, 'transform'), start(deployment, 'load')];
      // THEN they load the others, and put that one back as it is
      await deployment.countUntil('maskline.ledger', (n) => n >= COUNT - PER_BATCH, LIMIT_MS);
      await eventually(
        () => redis.zscore(`${queue}:delayed`, id),
        (score) => score !== null,
        LIMIT_MS,
      );
      assert.equal(await redis.zscore(`${queue}:failed`, id), null);
      assert.match(String(await redis.hget(`${queue}:${id}`, 'data')), /"v":2/);
      assert.equal(await redis.hget(`${queue}:${id}`, 'atm'), null, 'it has cost no attempt');
      assert.equal(await deployment.count('maskline.ledger'), COUNT - PER_BATCH);
      await eventually(
        () => deployment.depth(),
        ({ inFlight }) => inFlight === PER_BATCH,
      );
      // and one that can read it loads it
      await redis.hset(`${queue}:${id}`, 'data', written);
      await settled(deployment, COUNT, [ingest, ...workers]);
      assert.equal((await rows(deployment)).length, COUNT);
    } finally {
      redis.disconnect();
    }
  });
});
