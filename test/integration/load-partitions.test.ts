import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type PostgresPool, createPool } from '../../src/load/connection.js';
import {
  type Partitioning,
  ensureTargetPartitions,
  notePartitioning,
} from '../../src/load/target-partitions.js';
import { createTarget } from '../../src/load/target-plan.js';
import { type TargetSpec, checkTarget, targetSpec } from '../../src/load/target.js';
import { batchOf, openSink } from '../support/load.js';
import { column } from '../support/masking.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const DAY_MS = 86_400_000;
const DAILY: Partitioning = { by: 'at', every: 'day', back: 2, ahead: 3 };
const at = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString();
const dayOf = (days: number): string => at(days).slice(0, 10).replaceAll('-', '');

function specOf(partition: Partitioning, options: Partial<TargetSpec> = {}): TargetSpec {
  const columns = [column('name', { required: true }), column('at', { type: 'timestamptz', required: true })];
  return {
    ...targetSpec({ columns }, { schema: 'public', table: 'events', create: true, partition }),
    ...options,
  };
}

async function withPool(work: (pool: PostgresPool, url: string) => Promise<void>): Promise<void> {
  const url = await server.migratedDatabase();
  // Whoever connects lives elsewhere: a day is one of UTC for all.
  await rowsOf(url, `alter database ${new URL(url).pathname.slice(1)} set timezone = 'Pacific/Auckland'`);
  const pool = createPool({ url, applicationName: 'test' });
  try {
    await work(pool, url);
  } finally {
    await pool.close();
  }
}

async function partitions(url: string): Promise<readonly string[]> {
  const rows = await rowsOf(
    url,
    `select relid::regclass::text as name from pg_partition_tree('public.events') where isleaf order by 1`,
  );
  return rows.map(({ name }) => String(name));
}

test('a table that maskline makes gets the partitions of the days around today, once, whoever makes them', async () => {
  await withPool(async (pool, url) => {
    for (const upsert of [null, { keys: ['name', 'at'], newestBy: null }]) {
      await rowsOf(url, 'drop table if exists public.events');
      const spec = specOf(DAILY, { upsert });
      await createTarget(pool, spec);
      await notePartitioning(pool, 'logins', [spec]);
      const made = await Promise.all([1, 2, 3].map(() => ensureTargetPartitions(pool)));
      assert.equal(
        made.reduce((sum, n) => sum + n, 0),
        6,
      );
      assert.deepEqual(
        await partitions(url),
        [-2, -1, 0, 1, 2, 3].map((day) => `events_${dayOf(day)}`),
      );
      assert.equal(await ensureTargetPartitions(pool), 0);
      assert.deepEqual(await checkTarget(pool, spec), []);
    }
  });
});

test('a row for which there is no partition is quarantined, and its neighbours load', async () => {
  for (const upsert of [null, { keys: ['name', 'at'], newestBy: null }]) {
    const spec = specOf(DAILY, { upsert });
    const it = await openSink(server, 'select', { target: spec });
    try {
      await createTarget(it.pool, spec);
      await notePartitioning(it.pool, 'logins', [spec]);
      await ensureTargetPartitions(it.pool);
      const days = [0, 60, -2, 3, -60];
      const rows = days.map((day, i) => ({ id: `m${i}`, values: [`n${i}`, at(day)] }));
      const report = await it.sink.commit(batchOf({ columns: ['name', 'at'], rows }));
      assert.deepEqual([report?.loaded, report?.quarantined, report?.codes], [3, 2, { refused_23514: 2 }]);
      const kept = await rowsOf(it.url, 'select record_id from maskline.quarantine order by 1');
      assert.deepEqual(
        kept.map((entry) => entry['record_id']),
        ['m1', 'm4'],
      );
    } finally {
      await it.close();
    }
  }
});

test('partitions are made with the rights of the owner, while rows are being loaded, and hold a day of UTC', async () => {
  await withPool(async (pool, url) => {
    const spec = specOf(DAILY);
    await createTarget(pool, spec);
    await notePartitioning(pool, 'logins', [{ ...spec, partition: { ...DAILY, ahead: 0 } }]);
    await ensureTargetPartitions(pool);
    await notePartitioning(pool, 'logins', [{ ...spec, partition: DAILY }]);
    await rowsOf(
      url,
      `create role maker login password 'test'; grant usage on schema maskline to maker;
       grant execute on function maskline.ensure_target_partitions to maker`,
    );
    const asMaker = new URL(url);
    asMaker.username = 'maker';
    asMaker.password = 'test';
    const maker = createPool({ url: asMaker.href, applicationName: 'test' });
    try {
      await withConnection(url, async (loader) => {
        await loader.query('begin');
        await loader.query('insert into public.events values ($1, $2)', ['a', at(0)]);
        assert.equal(await ensureTargetPartitions(maker), 3);
        await loader.query('commit');
      });
    } finally {
      await maker.close();
    }
    const midnight = `${at(1).slice(0, 10)}T00:00:00Z`;
    for (const [moment, day] of [
      [midnight, 1],
      [new Date(Date.parse(midnight) - 1).toISOString(), 0],
    ] as const) {
      const [row] = await rowsOf(
        url,
        `insert into public.events values ('x', $1) returning tableoid::regclass::text as part`,
        [moment],
      );
      assert.equal(row?.['part'], `events_${dayOf(day)}`);
    }
  });
});

test('a month that another partition has a part of, or that a default partition has rows of, is left alone', async () => {
  await withPool(async (pool, url) => {
    const month = (n: number): string => {
      const today = new Date();
      return new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + n, 1))
        .toISOString()
        .slice(0, 10);
    };
    await rowsOf(
      url,
      `create table public.events (name text, at date) partition by range (at);
       create table public.own partition of public.events for values from ('${month(1)}') to ('${month(1).slice(0, 8)}09');
       create table public.rest partition of public.events default;
       insert into public.events values ('a', '${month(2)}')`,
    );
    const monthly: Partitioning = { by: 'at', every: 'month', back: 1, ahead: 3 };
    await notePartitioning(pool, 'logins', [{ schema: 'public', table: 'events', partition: monthly }]);
    assert.equal(await ensureTargetPartitions(pool), 3);
    const name = (n: number): string => `events_${month(n).slice(0, 7).replace('-', '')}`;
    assert.deepEqual(await partitions(url), [name(-1), name(0), name(3), 'own', 'rest']);
    const left = await rowsOf(
      url,
      `select relname from pg_class where relname in ('${name(1)}', '${name(2)}')`,
    );
    assert.deepEqual(left, []);
    await notePartitioning(pool, 'logins', [{ schema: 'public', table: 'events', partition: null }]);
    await rowsOf(url, `drop table public.${name(3)}`);
    assert.equal(await ensureTargetPartitions(pool), 0);
  });
});

test('each table of a pipeline has partitions of its own, and those that it has no more get none', async () => {
  await withPool(async (pool, url) => {
    const monthly: Partitioning = { by: 'at', every: 'month', back: 0, ahead: 1 };
    const events = specOf(DAILY);
    const items = specOf(monthly, { table: 'items' });
    for (const spec of [events, items]) await createTarget(pool, spec);
    await notePartitioning(pool, 'logins', [
      events,
      items,
      specOf(DAILY, { table: 'other', partition: null }),
    ]);
    await notePartitioning(pool, 'others', [items]);
    const made = await Promise.all([ensureTargetPartitions(pool), ensureTargetPartitions(pool)]);
    assert.equal(made[0] + made[1], 6 + 2);
    const noted = (): Promise<readonly unknown[]> =>
      rowsOf(url, 'select pipeline, table_name, every from maskline.partitioned_targets order by 1, 2');
    assert.deepEqual(await noted(), [
      { pipeline: 'logins', table_name: 'events', every: 'day' },
      { pipeline: 'logins', table_name: 'items', every: 'month' },
      { pipeline: 'others', table_name: 'items', every: 'month' },
    ]);
    await notePartitioning(pool, 'logins', [{ ...items, partition: DAILY }]);
    assert.deepEqual(await noted(), [
      { pipeline: 'logins', table_name: 'items', every: 'day' },
      { pipeline: 'others', table_name: 'items', every: 'month' },
    ]);
  });
});

test('a check says when a table is not partitioned so that partitions could be made', async () => {
  await withPool(async (pool, url) => {
    const spec = specOf(DAILY, { create: false });
    for (const [ddl, expected] of [
      ['(name text, at timestamptz)', 1],
      ['(name text, at timestamptz) partition by list (at)', 1],
      ['(name text, at timestamptz) partition by range (at, name)', 1],
      ['(name text, at timestamptz) partition by range (at)', 0],
    ] as const) {
      await rowsOf(url, `drop table if exists public.events; create table public.events ${ddl}`);
      const found = (await checkTarget(pool, spec)).filter(({ severity }) => severity === 'error');
      assert.equal(found.length, expected, ddl);
      if (expected > 0) assert.match(found[0]?.message ?? '', /not partitioned by range of at alone/);
    }
  });
});
