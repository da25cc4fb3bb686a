import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import type { QueueEvent } from '../../src/queue/attempts.js';
import {
  type BullQueue,
  type BullQueueOptions,
  createBullQueue,
  migrateQueue,
} from '../../src/queue/bullmq.js';
import { batchCodec } from '../../src/queue/payload.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';
import { Seen, batchOf, eventually, testSealer } from '../support/queue.js';

const PASSWORD = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~é€𝄞 ';
const PREFIX = 'integration';
/** What deploy/postgres/roles.sql grants the processes on the schema of the queue. */
const RIGHTS = `
  grant usage on schema ${PREFIX}_queue to worker;
  grant select, insert, update, delete on all tables in schema ${PREFIX}_queue to worker;
  grant usage on all sequences in schema ${PREFIX}_queue to worker;
  revoke insert, update, delete on ${PREFIX}_queue.migration from worker`;

let server: TestPostgres;
let database: string;
let name = '';
let count = 0;
let queues: BullQueue<Batch>[] = [];
let events: Seen<QueueEvent>;

function as(user: string): string {
  const url = new URL(database);
  [url.username, url.password] = [user, encodeURIComponent(PASSWORD)];
  return url.href;
}

function open(overrides: Partial<BullQueueOptions<Batch>> = {}): BullQueue<Batch> {
  const queue = createBullQueue<Batch>({
    url: as('worker'),
    backend: 'postgres',
    prefix: PREFIX,
    name,
    codec: batchCodec,
    sealer: testSealer(),
    clock: systemClock,
    keepFailed: { count: 2, ageS: 60 },
    onEvent: (event) => events.push(event),
    ...overrides,
  });
  queues.push(queue);
  return queue;
}

function troubles(): readonly QueueEvent[] {
  return events.all.filter((event) => event.kind === 'trouble');
}

describe('a queue on Postgres, owned by one user and worked on by another', () => {
  before(async () => {
    server = await startTestPostgres();
    database = await server.database();
    await withConnection(database, async (client) => {
      const password = client.escapeLiteral(PASSWORD);
      await client.query(
        `create role owner login password ${password}; create role worker login password ${password}`,
      );
      await client.query(
        `grant create on database ${client.escapeIdentifier(new URL(database).pathname.slice(1))} to owner`,
      );
    });
    await migrateQueue({ url: as('owner'), backend: 'postgres', prefix: PREFIX });
    await rowsOf(as('owner'), RIGHTS);
  });

  beforeEach(() => {
    count += 1;
    name = `transform.test_${count}`;
    events = new Seen();
  });

  afterEach(async () => {
    await Promise.all(queues.map((queue) => queue.close()));
    queues = [];
  });

  after(() => server.stop());

  test('the worker can do all that a queue does, and is refused nothing of it', async () => {
    const queue = open({
      attempts: { attempts: 2, baseMs: 10, maxMs: 20, newerMs: 10 },
      locks: { lockMs: 600, stalledMs: 200 },
    });
    const [seen, started] = [new Seen<string>(), new Seen<string>()];
    const bad = new Set<string>();
    const hanging = batchOf(['{}']);
    const consumer = queue.process(
      async ({ batchId }, signal) => {
        started.push(batchId);
        if (batchId === hanging.batchId && started.all.filter((id) => id === batchId).length === 1) {
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        }
        if (bad.has(batchId)) throw new PipelineError('contention', 'told to fail');
        seen.push(batchId);
      },
      { concurrency: 2 },
    );
    await queue.add(hanging);
    await started.take(1);
    const failing = [batchOf(['{}']), batchOf(['{}']), batchOf(['{}'])];
    for (const batch of failing) {
      bad.add(batch.batchId);
      await queue.add(batch);
      await eventually(
        () => queue.states([batch.batchId]),
        ([state]) => state === 'failed',
      );
    }
    await consumer.stop('hard');
    const failed = await queue.failed({ codes: [], since: null, limit: null });
    assert.equal(failed.length, 2);
    const [first, second] = failed.map((job) => job.batchId);
    assert.ok(first && second);
    assert.equal((await queue.openFailed(first))?.batchId, first);
    assert.equal(await queue.discardFailed(first), true);
    bad.clear();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    const again = failing.find((batch) => batch.batchId === second);
    assert.ok(again);
    await queue.add(again);
    await seen.take(1, (id) => id === second);
    await seen.take(1, (id) => id === hanging.batchId);
    assert.match(await queue.exposition(), /bullmq_job_count/);
    const { board } = queue;
    await board.counts();
    await board.jobs(['waiting', 'active', 'delayed', 'failed', 'completed'], 0, 10);
    await board.job(second);
    await board.isPaused();
    await board.finished('completed');
    assert.deepEqual(troubles(), []);
    assert.doesNotMatch(await server.log(), /permission denied/);
  });

  test('the worker can make nothing there, and the owner migrates while it works', async () => {
    const refused = { code: '42501' };
    await assert.rejects(rowsOf(as('worker'), `create table ${PREFIX}_queue.x ()`), refused);
    await assert.rejects(rowsOf(as('worker'), `drop table ${PREFIX}_queue.job`), refused);
    await assert.rejects(rowsOf(as('worker'), `delete from ${PREFIX}_queue.migration`), refused);
    await assert.rejects(migrateQueue({ url: as('worker'), backend: 'postgres', prefix: PREFIX }), {
      code: 'permission_denied',
    });
    const queue = open();
    const seen = new Seen<string>();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    const batches = Array.from({ length: 20 }, () => batchOf(['{}']));
    await Promise.all([
      migrateQueue({ url: as('owner'), backend: 'postgres', prefix: PREFIX }),
      ...batches.map((batch) => queue.add(batch)),
    ]);
    await seen.take(batches.length);
    assert.deepEqual(troubles(), []);
  });

  test('with the default settings, what a killed worker held is taken over within 20 s', async (t) => {
    const script = fileURLToPath(new URL('../support/queue-worker.js', import.meta.url));
    const stdio = ['ignore', 'pipe', 'inherit'] as const;
    const child = spawn(process.execPath, [script, as('worker'), PREFIX, name], { stdio: [...stdio] });
    t.after(() => child.kill('SIGKILL'));
    const taken = new Seen<string>();
    child.stdout?.on('data', (chunk: Buffer) => {
      for (const line of chunk.toString().split('\n')) if (line) taken.push(line);
    });
    const batches = [batchOf(['{"a":1}']), batchOf(['{"a":2}'])];
    const queue = open();
    for (const batch of batches) await queue.add(batch);
    await taken.take(2);
    const died = once(child, 'exit');
    child.kill('SIGKILL');
    await died;
    const seen = new Seen<string>();
    const from = performance.now();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    await seen.take(2, undefined, 25_000);
    assert.ok(performance.now() - from <= 20_000, `took ${Math.round(performance.now() - from)} ms`);
    assert.deepEqual([...seen.all].sort(), batches.map((batch) => batch.batchId).sort());
    assert.equal(events.all.filter((event) => event.kind === 'taken_over').length, 2);
  });

  test('notifications that were cut off come back: what is added then is taken at once', async () => {
    const queue = open();
    const seen = new Seen<string>();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 1 });
    const first = batchOf(['{}']);
    await queue.add(first);
    await seen.take(1);
    await rowsOf(database, `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'worker'`);
    // BullMQ calls the connection on which it listens by the name of the queue.
    const sql = `select from pg_stat_activity where usename = 'worker' and application_name = $1 and query ilike '%listen%'`;
    await eventually(
      () => rowsOf(database, sql, [name]),
      (rows) => rows.length > 0,
    );
    const batch = batchOf(['{}']);
    await eventually(
      () =>
        queue.add(batch).then(
          () => true,
          () => false,
        ),
      (added) => added,
    );
    const from = performance.now();
    await seen.take(1, (id) => id === batch.batchId);
    assert.ok(performance.now() - from < 2_000, `waited ${Math.round(performance.now() - from)} ms`);
  });

  test('a process holds no more connections than is said: two for adding, five for working, of each queue', async () => {
    const queue = open();
    const seen = new Seen<string>();
    queue.process(async ({ batchId }) => seen.push(batchId), { concurrency: 8 });
    const batches = Array.from({ length: 60 }, () => batchOf(['{}']));
    await Promise.all(batches.map((batch) => queue.add(batch)));
    await seen.take(batches.length);
    const sql = `select count(*)::int as n from pg_stat_activity where usename = 'worker'`;
    const [row] = await rowsOf(database, sql);
    assert.ok(Number(row?.['n']) <= 7, `${String(row?.['n'])} connections`);
  });
});
