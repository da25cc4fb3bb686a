import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, test } from 'node:test';
import type { Fate, MaskedBatch } from '../../src/batch.js';
import { createPool } from '../../src/load/connection.js';
import type { CommitStep } from '../../src/load/postgres.js';
import type { HeldBatch, Sink } from '../../src/load/sink.js';
import { NOON, type TestRow, batchOf, goodRows, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

const TRIALS = 20;

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

/** Freezes the first commit that comes to `step`, until thawed. */
function freezeAt(step: CommitStep): {
  readonly onStep: (at: CommitStep) => Promise<void>;
  readonly frozen: Promise<void>;
  readonly thaw: () => void;
} {
  let arrive = (): void => undefined;
  let thaw = (): void => undefined;
  const frozen = new Promise<void>((resolve) => (arrive = resolve));
  const thawed = new Promise<void>((resolve) => (thaw = resolve));
  let armed = true;
  return {
    onStep: async (at) => {
      if (at !== step || !armed) return;
      armed = false;
      arrive();
      await thawed;
    },
    frozen,
    thaw: () => thaw(),
  };
}

const held = (batch: MaskedBatch): HeldBatch => ({
  batchId: batch.batchId,
  runId: batch.runId,
  pipeline: batch.pipeline,
  records: batch.keys.length + batch.rejections.length,
  receivedAt: NOON,
});

async function count(url: string, table = 'events'): Promise<unknown> {
  return (await rowsOf(url, `select count(*)::int as n from ${table}`))[0]?.['n'];
}

/** Resolves once a backend waits for a lock. */
async function lockWait(url: string): Promise<void> {
  await withConnection(url, async (client) => {
    for (;;) {
      const { rowCount } = await client.query("select from pg_stat_activity where wait_event_type = 'Lock'");
      if (rowCount !== 0) return;
    }
  });
}

test('two loaders with one batch: one commits it, the other writes nothing, 20 times of 20', async () => {
  const { url, sink, another, close } = await openSink(server);
  const other = another();
  for (let trial = 0; trial < TRIALS; trial += 1) {
    const batch = batchOf({ rows: goodRows(`t${trial}-`, 50), rejections: [{ id: `bad${trial}` }] });
    const reports = await Promise.all([sink.commit(batch), other.commit(batch)]);
    assert.equal(reports.filter((report) => report !== null).length, 1);
  }
  assert.equal(await count(url), TRIALS * 50);
  assert.equal(await count(url, 'maskline.quarantine'), TRIALS);
  assert.equal(await count(url, 'maskline.loads'), TRIALS);
  await close();
});

test('two loaders with the same records in opposite order: each record once, no deadlock, 20 times of 20', async () => {
  const { url, sink, another, close } = await openSink(server);
  const other = another();
  for (let trial = 0; trial < TRIALS; trial += 1) {
    const rows = goodRows(`t${trial}-`, 200);
    const reports = await Promise.all([
      sink.commit(batchOf({ rows })),
      other.commit(batchOf({ rows: [...rows].reverse() })),
    ]);
    assert.equal(reports[0]?.loaded, 200 - (reports[1]?.loaded ?? 0));
    assert.equal((reports[0]?.duplicates ?? 0) + (reports[1]?.duplicates ?? 0), 200);
  }
  assert.equal(await count(url), TRIALS * 200);
  await close();
});

test('a batch loaded one by one against one that is copied: each record once, no deadlock, 20 times of 20', async () => {
  const { url, sink, another, close } = await openSink(server);
  const other = another();
  for (let trial = 0; trial < TRIALS; trial += 1) {
    const rows = goodRows(`t${trial}-`, 60);
    const bad: readonly TestRow[] = ['x', 'y'].map((id) => ({
      id: `t${trial}-${id}`,
      values: ['x', 'nan', null],
    }));
    const [first, second] = await Promise.all([
      sink.commit(batchOf({ rows: [...bad, ...rows] })),
      other.commit(batchOf({ rows: [...rows].reverse(), rejections: [{ id: `t${trial}-x` }] })),
    ]);
    assert.equal((first?.loaded ?? 0) + (second?.loaded ?? 0), 60);
    assert.equal((first?.quarantined ?? 0) + (second?.quarantined ?? 0), 2);
  }
  assert.equal(await count(url), TRIALS * 60);
  await close();
});

test('a record settled by another loader while its refused row is undone is a duplicate, quarantined once', async () => {
  const { url, sink, another, close } = await openSink(server);
  const rows = ['x', 'y'].map((id) => ({ id, values: ['x', 'nan', null] }));
  await withConnection(url, async (client) => {
    // The refused row is undone, and its ledger entry with it, when this is asked; there the loader has to wait.
    await client.query(`
      create or replace function maskline.refuses_row(state text) returns boolean language plpgsql as
        'begin perform pg_advisory_xact_lock(2); return true; end';
      select pg_advisory_lock(2)`);
    const slow = sink.commit(batchOf({ rows: [...rows, ...goodRows('a', 2)] }));
    await lockWait(url);
    const quick = await another().commit(batchOf({ rejections: rows.map(({ id }) => ({ id })) }));
    assert.equal(quick?.quarantined, 2);
    await client.query('select pg_advisory_unlock(2)');
    const report = await slow;
    assert.deepEqual([report?.loaded, report?.duplicates, report?.quarantined], [2, 2, 0]);
  });
  assert.equal(await count(url, 'maskline.quarantine'), 2);
  await close();
});

for (const step of ['begun', 'ledger', 'copied'] as const) {
  test(`a loader frozen at "${step}": its batch is let go at once, and waking up it writes nothing`, async () => {
    const freeze = freezeAt(step);
    const { url, sink, another, close } = await openSink(server, undefined, { onStep: freeze.onStep });
    const batch = batchOf({ rows: goodRows('a', 5), rejections: [{ id: 'bad' }] });
    const late = sink.commit(batch);
    await freeze.frozen;
    const [fate] = await another().letGo([held(batch)]);
    assert.deepEqual([fate?.state, fate?.released], ['released', 6]);
    freeze.thaw();
    assert.equal(await late, null);
    for (const table of ['events', 'maskline.ledger', 'maskline.quarantine'])
      assert.equal(await count(url, table), 0);
    assert.equal((await sink.commit(batchOf({ rows: goodRows('a', 5) })))?.loaded, 5);
    await close();
  });
}

test('a loader frozen between deciding and COMMIT: letting go waits for it, and hears that it committed', async () => {
  const freeze = freezeAt('decided');
  const { url, sink, another, close } = await openSink(server, undefined, { onStep: freeze.onStep });
  const batch = batchOf({ rows: goodRows('a', 5) });
  const commit = sink.commit(batch);
  await freeze.frozen;
  const letGo = another().letGo([held(batch)]);
  await lockWait(url);
  freeze.thaw();
  assert.equal((await commit)?.loaded, 5);
  assert.deepEqual([(await letGo)[0]?.state, (await letGo)[0]?.loaded], ['committed', 5]);
  await close();
});

test('a loader that stays frozen between deciding and COMMIT is cut off by Postgres, and its batch let go', async () => {
  const freeze = freezeAt('decided');
  const { url, another, close } = await openSink(server);
  const pool = createPool({ url, applicationName: 'frozen', idleInTransactionTimeoutMs: 300 });
  const sink = another({ pool, onStep: freeze.onStep });
  const batch = batchOf({ rows: goodRows('a', 5) });
  const commit = sink.commit(batch);
  commit.catch(() => undefined);
  await freeze.frozen;
  assert.equal((await another().letGo([held(batch)]))[0]?.state, 'released');
  freeze.thaw();
  await assert.rejects(commit, { code: 'postgres_unavailable' });
  assert.equal(await sink.commit(batch), null);
  assert.equal(await count(url), 0);
  await close();
});

test('committing and letting go at the same time: one fate, and the rows agree with it, 20 times of 20', async () => {
  const { url, sink, another, close } = await openSink(server);
  const ingester: Sink = another();
  const seen = new Set<string>();
  for (let trial = 0; trial < TRIALS; trial += 1) {
    const batch = batchOf({ rows: goodRows(`t${trial}-`, 3) });
    const before = await count(url);
    const [report, fates] = await Promise.all([sink.commit(batch), ingester.letGo([held(batch)])]);
    const [fate] = fates as readonly [Fate];
    seen.add(fate.state);
    assert.equal(fate.state === 'committed', report !== null);
    assert.equal(((await count(url)) as number) - (before as number), report === null ? 0 : 3);
  }
  await close();
});

/** Cuts the connection when COMMIT comes: before it reaches the server, or before its answer reaches the client. */
async function cutAtCommit(
  url: string,
  when: 'before' | 'after',
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const to = new URL(url);
  let armed = true;
  const proxy = net.createServer((client) => {
    const upstream = net.connect(Number(to.port), to.hostname);
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end);
    client.on('data', (data) => {
      const isCommit = armed && data.includes('commit\0');
      if (isCommit) armed = false;
      if (isCommit && when === 'before') return end();
      if (isCommit) upstream.removeAllListeners('data').once('data', end);
      upstream.write(data);
    });
    upstream.on('data', (data) => client.write(data));
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const through = new URL(url);
  through.port = String((proxy.address() as net.AddressInfo).port);
  return {
    url: through.href,
    close: async () => {
      proxy.close();
      await once(proxy, 'close');
    },
  };
}

for (const when of ['before', 'after'] as const) {
  test(`the connection is cut just ${when} COMMIT: the next try finds out, and each record is there once`, async () => {
    const { url, another, close } = await openSink(server);
    const proxy = await cutAtCommit(url, when);
    const sink = another({ pool: createPool({ url: proxy.url, applicationName: 'cut' }) });
    const batch = batchOf({ rows: goodRows('a', 4), rejections: [{ id: 'bad' }] });
    await assert.rejects(sink.commit(batch), { code: 'postgres_unavailable' });
    const again = await sink.commit(batch);
    assert.equal(again === null, when === 'after');
    assert.deepEqual([await count(url), await count(url, 'maskline.quarantine')], [4, 1]);
    assert.equal((await sink.fates([batch.batchId]))[0]?.state, 'committed');
    await close();
    await proxy.close();
  });
}

async function terminateOthers(url: string, name: string): Promise<void> {
  await rowsOf(url, 'select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [
    name,
  ]);
}

test('the backend is killed in the middle of COPY: an outage, the process lives on, and the batch commits afterwards', async () => {
  const { url, sink, close } = await openSink(server);
  const batch = batchOf({ rows: goodRows('a', 4) });
  await withConnection(url, async (client) => {
    await client.query('begin; lock table events in access exclusive mode');
    const commit = sink.commit(batch);
    commit.catch(() => undefined);
    await lockWait(url);
    await terminateOthers(url, 'maskline-test');
    await assert.rejects(commit, { code: 'postgres_unavailable' });
    await client.query('rollback');
  });
  assert.equal((await sink.commit(batch))?.loaded, 4);
  assert.equal(await count(url), 4);
  await close();
});

test('the backend is killed while the loader is between two statements: an outage, and the process lives on', async () => {
  const freeze = freezeAt('copied');
  const { url, sink, close } = await openSink(server, undefined, { onStep: freeze.onStep });
  const batch = batchOf({ rows: goodRows('a', 4) });
  const commit = sink.commit(batch);
  await freeze.frozen;
  await terminateOthers(url, 'maskline-test');
  freeze.thaw();
  await assert.rejects(commit, { code: 'postgres_unavailable' });
  assert.equal((await sink.commit(batch))?.loaded, 4);
  await close();
});

test('Postgres crashes under a commit and comes back: the batch commits once', async () => {
  const freeze = freezeAt('decided');
  const { url, sink, close } = await openSink(server, undefined, { onStep: freeze.onStep });
  const batch = batchOf({ rows: goodRows('a', 4) });
  const before = batchOf({ rows: goodRows('b', 2) });
  const commit = sink.commit(batch);
  await freeze.frozen;
  await sink.commit(before);
  await server.server.restart({ mode: 'immediate' });
  freeze.thaw();
  await assert.rejects(commit, { code: 'postgres_unavailable' });
  assert.equal((await sink.commit(batch))?.loaded, 4);
  assert.equal(await sink.commit(before), null);
  assert.equal(await count(url), 6);
  await close();
});
