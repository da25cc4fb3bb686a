import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { Batch, MaskedBatch } from '../../src/batch.js';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import { createPostgresSink } from '../../src/load/postgres.js';
import { openRaw } from '../../src/masking/quarantined.js';
import { type BullQueue, createBullQueue, migrateQueue } from '../../src/queue/bullmq.js';
import type { Backend } from '../../src/queue/bullmq-errors.js';
import { batchCodec, maskedCodec } from '../../src/queue/payload.js';
import { HOLDER, KILLER } from '../support/hostile-killer.js';
import { type WorkerArguments, queueOptions } from '../support/hostile-worker.js';
import { primaryMaster, testKeyring } from '../support/masking.js';
import { tokenOracle } from '../support/oracle.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';
import { Seen, batchOf, eventually } from '../support/queue.js';
import { startTestRedis } from '../support/redis.js';

const WORKER = fileURLToPath(new URL('../support/hostile-worker.js', import.meta.url));
const LIMIT_MS = 60_000;

let postgres: TestPostgres;
before(async () => {
  postgres = await startTestPostgres();
});
after(() => postgres.stop());

const body = (id: string, extra = ''): string => JSON.stringify({ id, device: `device of ${id}`, extra });
const good = (count: number): string[] => Array.from({ length: count }, (_, i) => body(`good-${i}`));

/** What the target holds of a good body. */
const rowOf = (id: string) => ({
  id,
  device: tokenOracle(primaryMaster, 2, 'siv', 'device', 'text', `device of ${id}`),
});

/** Queues, target and loader of one test, and the workers that it lets live or die. */
class Bench {
  readonly database: string;
  readonly place: Omit<WorkerArguments, 'holds'>;
  readonly transformQueue: BullQueue<Batch>;
  readonly #loadQueue: BullQueue<MaskedBatch>;
  readonly #pool: PostgresPool;
  #child: ChildProcess | null = null;

  constructor(database: string, place: Omit<WorkerArguments, 'holds'>) {
    this.database = database;
    this.place = place;
    const options = queueOptions(place);
    this.transformQueue = createBullQueue({ ...options, name: 'transform.logins', codec: batchCodec });
    this.#loadQueue = createBullQueue({ ...options, name: 'load.logins', codec: maskedCodec });
    this.#pool = createPool({ url: database, applicationName: 'maskline-test' });
    const sink = createPostgresSink({
      pool: this.#pool,
      target: { schema: 'public', table: 'events' },
      sealer: { seal: () => assert.fail('no row is refused here') },
      paths: new Map(),
    });
    this.#loadQueue.process(async (batch) => void (await sink.commit(batch)), { concurrency: 1 });
  }

  /** A worker process, and what it says. */
  start(holds: readonly string[] = []): { readonly child: ChildProcess; readonly said: Seen<string> } {
    const said = new Seen<string>();
    const given: WorkerArguments = { ...this.place, holds };
    const child = spawn(process.execPath, [WORKER, JSON.stringify(given)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#child = child;
    child.stdout.on('data', (chunk: Buffer) => {
      for (const line of chunk.toString().split('\n')) if (line) said.push(line);
    });
    return { child, said };
  }

  /** Starts workers, one after the other, until the batch is committed; returns how many died of it. */
  async untilCommitted(batchId: string): Promise<number> {
    const committed = this.committed(batchId);
    let isDone = false;
    void committed.then(
      () => (isDone = true),
      () => (isDone = true),
    );
    for (let deaths = 0; ; deaths += 1) {
      const { child } = this.start();
      const died = once(child, 'exit');
      await Promise.race([died, committed]);
      if (isDone) {
        await committed;
        return deaths;
      }
      assert.equal(child.signalCode, 'SIGKILL');
    }
  }

  /** Kills the worker as soon as a body holds it; returns what the worker said of that. */
  async killHeld(holds: readonly string[]): Promise<string> {
    const { child, said } = this.start(holds);
    const died = once(child, 'exit');
    const [line = ''] = await said.take(1, undefined, LIMIT_MS);
    child.kill('SIGKILL');
    await died;
    return line;
  }

  async committed(batchId: string): Promise<void> {
    const sql = "select 1 from maskline.loads where batch_id = $1 and state = 'committed'";
    await eventually(
      () => rowsOf(this.database, sql, [batchId]),
      (rows) => rows.length === 1,
      LIMIT_MS,
    );
  }

  rows() {
    return rowsOf(this.database, 'select id, device from public.events order by id');
  }

  /** The quarantine, opened: code, path, kind and body. */
  async quarantined() {
    const sql = 'select id, code, path, kind, kid, sealed from maskline.quarantine order by record_id';
    const rows = await rowsOf(this.database, sql);
    return rows.map(({ id, code, path, kind, kid, sealed }) => {
      assert.ok(typeof id === 'string' && typeof kid === 'number' && Buffer.isBuffer(sealed));
      const raw = openRaw(testKeyring(), { id, kind: 'raw', kid, sealed });
      return { code, path, kind, body: raw.body, badEnvelope: raw.badEnvelope };
    });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child && child.exitCode === null && child.signalCode === null) {
      const died = once(child, 'exit');
      child.kill('SIGKILL');
      await died;
    }
    await Promise.all([this.transformQueue.close(), this.#loadQueue.close()]);
    await this.#pool.close();
  }
}

const crashed = (text: string) => ({
  code: 'crashed_worker',
  path: null,
  kind: 'raw',
  body: text,
  badEnvelope: false,
});

function contract(backend: Backend, queueUrl: (database: string) => string): void {
  let bench: Bench;
  let tests = 0;

  beforeEach(async () => {
    const database = await postgres.migratedDatabase();
    await withConnection(database, (client) =>
      client.query('create table public.events (id text not null, device text)'),
    );
    tests += 1;
    const place = { url: queueUrl(database), backend, prefix: `crash${tests}` };
    await migrateQueue(place);
    bench = new Bench(database, place);
  });
  afterEach(() => bench.stop());

  test('a body that kills its worker kills two, then it is quarantined, and its neighbours load', async () => {
    const bodies = good(12);
    const killer = body('bad', KILLER);
    const batch = batchOf(bodies.toSpliced(5, 0, killer));
    await bench.transformQueue.add(batch);
    assert.equal(await bench.untilCommitted(batch.batchId), 2);
    assert.deepEqual(
      await bench.rows(),
      good(12)
        .map((_, i) => rowOf(`good-${i}`))
        .sort(byId),
    );
    assert.deepEqual(await bench.quarantined(), [crashed(killer)]);
  });

  test('of two such bodies in one batch, one the very last, none kills more than two', async () => {
    const killers = [body('bad-1', KILLER), body('bad-2', KILLER)] as const;
    const batch = batchOf([killers[0], ...good(6), killers[1]]);
    await bench.transformQueue.add(batch);
    // The first kills two, and the second the one that could go on past the first.
    assert.equal(await bench.untilCommitted(batch.batchId), 3);
    assert.deepEqual(
      await bench.rows(),
      good(6).map((_, i) => rowOf(`good-${i}`)),
    );
    assert.deepEqual(await bench.quarantined(), killers.map(crashed));
  });

  test('workers that are killed from outside while they are at a record blame no record', async () => {
    const [a, b] = [body('a', `${HOLDER} a`), body('b', `${HOLDER} b`)];
    const batch = batchOf([...good(2), a, b]);
    await bench.transformQueue.add(batch);
    assert.equal(await bench.killHeld(['a']), 'held by a of 4');
    // From here on each worker goes record by record.
    for (const mark of ['a', 'b', 'a', 'b'])
      assert.equal(await bench.killHeld([mark]), `held by ${mark} of 1`);
    assert.equal(await bench.untilCommitted(batch.batchId), 0);
    assert.deepEqual(await bench.rows(), ['a', 'b', 'good-0', 'good-1'].map(rowOf));
    assert.deepEqual(await bench.quarantined(), []);
  });

  test('a record at which two workers in a row end is quarantined, though a process of its own survives it', async () => {
    const [a, b] = [body('a', `${HOLDER} a`), body('b', `${HOLDER} b`)];
    const batch = batchOf([a, b]);
    await bench.transformQueue.add(batch);
    assert.equal(await bench.killHeld(['a', 'b']), 'held by a of 2');
    for (const mark of ['b', 'b']) assert.equal(await bench.killHeld([mark]), 'held by b of 1');
    assert.equal(await bench.untilCommitted(batch.batchId), 0);
    assert.deepEqual(await bench.rows(), [rowOf('a')]);
    assert.deepEqual(await bench.quarantined(), [crashed(b)]);
  });
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1;
}

describe('a transform worker on Redis', () => {
  let redis: Awaited<ReturnType<typeof startTestRedis>>;
  before(async () => {
    redis = await startTestRedis();
  });
  after(() => redis.stop());
  contract('redis', () => redis.url);
});

describe('a transform worker on Postgres', () => {
  contract('postgres', (database) => database);
});
