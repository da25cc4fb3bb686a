import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import type { QueueEvent } from '../../src/queue/attempts.js';
import { type BullQueue, type BullQueueOptions, createBullQueue } from '../../src/queue/bullmq.js';
import { checkRedis } from '../../src/queue/bullmq-check.js';
import { batchCodec } from '../../src/queue/payload.js';
import { REDIS_ACL_COMMANDS } from '../../src/queue/redis-acl.js';
import { Seen, batchOf, eventually, testSealer } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';

/** Every sign of ASCII that is no letter or digit, and some beyond; an ACL file only wants no blanks in it. */
const PASSWORD = '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~é€𝄞';

let dir: string;
let server: Awaited<ReturnType<typeof startTestRedis>>;
let admin: Redis;
let queues: BullQueue<Batch>[] = [];
let events: Seen<QueueEvent>;

function as(user: string, password: string, db = 0): string {
  return `redis://${user}:${encodeURIComponent(password)}@127.0.0.1:${server.port}/${db}`;
}

function open(overrides: Partial<BullQueueOptions<Batch>> = {}): BullQueue<Batch> {
  const queue = createBullQueue<Batch>({
    url: as('maskline', PASSWORD),
    backend: 'redis',
    prefix: 'maskline',
    name: 'transform.logins',
    codec: batchCodec,
    sealer: testSealer(),
    clock: systemClock,
    keepFailed: { count: 2, ageS: 60 },
    attempts: { attempts: 2, baseMs: 10, maxMs: 20, newerMs: 10 },
    locks: { lockMs: 300, stalledMs: 100 },
    onEvent: (event) => events.push(event),
    ...overrides,
  });
  queues.push(queue);
  return queue;
}

async function denials(): Promise<readonly unknown[]> {
  const log = await admin.call('ACL', 'LOG');
  return Array.isArray(log) ? (log as readonly unknown[]) : [log];
}

describe('a Redis user with the rights of the documentation', () => {
  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'maskline-acl-'));
    const aclfile = join(dir, 'users.acl');
    const users = [
      'user default on nopass ~* &* +@all',
      `user maskline on >${PASSWORD} resetchannels ~maskline:* ${REDIS_ACL_COMMANDS}`,
    ];
    writeFileSync(aclfile, `${users.join('\n')}\n`);
    server = await startTestRedis({ settings: { aclfile } });
    admin = new Redis(server.url);
    events = new Seen();
  });

  afterEach(async () => {
    await Promise.all(queues.map((queue) => queue.close()));
    queues = [];
    await admin.call('ACL', 'LOG', 'RESET');
  });

  after(async () => {
    admin.disconnect();
    await server.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test('it can do all that a queue does, and is refused nothing of it', async () => {
    const report = await checkRedis({ url: as('maskline', PASSWORD) });
    assert.equal(report.maxmemoryPolicy, 'noeviction');
    assert.ok(report.version);
    const [seen, started] = [new Seen<string>(), new Seen<string>()];
    const bad = new Set<string>();
    const queue = open();
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
    // Taken over from the consumer that was cut short.
    await seen.take(1, (id) => id === hanging.batchId);
    assert.match(await queue.exposition(), /bullmq_job_count/);
    assert.notEqual(await queue.memory(), null);
    const { board } = queue;
    await board.counts();
    await board.jobs(['waiting', 'active', 'delayed', 'failed', 'completed'], 0, 10);
    await board.job(second);
    await board.isPaused();
    await board.finished('completed');
    assert.deepEqual(
      events.all.filter((event) => event.kind === 'trouble'),
      [],
    );
    assert.deepEqual(await denials(), []);
  });

  test('a database of its own is chosen by the URL', async () => {
    const batch = batchOf(['{}']);
    const queue = open({ url: as('maskline', PASSWORD, 3) });
    await queue.add(batch);
    assert.deepEqual(await queue.states([batch.batchId]), ['live']);
    assert.deepEqual(await open().states([batch.batchId]), ['absent']);
    await admin.select(3);
    assert.equal(await admin.exists(`maskline:transform.logins:${batch.batchId}`), 1);
    await admin.select(0);
  });

  test('it can do nothing else: no other prefix, no settings, no keys of others, nothing wiped', async (t) => {
    await assert.rejects(open({ prefix: 'foreign' }).add(batchOf(['{}'])), {
      code: 'permission_denied',
      message: /NOPERM.*~PREFIX:\*.*\+@hash/,
    });
    const user = new Redis(as('maskline', PASSWORD));
    t.after(() => user.disconnect());
    const commands = [
      'FLUSHALL',
      'FLUSHDB',
      'KEYS *',
      'CONFIG GET *',
      'ACL LIST',
      'SHUTDOWN',
      'MONITOR',
      'CLIENT LIST',
    ];
    for (const command of [...commands, 'GET foreign', 'SCRIPT FLUSH', 'SUBSCRIBE x']) {
      const [name = '', ...args] = command.split(' ');
      await assert.rejects(user.call(name, ...args), /NOPERM/, command);
    }
  });

  test('a wrong password, and one that is missing, are told and not printed', async () => {
    const wrong = open({ url: as('maskline', 'wr0ng') });
    await assert.rejects(wrong.add(batchOf(['{}'])), (error: Error & { readonly code?: string }) => {
      assert.equal(error.code, 'permission_denied');
      assert.match(error.message, /WRONGPASS/);
      assert.ok(!error.message.includes('wr0ng'));
      return true;
    });
  });
});
