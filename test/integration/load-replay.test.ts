import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { inspect } from 'node:util';
import { uuidv7 } from 'uuidv7';
import type { BatchReport } from '../../src/batch.js';
import { encodeField } from '../../src/copy-text.js';
import { PipelineError } from '../../src/errors.js';
import { createPool } from '../../src/load/connection.js';
import {
  type QuarantineFilter,
  deleteEntries,
  pageContents,
  pageEntries,
  resolveIds,
} from '../../src/load/quarantine-entries.js';
import { Replay, type ReplayBatch, type ReplayOptions } from '../../src/load/replay.js';
import { asMasked } from '../../src/masking/masked.js';
import { NOON, type TestSink, batchOf, goodRows, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres, withConnection } from '../support/postgres.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const CANARY = 'c4naryq7zx';
const PATHS = new Map([
  ['name', 'user.name'],
  ['n', 'count'],
]);
const OPEN: QuarantineFilter = {
  ids: null,
  pipelines: [],
  codes: [],
  withoutCodes: [],
  since: null,
  until: null,
  state: 'open',
};

type Values = readonly (string | null)[];

/** Quarantines so many records, each rejected by a batch of a loader, and returns the ids of the entries, in order. */
async function quarantined({ url, sink }: TestSink, count: number): Promise<readonly string[]> {
  const prefix = uuidv7();
  await sink.commit(
    batchOf({ rejections: Array.from({ length: count }, (_, i) => ({ id: `${prefix}-${i}` })) }),
  );
  const rows = await rowsOf(
    url,
    `select id from maskline.quarantine where record_id like $1 order by split_part(record_id, '-', 6)::int`,
    [`${prefix}-%`],
  );
  return rows.map(({ id }) => String(id));
}

function replayOf(
  ids: readonly string[],
  values: (i: number) => Values,
  rest: Partial<ReplayBatch> = {},
): ReplayBatch {
  const lines = ids.map((_, i) =>
    values(i)
      .map((v) => (v === null ? '\\N' : encodeField(v)))
      .join('\t'),
  );
  return {
    batchId: uuidv7(),
    runId: uuidv7(),
    pipeline: 'logins',
    receivedAt: NOON,
    policySha256: 'ab'.repeat(32),
    kids: [1],
    columns: ['name', 'n', 'note'],
    ids,
    sentAts: ids.map(() => NOON),
    rows: asMasked(Buffer.from(lines.map((line) => `${line}\n`).join(''))),
    stays: [],
    unopened: [],
    ...rest,
  };
}

const good = (i: number): Values => [`r${i}`, String(i), null];

function replay(
  test_: TestSink,
  batch: ReplayBatch,
  options: Partial<ReplayOptions> = {},
): Promise<BatchReport> {
  const { pool } = test_;
  return new Replay(
    { pool, target: { schema: 'public', table: 'events' }, paths: PATHS, ...options },
    batch,
  ).commit();
}

const countsOf = ({ received, loaded, duplicates, quarantined: stay }: BatchReport) => [
  received,
  loaded,
  duplicates,
  stay,
];

async function count(url: string, from: string): Promise<number> {
  return Number((await rowsOf(url, `select count(*)::int as n from ${from}`))[0]?.['n']);
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

test('a replay loads the rows, claims their entries, leaves the ledger as it is, and its fate row has it all', async () => {
  const it = await openSink(server);
  const ids = await quarantined(it, 10);
  const ledger = await rowsOf(it.url, 'select * from maskline.ledger order by key');
  const batch = replayOf(ids.slice(0, 7), good, {
    stays: [{ id: ids[7] ?? '', code: 'too_long', path: 'note' }],
    unopened: [{ id: ids[8] ?? '', code: 'key_unavailable' }],
    kids: [1, 2],
  });
  const report = await replay(it, batch);
  assert.deepEqual(countsOf(report), [9, 7, 0, 2]);
  assert.deepEqual(report.codes, { too_long: 1, key_unavailable: 1 });
  assert.equal(report.copies, 1);
  assert.equal(await count(it.url, 'events'), 7);
  const entries = await rowsOf(
    it.url,
    'select code, path, replayed_at is not null as replayed from maskline.quarantine where id = any($1) order by array_position($1::uuid[], id)',
    [ids],
  );
  assert.deepEqual(
    entries.map(({ code, path, replayed }) => [code, path, replayed]),
    [
      ...ids.slice(0, 7).map(() => ['missing_field', 'ip', true]),
      ['too_long', 'note', false],
      ['missing_field', 'ip', false],
      ['missing_field', 'ip', false],
    ],
  );
  assert.deepEqual(await rowsOf(it.url, 'select * from maskline.ledger order by key'), ledger);
  const [fate] = await rowsOf(it.url, 'select * from maskline.loads where batch_id = $1', [batch.batchId]);
  const {
    state,
    received,
    loaded,
    duplicates,
    quarantined: stay,
    released,
    kids,
    policy_sha256,
    bytes,
  } = fate ?? {};
  assert.deepEqual(
    [state, received, loaded, duplicates, stay, released, kids, policy_sha256, bytes],
    ['committed', 9, 7, 0, 2, 0, [1, 2], 'ab'.repeat(32), String(batch.rows.length)],
  );
  await it.close();
});

test('entries that somebody has replayed or deleted before are duplicates, and load nothing', async () => {
  const it = await openSink(server);
  const ids = await quarantined(it, 6);
  await replay(it, replayOf(ids.slice(0, 2), good));
  assert.equal(await deleteEntries(it.pool, ids.slice(2, 3), 'open'), 1);
  const again = await replay(
    it,
    replayOf(ids.slice(0, 4), good, { stays: [{ id: ids[4] ?? '', code: 'bad_ip', path: 'ip' }] }),
  );
  assert.deepEqual(countsOf(again), [5, 1, 3, 1]);
  assert.equal(await count(it.url, 'events'), 3);
  // Nor is the cause of what was replayed written over.
  await replay(it, replayOf([], good, { stays: [{ id: ids[0] ?? '', code: 'bad_text', path: null }] }));
  const [first] = await rowsOf(it.url, 'select code from maskline.quarantine where id = $1', [ids[0]]);
  assert.equal(first?.['code'], 'missing_field');
  await it.close();
});

test('two replays of the same entries at once: each row once, no deadlock, no error, 20 times of 20', async () => {
  const it = await openSink(server);
  const other = createPool({ url: it.url, applicationName: 'maskline-other' });
  for (let trial = 0; trial < 20; trial += 1) {
    const ids = await quarantined(it, 40);
    const reports = await Promise.all([
      replay(it, replayOf(ids, good)),
      // In the opposite order, as another would read them who sorts otherwise.
      replay(it, replayOf(ids.toReversed(), good), { pool: other }),
    ]);
    assert.deepEqual(
      [
        reports.reduce((n, { loaded }) => n + loaded, 0),
        reports.reduce((n, { duplicates }) => n + duplicates, 0),
      ],
      [40, 40],
    );
    assert.equal(await count(it.url, 'events'), (trial + 1) * 40);
  }
  assert.equal(await count(it.url, 'maskline.quarantine where replayed_at is null'), 0);
  await other.close();
  await it.close();
});

test('a second replay waits for the first, and finds the entries claimed', async () => {
  const it = await openSink(server);
  const ids = await quarantined(it, 3);
  let second: Promise<BatchReport> | undefined;
  const first = await replay(it, replayOf(ids, good), {
    onStep: async (step) => {
      if (step !== 'decided') return;
      second = replay(it, replayOf(ids, good));
      await lockWait(it.url);
    },
  });
  assert.deepEqual(countsOf(first), [3, 3, 0, 0]);
  assert.deepEqual(countsOf((await second) ?? first), [3, 0, 3, 0]);
  assert.equal(await count(it.url, 'events'), 3);
  await it.close();
});

test('a replay with loaders at work, which quarantine and load the same table: everything once', async () => {
  const it = await openSink(
    server,
    'create table public.events (name varchar(10), n integer unique, note text)',
  );
  const ids = await quarantined(it, 200);
  const chunks = Array.from({ length: 10 }, (_, i) => ids.slice(i * 20, i * 20 + 20));
  await Promise.all([
    ...chunks.map((chunk, c) =>
      replay(
        it,
        replayOf(chunk, (i) => [`c${c}`, String(10_000 + c * 20 + i), null]),
      ),
    ),
    ...Array.from({ length: 10 }, (_, i) =>
      it.sink.commit(
        batchOf({
          rows: goodRows(`l${i}-`, 20).map((row, k) => ({ ...row, values: ['l', String(i * 20 + k), null] })),
          rejections: [{ id: `bad${i}` }],
        }),
      ),
    ),
  ]);
  assert.equal(await count(it.url, 'events'), 400);
  assert.equal(await count(it.url, 'maskline.quarantine where replayed_at is null'), 10);
  await it.close();
});

for (const bad of [[37], [0, 1, 2, 3, 99], Array.from({ length: 100 }, (_, i) => i)]) {
  test(`${bad.length} of 100 rows that the table refuses stay, under the present cause; the others are loaded`, async () => {
    const it = await openSink(
      server,
      'create table public.events (name varchar(10), n integer check (n < 1000), note text)',
    );
    const ids = await quarantined(it, 100);
    const values = (i: number): Values => {
      if (!bad.includes(i)) return good(i);
      return i % 2 === 0 ? ['x', '5000', CANARY] : [`${CANARY}${CANARY}`, '1', null];
    };
    const report = await replay(it, replayOf(ids, values));
    assert.doesNotMatch(inspect(report), new RegExp(CANARY));
    assert.deepEqual(countsOf(report), [100, 100 - bad.length, 0, bad.length]);
    assert.equal(await count(it.url, 'events'), 100 - bad.length);
    const entries = await rowsOf(
      it.url,
      'select id, code, path from maskline.quarantine where replayed_at is null',
    );
    assert.deepEqual(
      new Map(entries.map(({ id, code, path }) => [id, [code, path]])),
      new Map(
        bad.map((i) => [ids[i], i % 2 === 0 ? ['refused_23514', null] : ['refused_22001', 'user.name']]),
      ),
    );
    assert.equal(await count(it.url, "maskline.loads where state = 'committed'"), 2);
    await it.close();
  });
}

test('a deferred constraint is asked row by row, not at COMMIT', async () => {
  const it = await openSink(
    server,
    `create table public.known (n integer primary key); insert into public.known values (0), (2);
     create table public.events (name varchar(10), n integer references public.known deferrable initially deferred, note text)`,
  );
  const report = await replay(it, replayOf(await quarantined(it, 3), good));
  assert.deepEqual([countsOf(report), report.codes], [[3, 2, 0, 1], { refused_23503: 1 }]);
  await it.close();
});

test('a COMMIT whose answer was lost is answered by the fate, and nothing is loaded twice', async () => {
  const it = await openSink(server);
  const ids = await quarantined(it, 5);
  let lost = false;
  const one = new Replay(
    {
      pool: it.pool,
      target: { schema: 'public', table: 'events' },
      paths: PATHS,
      onStep: (step) => {
        if (step !== 'committed' || lost) return;
        lost = true;
        throw new PipelineError('postgres_unavailable', 'the answer was lost');
      },
    },
    replayOf(ids.slice(0, 4), good, { stays: [{ id: ids[4] ?? '', code: 'bad_ip', path: 'ip' }] }),
  );
  await assert.rejects(one.commit(), { code: 'postgres_unavailable' });
  const report = await one.commit();
  assert.deepEqual([countsOf(report), report.codes], [[5, 4, 0, 1], { bad_ip: 1 }]);
  assert.equal(await count(it.url, 'events'), 4);
  await it.close();
});

for (const step of ['locked', 'copied', 'decided'] as const) {
  test(`killed when it has ${step}, a replay leaves nothing; run again, it ends the same`, async () => {
    const it = await openSink(server);
    const ids = await quarantined(it, 5);
    const batch = replayOf(ids, good);
    const killed = replay(it, batch, {
      onStep: async (at) => {
        if (at !== step) return;
        await withConnection(it.url, (client) =>
          client.query(
            `select pg_terminate_backend(pid) from pg_stat_activity
              where application_name = 'maskline-test' and datname = current_database() and state = 'idle in transaction'`,
          ),
        );
      },
    });
    await assert.rejects(killed, { code: 'postgres_unavailable' });
    assert.equal(await count(it.url, 'events'), 0);
    assert.equal(await count(it.url, 'maskline.quarantine where replayed_at is null'), 5);
    assert.deepEqual(countsOf(await replay(it, replayOf(ids, good))), [5, 5, 0, 0]);
    assert.equal(await count(it.url, 'events'), 5);
    await it.close();
  });
}

test('a trigger that drops rows is an error of the deployment: nothing is claimed', async () => {
  const it = await openSink(
    server,
    `create table public.events (name varchar(10), n integer, note text);
     create function drops() returns trigger language plpgsql as $$ begin return null; end $$;
     create trigger drops before insert on public.events for each row execute function drops()`,
  );
  const ids = await quarantined(it, 2);
  await assert.rejects(replay(it, replayOf(ids, good)), { code: 'row_count_differs' });
  assert.equal(await count(it.url, 'maskline.quarantine where replayed_at is null'), 2);
  await it.close();
});

test('a statement that runs into statement_timeout ends the replay, which would otherwise try for ever', async () => {
  const it = await openSink(
    server,
    `create table public.events (name varchar(10), n integer, note text);
     create function sleeps() returns trigger language plpgsql as $$ begin perform pg_sleep(10); return new; end $$;
     create trigger sleeps before insert on public.events for each row execute function sleeps()`,
  );
  const ids = await quarantined(it, 1);
  const pool = createPool({ url: it.url, applicationName: 'maskline-test', statementTimeoutMs: 200 });
  await assert.rejects(replay(it, replayOf(ids, good), { pool }), { code: 'statement_timeout' });
  assert.equal(await count(it.url, 'maskline.quarantine where replayed_at is null'), 1);
  await pool.close();
  await it.close();
});

test('a table or column that is not there is no fault of the rows', async () => {
  const it = await openSink(server);
  const ids = await quarantined(it, 2);
  await assert.rejects(replay(it, replayOf(ids, good, { columns: ['name', 'n', 'gone'] })), {
    code: 'table_unfit',
  });
  assert.equal(await count(it.url, 'maskline.quarantine where replayed_at is null'), 2);
  await it.close();
});

test('pages show each entry once, in order, by count and by bytes, whatever the times and the filter', async () => {
  const it = await openSink(server);
  // 600 of one moment, then 700 of another, and a few of another pipeline in between.
  for (const [pipeline, size, code] of [
    ['logins', 600, 'too_long'],
    ['events', 3, 'bad_ip'],
    ['logins', 700, 'bad_ip'],
  ] as const) {
    await it.sink.commit(
      batchOf({
        pipeline,
        rejections: Array.from({ length: size }, (_, i) => ({
          id: `${pipeline}${code}${i}`,
          code,
          // Of one entry out of 100, more than a page takes beside others.
          sealed: Buffer.alloc(i % 100 === 0 ? 3_000_000 : 40, i),
        })),
      }),
    );
  }
  const all = await rowsOf(it.url, 'select id from maskline.quarantine order by quarantined_at, id');
  const expected = all.map(({ id }) => String(id));
  const collect = async (pages: AsyncIterable<readonly { readonly id: string }[]>): Promise<string[][]> => {
    const found: string[][] = [];
    for await (const page of pages) found.push(page.map(({ id }) => id));
    return found;
  };
  assert.deepEqual((await collect(pageEntries(it.pool, OPEN, 'oldest_first'))).flat(), expected);
  assert.deepEqual((await collect(pageEntries(it.pool, OPEN, 'newest_first'))).flat(), expected.toReversed());
  assert.deepEqual(
    (await collect(pageEntries(it.pool, OPEN, 'newest_first', 501))).flat(),
    expected.toReversed().slice(0, 501),
  );
  const contents = await collect(pageContents(it.pool, OPEN));
  assert.deepEqual(contents.flat(), expected);
  assert.ok(contents.length >= 5, 'cut by bytes, not only by count');
  const filtered = { ...OPEN, pipelines: ['logins'], codes: ['bad_ip'] };
  assert.equal((await collect(pageEntries(it.pool, filtered, 'oldest_first'))).flat().length, 700);
  const without = { ...OPEN, withoutCodes: ['bad_ip'] };
  assert.equal((await collect(pageEntries(it.pool, without, 'oldest_first'))).flat().length, 600);
  await it.close();
});

test('an id may be given by its beginning, as long as that is of one entry only', async () => {
  const it = await openSink(server);
  const ids = [
    '0190a000-0000-7000-8000-000000000001',
    '0190a000-0000-7000-8000-000000000002',
    '0190b000-0000-7000-8000-000000000003',
  ];
  await it.sink.commit(
    batchOf({ rejections: ids.map((quarantineId) => ({ id: quarantineId, quarantineId })) }),
  );
  assert.deepEqual(await resolveIds(it.pool, ['0190b', '0190A000-0000-7000-8000-000000000002', '0190b0']), [
    ids[2],
    ids[1],
  ]);
  await assert.rejects(resolveIds(it.pool, ['0190']), { code: 'usage' });
  await assert.rejects(resolveIds(it.pool, ['0190c']), { code: 'not_found' });
  for (const no of ['', 'xyz', '%', '0'.repeat(33)])
    await assert.rejects(resolveIds(it.pool, [no]), { code: 'usage' });
  await it.close();
});
