import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { recordBaselines, retakeBaselines } from '../../src/load/baseline.js';
import { deleteEntries, pageEntries } from '../../src/load/quarantine-entries.js';
import { prune } from '../../src/load/prune.js';
import { type Proof, proveDeployment } from '../../src/roles/prove.js';
import { type TestPostgres, startTestPostgres } from '../support/postgres.js';
import { DDL, OPEN, type Shop, TARGETS, order, replayAll, withShop } from '../support/shop.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const [ORDERS, ITEMS, CONTACTS] = TARGETS;
const DAY_MS = 86_400_000;

/** A shop that has loaded orders, refused some, and replayed some of those, raw and masked ones. */
const withLoaded = (work: (shop: Shop) => Promise<void>, ddl?: string): Promise<void> =>
  withShop(
    server,
    async (shop) => {
      await shop.load([order(1, ['a', 'b', 'c']), order(2, []), order(3, ['d'])]);
      await shop.load([
        order(4, ['e', 'none', 'f']),
        order(5, ['g', 'far too long a name']),
        order(6, ['h']),
      ]);
      await shop.query('alter table order_items drop constraint order_items_sku_check');
      await shop.query('alter table order_items alter column sku type varchar(60)');
      const sku = { ...ITEMS.columns.sku, max_length: 60 };
      await shop.configure([ORDERS, { ...ITEMS, columns: { ...ITEMS.columns, sku } }, CONTACTS]);
      await replayAll(shop);
      await shop.load([order(7, ['i', 'j']), order(8, ['k'], { total: 500 })]);
      await work(shop);
    },
    ddl,
  );

const look = ({ pool, deployment, pipeline }: Shop): Promise<Proof> =>
  proveDeployment(pool, deployment.config, [pipeline]);

/** What differs, as kind, expected and found, and the tables that are named; and rows that may be gone by right. */
async function found(shop: Shop): Promise<readonly (readonly unknown[])[]> {
  const { pipelines } = await look(shop);
  return pipelines.flatMap(({ differences, unchecked }) => [
    ...differences.map(({ kind, expected, found: n, what }) => [
      kind,
      expected,
      n,
      /table public\.(\w+)/.exec(what)?.[1],
    ]),
    ...unchecked.filter(({ what }) => what.startsWith('target_rows')).map(({ what, count }) => [what, count]),
  ]);
}

test('all tables agree after loads, refusals and replays; each is looked at as closely as its columns allow', () =>
  withLoaded(async (shop) => {
    assert.deepEqual(await shop.counts(), [7, 12, 7]);
    const { ok, pipelines } = await look(shop);
    assert.ok(ok, JSON.stringify(pipelines));
    const { target_rows, target_check, further } = pipelines[0]?.checked ?? {};
    assert.deepEqual([target_rows, target_check], [7, 'rows']);
    assert.deepEqual(further, [
      { target: 'public.order_items', target_rows: 12, target_check: 'batches' },
      { target: 'public.contacts', target_rows: 7, target_check: 'rows' },
    ]);
  }));

test('a row that is missing from a further table, or was added to it, is found, and the table named', () =>
  withLoaded(async (shop) => {
    await shop.query(`delete from order_items where sku = 'b'`);
    assert.deepEqual(await found(shop), [['batch_rows_differ', 4, 3, 'order_items']]);
    await shop.query(
      `insert into order_items (line, sku, batch) select line, 'b', batch from order_items where sku = 'a'`,
    );
    assert.deepEqual(await found(shop), []);
    // Of the batch of a masked record that was replayed, with others of it.
    await shop.query(`delete from order_items where sku = 'f'`);
    assert.deepEqual(await found(shop), [['batch_rows_differ', 4, 3, 'order_items']]);
    await shop.query(
      `insert into order_items (line, sku, batch) select line, 'f', batch from order_items where sku = 'e'`,
    );
    await shop.query(`insert into order_items (line, sku) values (0, 'x')`);
    assert.deepEqual(await found(shop), [['row_unknown', 12, 13, 'order_items']]);
    await shop.query(`delete from order_items where sku = 'x'`);
    await shop.query(`delete from contacts where phone = (select min(phone) from contacts)`);
    assert.deepEqual(await found(shop), [['row_missing', 1, 0, 'contacts']]);
    await shop.query(`insert into contacts (key) values ('nobody')`);
    assert.deepEqual(
      (await found(shop)).map(([kind]) => kind),
      ['row_missing', 'row_unknown'],
    );
    await retakeBaselines(shop.pool, shop.pipeline);
    assert.deepEqual(await found(shop), []);
  }));

test('a further table whose rows say nothing of where they come from is compared by their number', () =>
  withLoaded(async (shop) => {
    const { batch: _, ...columns } = ITEMS.columns;
    await shop.configure([ORDERS, { ...ITEMS, columns }, CONTACTS]);
    await shop.load([order(9, ['l', 'm'])]);
    assert.deepEqual(await found(shop), []);
    await shop.query(`delete from order_items where sku = 'm'`);
    assert.deepEqual(await found(shop), [['row_count_differs', 14, 13, 'order_items']]);
  }));

test('entries that are purged, and batches that are pruned, leave every table with what it must have', () =>
  withLoaded(async (shop) => {
    const ids: string[] = [];
    for await (const page of pageEntries(shop.pool, { ...OPEN, state: 'replayed' }, 'oldest_first'))
      ids.push(...page.map(({ id }) => id));
    assert.equal(await deleteEntries(shop.pool, ids, 'replayed'), 2);
    assert.deepEqual(await found(shop), []);
    // The first batch becomes one of a hundred days ago.
    await shop.query(
      `create function pg_temp.aged(id uuid) returns uuid language sql as $$
         select (substr(maskline.first_id_at(now() - interval '100 days')::text, 1, 13) || substr(id::text, 14))::uuid $$;
       create temporary table first_load as select batch_id, run_id from maskline.loads order by batch_id limit 1;
       update maskline.ledger set sent_at = sent_at - interval '100 days', batch_id = pg_temp.aged(batch_id)
        where batch_id in (select batch_id from first_load);
       update maskline.runs set run_id = pg_temp.aged(run_id), started_at = started_at - interval '100 days',
              heartbeat_at = heartbeat_at - interval '100 days', finished_at = finished_at - interval '100 days'
        where run_id in (select run_id from first_load);
       update order_items set batch = pg_temp.aged(batch) where batch in (select batch_id from first_load);
       update maskline.loads set batch_id = pg_temp.aged(batch_id), run_id = pg_temp.aged(run_id),
              received_at = received_at - interval '100 days', loaded_at = loaded_at - interval '100 days',
              oldest_sent_at = oldest_sent_at - interval '100 days'
        where batch_id in (select batch_id from first_load)`,
    );
    assert.deepEqual(await found(shop), []);
    const retention = { ledgerMs: 15 * DAY_MS, runsMs: 90 * DAY_MS, replayedQuarantineMs: 30 * DAY_MS };
    const pruned = await prune(shop.pool, retention, { clock: systemClock });
    assert.deepEqual([pruned?.loads, pruned?.runs], [1, 1]);
    assert.deepEqual(await found(shop), []);
    const baselines = await shop.query(
      'select target, rows::int as rows from maskline.baselines order by target',
    );
    assert.deepEqual(baselines, [
      { target: 'public.contacts', rows: 3 },
      { target: 'public.order_items', rows: 4 },
      { target: 'public.orders', rows: 3 },
    ]);
  }));

test('a table keeps its rows when it changes its place among those of its pipeline, or leaves it for another', () =>
  withLoaded(async (shop) => {
    await shop.configure([CONTACTS, ITEMS, ORDERS]);
    assert.deepEqual(await found(shop), []);
    await shop.query('alter table order_items drop constraint order_items_order_id_fkey');
    await shop.load([order(9, ['l', 'm'])]);
    assert.deepEqual(await found(shop), []);
    assert.deepEqual(await shop.counts(), [8, 14, 8]);
    const other = { ...shop.pipeline, name: 'other' };
    assert.deepEqual(
      (await recordBaselines(shop.pool, other)).map(({ state }) => state),
      ['taken', 'taken', 'taken'],
    );
    await shop.configure([CONTACTS]);
    const { differences } = await proveDeployment(shop.pool, shop.deployment.config, [shop.pipeline, other]);
    assert.equal(differences, 0);
    const heirs = await shop.query(`select target from maskline.baselines where pipeline = 'shop'`);
    assert.deepEqual(heirs, [{ target: 'public.contacts' }]);
  }));

test('rows from before are no difference in any table', () =>
  withLoaded(
    async (shop) => {
      assert.deepEqual(await found(shop), []);
      assert.deepEqual(await shop.counts(), [8, 13, 9]);
    },
    `${DDL}; insert into orders values ('was', 'here', 1, 'before'); insert into order_items (order_id) values ('was');
     insert into contacts (key) values ('x'), ('y')`,
  ));
