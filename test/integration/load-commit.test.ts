import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { uuidv7 } from 'uuidv7';
import { systemClock } from '../../src/clock.js';
import { NOON, batchOf, goodRows, openSink } from '../support/load.js';
import { type TestPostgres, rowsOf, startTestPostgres } from '../support/postgres.js';
import { eventually } from '../support/queue.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const counts = (report: { [key: string]: unknown } | null): unknown[] =>
  ['received', 'loaded', 'duplicates', 'quarantined', 'released'].map((key) => report?.[key]);

test('new records are loaded byte for byte, and their batch has a committed fate that adds up', async () => {
  const { url, sink, close } = await openSink(server);
  const batch = batchOf({
    kids: [1, 3],
    rows: [
      { id: 'a', values: ['tab\there', '1', 'back\\slash'] },
      { id: 'b', values: ['line\nfeed', null, '\\.'] },
      { id: 'c', values: ['', '-3', '\r日本語 \\N'] },
    ],
  });
  const report = await sink.commit(batch);
  assert.deepEqual(counts({ ...report }), [3, 3, 0, 0, 0]);
  assert.equal(report?.copies, 1);
  assert.equal(report.bytes, batch.rows.length);
  assert.deepEqual(await rowsOf(url, 'select name, n, note from events order by n nulls last'), [
    { name: '', n: -3, note: '\r日本語 \\N' },
    { name: 'tab\there', n: 1, note: 'back\\slash' },
    { name: 'line\nfeed', n: null, note: '\\.' },
  ]);
  const [load] = await rowsOf(
    url,
    'select *, loaded_at > now() - interval $$1 minute$$ as recent from maskline.loads',
  );
  assert.deepEqual(
    [
      load?.['batch_id'],
      load?.['run_id'],
      load?.['state'],
      load?.['bytes'],
      load?.['kids'],
      load?.['recent'],
    ],
    [batch.batchId, batch.runId, 'committed', String(batch.rows.length), [1, 3], true],
  );
  assert.deepEqual(load?.['received_at'], new Date(batch.receivedAt));
  assert.equal(load['policy_sha256'], batch.policySha256);
  const ledger = await rowsOf(
    url,
    "select record_id, convert_from(key, 'UTF8') as key, sent_at, outcome from maskline.ledger order by 1",
  );
  assert.deepEqual(
    ledger,
    ['a', 'b', 'c'].map((id) => ({ record_id: id, key: id, sent_at: new Date(NOON), outcome: 'loaded' })),
  );
  assert.deepEqual(await sink.fates([batch.batchId, uuidv7()]), [
    {
      batchId: batch.batchId,
      state: 'committed',
      held: [],
      received: 3,
      loaded: 3,
      duplicates: 0,
      quarantined: 0,
      released: 0,
    },
  ]);
  await close();
});

test('a record that another batch has settled is a duplicate: one row, whatever the rest of the batch is', async () => {
  const { url, sink, close } = await openSink(server);
  await sink.commit(batchOf({ rows: goodRows('a', 3) }));
  const mixed = [...goodRows('new', 2), ...goodRows('a', 3), ...goodRows('last', 1)];
  assert.deepEqual(counts({ ...(await sink.commit(batchOf({ rows: mixed }))) }), [6, 3, 3, 0, 0]);
  const none = await sink.commit(batchOf({ rows: mixed }));
  assert.deepEqual([counts({ ...none }), none?.copies], [[6, 0, 6, 0, 0], 0]);
  assert.deepEqual(await rowsOf(url, 'select count(*)::int as n from events'), [{ n: 6 }]);
  await close();
});

test('a record that comes twice in one batch is loaded once', async () => {
  const { url, sink, close } = await openSink(server);
  const rows = [...goodRows('a', 2), ...goodRows('a', 3)];
  assert.deepEqual(counts({ ...(await sink.commit(batchOf({ rows }))) }), [5, 3, 2, 0, 0]);
  assert.deepEqual(await rowsOf(url, 'select name from events order by 1'), [
    { name: 'r0' },
    { name: 'r1' },
    { name: 'r2' },
  ]);
  await close();
});

test("a redelivery after midnight is a duplicate, though the loaders' clocks are a day apart", async () => {
  const { url, another, close } = await openSink(server);
  const lastMillisecond = NOON + 43_200_000 - 1;
  const row = { id: 'm', sentAt: lastMillisecond, values: ['x', '1', null] };
  const dayBack = another({ clock: { ...systemClock, now: () => lastMillisecond } });
  const dayAhead = another({ clock: { ...systemClock, now: () => lastMillisecond + 86_400_000 } });
  assert.deepEqual(counts({ ...(await dayBack.commit(batchOf({ rows: [row] }))) }), [1, 1, 0, 0, 0]);
  assert.deepEqual(counts({ ...(await dayAhead.commit(batchOf({ rows: [row] }))) }), [1, 0, 1, 0, 0]);
  assert.deepEqual(await rowsOf(url, 'select tableoid::regclass::text as part from maskline.ledger'), [
    { part: `maskline.ledger_${new Date(NOON).toISOString().slice(0, 10).replaceAll('-', '')}` },
  ]);
  await close();
});

test('what is known is found by index, on the days of the batch alone, in a ledger that nobody has analyzed', async () => {
  const { url, sink, close } = await openSink(server);
  const DAY_MS = 86_400_000;
  const sentOn = (prefix: string, sentAt: number) =>
    goodRows(prefix, 1_000).map((row) => ({ ...row, sentAt }));
  for (const day of [0, 1, 2]) {
    for (const prefix of ['a', 'b', 'c'])
      await sink.commit(batchOf({ rows: sentOn(prefix, NOON - day * DAY_MS) }));
  }
  const known = sentOn('b', NOON - DAY_MS).slice(0, 500);
  const fresh = sentOn('d', NOON).slice(0, 500);
  const report = await sink.commit(batchOf({ rows: [...known, ...fresh] }));
  assert.deepEqual(counts({ ...report }), [1_000, 500, 500, 0, 0]);
  // A session that ends has told what it has read.
  await close();
  const read = await eventually(
    () =>
      rowsOf(
        url,
        `select right(t.relname, 8) as day, t.seq_scan::int as scans, i.idx_scan::int as lookups
           from pg_stat_user_tables t join pg_stat_user_indexes i using (relid)
          where t.schemaname = 'maskline' and t.relname like 'ledger%' and t.n_tup_ins > 0 order by day desc`,
      ),
    (rows) => rows.reduce((sum, { lookups }) => sum + Number(lookups), 0) >= 11_000,
  );
  const dayOf = (back: number) =>
    new Date(NOON - back * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');
  // One for each record that goes in, and one more for each of the batch in which some are known.
  assert.deepEqual(read, [
    { day: dayOf(0), scans: 0, lookups: 3_500 + 500 },
    { day: dayOf(1), scans: 0, lookups: 3_500 + 500 },
    { day: dayOf(2), scans: 0, lookups: 3_000 },
  ]);
});

test('the same id at another SentTimestamp, or in another pipeline, is another record', async () => {
  const { url, sink, close } = await openSink(server);
  const values = ['x', '1', null];
  await sink.commit(
    batchOf({
      rows: [
        { id: 'a', values },
        { id: 'a', sentAt: NOON + 1, values },
      ],
    }),
  );
  await sink.commit(batchOf({ pipeline: 'other', rows: [{ id: 'a', values }] }));
  assert.deepEqual(await rowsOf(url, 'select count(*)::int as n from events'), [{ n: 3 }]);
  await close();
});

test('a rejection is quarantined once, sealed as it came, however often its message returns', async () => {
  const { url, sink, close } = await openSink(server);
  const rejections = [{ id: 'bad', path: null, code: 'not_json' as const, kid: 4 }];
  const first = batchOf({ rows: goodRows('a', 1), rejections });
  const report = await sink.commit(first);
  assert.deepEqual(counts({ ...report }), [2, 1, 0, 1, 0]);
  assert.deepEqual(report?.codes, { not_json: 1 });
  for (let i = 0; i < 2; i += 1) {
    assert.deepEqual(
      counts({ ...(await sink.commit(batchOf({ rejections: [...rejections, ...rejections] }))) }),
      [2, 0, 2, 0, 0],
    );
  }
  const [entry, ...more] = await rowsOf(url, 'select * from maskline.quarantine');
  assert.equal(more.length, 0);
  assert.deepEqual(
    [
      entry?.['id'],
      entry?.['record_id'],
      entry?.['batch_id'],
      entry?.['code'],
      entry?.['path'],
      entry?.['kind'],
      entry?.['kid'],
    ],
    [first.rejections[0]?.quarantineId, 'bad', first.batchId, 'not_json', null, 'raw', 4],
  );
  assert.deepEqual(
    [entry?.['sealed'], entry?.['sent_at'], entry?.['replayed_at']],
    [Buffer.from('sealed bad'), new Date(NOON), null],
  );
  assert.deepEqual(await rowsOf(url, "select outcome from maskline.ledger where record_id = 'bad'"), [
    { outcome: 'quarantined' },
  ]);
  await close();
});

test('a held rejection is released: in no table, its message named in the fate, and free to return', async () => {
  const { url, sink, close } = await openSink(server);
  const batch = batchOf({
    rows: goodRows('a', 2),
    rejections: [
      { id: 'h1', held: true },
      { id: 'h2', held: true, message: 5 },
      { id: 'h3', held: true, message: 5 },
    ],
  });
  assert.deepEqual(counts({ ...(await sink.commit(batch)) }), [5, 2, 0, 0, 3]);
  const [fate] = await sink.fates([batch.batchId]);
  assert.deepEqual([fate?.held, fate?.released], [[2, 5], 3]);
  assert.deepEqual(await rowsOf(url, 'select count(*)::int as n from maskline.quarantine'), [{ n: 0 }]);
  assert.deepEqual(
    await rowsOf(url, "select count(*)::int as n from maskline.ledger where record_id like 'h%'"),
    [{ n: 0 }],
  );
  await close();
});

test('a batch commits once: the second commit writes nothing and returns null', async () => {
  const { url, sink, close } = await openSink(server);
  const batch = batchOf({ rows: goodRows('a', 2), rejections: [{ id: 'bad' }] });
  assert.ok(await sink.commit(batch));
  assert.equal(await sink.commit(batch), null);
  assert.deepEqual(await rowsOf(url, 'select count(*)::int as n from events'), [{ n: 2 }]);
  assert.deepEqual(await rowsOf(url, 'select count(*)::int as n from maskline.quarantine'), [{ n: 1 }]);
  await close();
});

test('a batch of nothing but rejections, and an empty one, have a fate as well', async () => {
  const { sink, close } = await openSink(server);
  const rejected = batchOf({ rejections: [{ id: 'x' }] });
  const empty = batchOf({});
  await sink.commit(rejected);
  assert.deepEqual(counts({ ...(await sink.commit(empty)) }), [0, 0, 0, 0, 0]);
  assert.equal((await sink.fates([rejected.batchId, empty.batchId])).length, 2);
  assert.deepEqual(await sink.fates([]), []);
  await close();
});

test('letting go is the fate of a batch that has none; one that has is told, and a released one never loads', async () => {
  const { url, sink, close } = await openSink(server);
  const committed = batchOf({ rows: goodRows('a', 2) });
  const open = batchOf({ rows: goodRows('b', 3) });
  await sink.commit(committed);
  const held = [committed, open].map(({ batchId, runId, pipeline, keys }) => ({
    batchId,
    runId,
    pipeline,
    records: keys.length,
    receivedAt: NOON,
  }));
  for (let i = 0; i < 2; i += 1) {
    const fates = new Map((await sink.letGo(held)).map((fate) => [fate.batchId, fate]));
    assert.equal(fates.get(committed.batchId)?.state, 'committed');
    assert.deepEqual(fates.get(open.batchId), {
      batchId: open.batchId,
      state: 'released',
      held: [],
      received: 3,
      loaded: 0,
      duplicates: 0,
      quarantined: 0,
      released: 3,
    });
  }
  assert.equal(await sink.commit(open), null);
  assert.deepEqual(
    await rowsOf(url, "select count(*)::int as n from maskline.ledger where record_id like 'b%'"),
    [{ n: 0 }],
  );
  const returned = await sink.commit(batchOf({ rows: goodRows('b', 3) }));
  assert.equal(returned?.loaded, 3);
  await close();
});

test('rows that are not whole lines of COPY text, one per key, are refused as corrupt before anything is written', async () => {
  const { url, sink, close } = await openSink(server);
  const batch = batchOf({ rows: goodRows('a', 2) });
  const broken = { ...batch, keys: batch.keys.slice(1) };
  await assert.rejects(sink.commit(broken), { name: 'PipelineError', code: 'payload_corrupt' });
  assert.deepEqual(await rowsOf(url, 'select count(*)::int as n from maskline.ledger'), [{ n: 0 }]);
  await close();
});

test('a batch is durable although its role has synchronous_commit off', async () => {
  const { url, close, another } = await openSink(server);
  await rowsOf(url, `alter database ${new URL(url).pathname.slice(1)} set synchronous_commit = off`);
  const { createPool } = await import('../../src/load/connection.js');
  const pool = createPool({ url, applicationName: 'durable' });
  const seen: unknown[] = [];
  const sink = another({
    pool: {
      ...pool,
      query: (text, values) => pool.query(text, values),
      transaction: (work) => pool.transaction(work),
      close: () => pool.close(),
      withClient: (work) =>
        pool.withClient(async (client) => {
          const result = await work(
            new Proxy(client, {
              get(target, property) {
                if (property !== 'query') return Reflect.get(target, property, target) as unknown;
                return async (...args: unknown[]) => {
                  if (args[0] === 'commit')
                    seen.push((await target.query('show synchronous_commit')).rows[0]);
                  return Reflect.apply(target.query, target, args) as unknown;
                };
              },
            }),
          );
          return result;
        }),
    },
  });
  await sink.letGo([]);
  await sink.commit(batchOf({ rejections: [{ id: 'x' }] }));
  assert.deepEqual(seen, [{ synchronous_commit: 'on' }]);
  await close();
});

test("plain duplicates and repeated commits leave no error in the server's log", async () => {
  const { sink, close } = await openSink(server);
  const from = (await server.log()).length;
  const batch = batchOf({ rows: goodRows('a', 5), rejections: [{ id: 'bad' }] });
  await sink.commit(batch);
  await sink.commit(batch);
  await sink.commit(batchOf({ rows: goodRows('a', 9), rejections: [{ id: 'bad' }] }));
  await sink.letGo([{ ...batch, records: 6, receivedAt: NOON }]);
  assert.doesNotMatch((await server.log()).slice(from), /ERROR|WARNING|FATAL/);
  await close();
});
