import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { Batch } from '../../src/batch.js';
import { systemClock } from '../../src/clock.js';
import { startPostgres } from '../../src/embedded/postgres.js';
import { PipelineError } from '../../src/errors.js';
import type { QueueEvent } from '../../src/queue/attempts.js';
import { createBullQueue, migrateQueue } from '../../src/queue/bullmq.js';
import { batchCodec } from '../../src/queue/payload.js';
import { batchOf, eventually, testSealer } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';

const PREFIX = 'secrecy';

/** Every way in which the text might be written down. */
function spellings(text: string): readonly Buffer[] {
  const bytes = Buffer.from(text);
  // Base64 depends on where in a group of three the text begins; the outer characters depend on its neighbours.
  const base64 = [0, 1, 2].map((shift) => {
    const padded = Buffer.concat([Buffer.alloc(shift), bytes]).toString('base64');
    return Buffer.from(padded.slice(shift === 0 ? 0 : 4, -4));
  });
  const hex = bytes.toString('hex');
  return [bytes, ...base64, Buffer.from(hex), Buffer.from(hex.toUpperCase()), Buffer.from(text, 'utf16le')];
}

function holds(haystack: Buffer, text: string): boolean {
  return spellings(text).some((needle) => haystack.includes(needle));
}

/** Puts the canary through success, retries, failures of all kinds, and leaves batches waiting, delayed and failed. */
async function exercise(
  target: { readonly url: string; readonly backend: 'redis' | 'postgres' },
  canary: string,
): Promise<{ readonly ids: readonly string[]; readonly events: readonly QueueEvent[] }> {
  const events: QueueEvent[] = [];
  const queue = createBullQueue<Batch>({
    ...target,
    prefix: PREFIX,
    name: 'transform.logins',
    codec: batchCodec,
    sealer: testSealer(),
    clock: systemClock,
    keepFailed: { count: 100, ageS: 60 },
    attempts: { attempts: 2, baseMs: 10, maxMs: 20, newerMs: 60_000 },
    onEvent: (event) => events.push(event),
  });
  const make = (): Batch => {
    const batch = batchOf([`{"ip":"${canary}"}`, canary]);
    const messages = batch.messages.map((head) => ({
      ...head,
      attributes: { note: canary },
      groupId: canary,
    }));
    return { ...batch, messages };
  };
  const thrown: readonly (() => unknown)[] = [
    () => undefined,
    () => new TypeError(`cannot read ${canary}`),
    () => new PipelineError('contention', 'busy', { cause: new Error(canary) }),
    () => new PipelineError('payload_corrupt', 'unreadable', { cause: canary }),
    () =>
      Object.assign(new Error(canary), { detail: canary, where: canary, stack: `Error: ${canary}\n at x` }),
    () => canary,
    () => new PipelineError('payload_newer', 'upgrade first', { cause: new Error(canary) }),
  ];
  const batches = thrown.map(make);
  const waiting = make();
  try {
    const consumer = queue.process(
      async ({ batchId, records }) => {
        assert.equal(records[1]?.body, canary);
        const error = thrown[batches.findIndex((batch) => batch.batchId === batchId)]?.();
        if (error !== undefined) throw error;
      },
      { concurrency: 2 },
    );
    for (const batch of batches) await queue.add(batch);
    await eventually(
      () => queue.backlog(),
      ({ waiting, active, failed }) => waiting === 1 && active === 0 && failed === 5,
    );
    await consumer.stop();
    await queue.add(waiting);
    await queue.add(waiting);
  } finally {
    await queue.close();
  }
  return { ids: [...batches, waiting].map((batch) => batch.batchId), events };
}

async function everyFileBelow(dir: string): Promise<Buffer> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Buffer.concat(await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name)))));
}

/** All that any client could read: every key with its value, and the log of slow commands, which is of all here. */
async function everythingIn(client: Redis): Promise<Buffer> {
  const found: Buffer[] = [];
  const keep = (value: unknown): void => {
    if (Buffer.isBuffer(value)) found.push(value);
    else if (Array.isArray(value)) value.forEach(keep);
  };
  for (const key of await client.keys('*')) {
    found.push(Buffer.from(key));
    const type = await client.type(key);
    if (type === 'hash') keep(await client.callBuffer('HGETALL', key));
    else if (type === 'list') keep(await client.lrangeBuffer(key, 0, -1));
    else if (type === 'set') keep(await client.smembersBuffer(key));
    else if (type === 'zset') keep(await client.zrangeBuffer(key, '0', '-1'));
    else if (type === 'stream') keep(await client.xrangeBuffer(key, '-', '+'));
    else keep(await client.getBuffer(key));
  }
  keep(await client.callBuffer('SLOWLOG', 'GET', '10000'));
  return Buffer.concat(found);
}

test('nothing of a message is readable in Redis: in no key, no event, no failure, no slow log, not on its disk', async () => {
  const canary = `canary-${randomBytes(12).toString('hex')}`;
  const server = await startTestRedis({
    appendOnly: true,
    settings: { 'slowlog-log-slower-than': '0', 'slowlog-max-len': '10000', appendfsync: 'always' },
  });
  const client = new Redis(server.url);
  try {
    const { ids, events } = await exercise({ url: server.url, backend: 'redis' }, canary);
    const everything = Buffer.concat([await everythingIn(client), await everyFileBelow(server.dir)]);
    // The control: what is meant to be readable is found.
    for (const id of ids) assert.ok(holds(everything, id));
    assert.ok(holds(everything, 'unexpected: unexpected TypeError (its text is withheld'));
    assert.ok(!holds(everything, canary));
    assert.ok(!JSON.stringify(events).includes(canary));
  } finally {
    client.disconnect();
    await server.stop();
  }
});

test('nothing of a message is readable in Postgres: in no table of the queue, and not in its log', async () => {
  const canary = `canary-${randomBytes(12).toString('hex')}`;
  const dir = await mkdtemp(join(tmpdir(), 'maskline-secrecy-'));
  const settings = { log_statement: 'all', log_min_messages: 'notice' };
  const server = await startPostgres({ dir, durable: false, temporary: true, settings });
  const client = new pg.Client({ connectionString: server.url });
  try {
    await client.connect();
    await migrateQueue({ url: server.url, backend: 'postgres', prefix: PREFIX });
    const { ids, events } = await exercise({ url: server.url, backend: 'postgres' }, canary);
    const tables = await client.query<{ name: string }>(
      "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = $1",
      [`${PREFIX}_queue`],
    );
    assert.ok(tables.rows.length > 5);
    const found: Buffer[] = [await readFile(join(server.dir, 'postgres.log'))];
    for (const { name } of tables.rows) {
      const { rows } = await client.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t`);
      found.push(...rows.map(({ row }) => Buffer.from(row)));
    }
    const everything = Buffer.concat(found);
    for (const id of ids) assert.ok(holds(everything, id));
    assert.ok(holds(everything, 'unexpected: unexpected TypeError (its text is withheld'));
    assert.ok(!holds(everything, canary));
    assert.ok(!JSON.stringify(events).includes(canary));
  } finally {
    await client.end();
    await server.stop();
  }
});
