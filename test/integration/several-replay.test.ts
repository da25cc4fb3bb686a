import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { unsealedRow } from '../../src/cli/unsealed.js';
import { pageContents } from '../../src/load/quarantine-entries.js';
import type { ReplayResult } from '../../src/roles/replay.js';
import { rehearse } from '../../src/roles/replay-rehearsal.js';
import { type TestPostgres, startTestPostgres } from '../support/postgres.js';
import { OPEN, type Shop, TARGETS, order, replayAll, withShop } from '../support/shop.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const never = new AbortController().signal;

const withOrders = (work: (shop: Shop) => Promise<void>): Promise<void> => withShop(server, work);

const outcome = ({ report, codes }: ReplayResult) => [report.loaded, report.quarantined, codes];

async function openEntries({ query }: Shop): Promise<readonly string[]> {
  const rows = await query(
    `select code, path from maskline.quarantine where replayed_at is null order by code, path`,
  );
  return rows.map(({ code, path }) => `${String(code)} ${String(path)}`);
}

const ORDERS = [order(1, ['a', 'none', 'b']), order(2, []), order(3, ['c', 'd'], { total: 500 })];

test('a record that one table refused has its rows in all tables once the table is mended, and is counted with them', () =>
  withOrders(async (shop) => {
    const before = await shop.load([...ORDERS, order(4, ['e'])]);
    assert.deepEqual([before?.loaded, before?.quarantined], [2, 2]);
    assert.deepEqual(await openEntries(shop), ['refused_23514 null', 'refused_23514 null']);
    assert.deepEqual(outcome(await replayAll(shop)), [0, 2, { refused_23514: 2 }]);
    assert.deepEqual(await shop.counts(), [2, 1, 2], 'what is refused again leaves nothing in any table');
    await shop.query('alter table order_items drop constraint order_items_sku_check');
    assert.deepEqual(outcome(await replayAll(shop)), [1, 1, { refused_23514: 1 }]);
    assert.deepEqual(await shop.counts(), [3, 4, 3]);
    const [fate] = await shop.query(
      'select further_rows from maskline.loads where loaded = 1 order by batch_id desc limit 1',
    );
    assert.deepEqual(fate, { further_rows: { 'public.order_items': 3, 'public.contacts': 1 } });
    await shop.query('alter table orders drop constraint orders_total_check');
    assert.deepEqual(outcome(await replayAll(shop)), [1, 0, {}]);
    assert.deepEqual(await shop.counts(), [4, 6, 4]);
    const items = await shop.query(
      `select i.line, i.sku from order_items i join orders o using (order_id) join contacts c using (order_id)
        where o.total = 500 and c.key = o.key order by 1`,
    );
    assert.deepEqual(items, [
      { line: 0, sku: 'c' },
      { line: 1, sku: 'd' },
    ]);
  }));

test('a record that could not be masked has its rows in all tables once the pipeline is mended, an element of many too', () =>
  withOrders(async (shop) => {
    await shop.load([order(1, ['a', 'far too long a name']), order(2, ['b'])]);
    assert.deepEqual(await openEntries(shop), ['too_long items[*].sku']);
    const rehearsed = await rehearse(shop, { pipeline: shop.pipeline, filter: OPEN, limit: null }, never);
    assert.deepEqual(rehearsed.codes, { too_long: 1 });
    const [orders, items, contacts] = TARGETS;
    const sku = { ...items.columns.sku, max_length: 60 };
    await shop.configure([orders, { ...items, columns: { ...items.columns, sku } }, contacts]);
    // The table is still too narrow, which its catalog says before it refuses.
    assert.deepEqual(outcome(await replayAll(shop)), [0, 1, { too_long: 1 }]);
    assert.deepEqual(await openEntries(shop), ['too_long items[*].sku']);
    await shop.query('alter table order_items alter column sku type varchar(60)');
    assert.deepEqual(outcome(await replayAll(shop)), [1, 0, {}]);
    assert.deepEqual(await shop.counts(), [2, 3, 2]);
  }));

test('two replays of one record at once load its rows once', () =>
  withOrders(async (shop) => {
    await shop.load(ORDERS);
    await shop.query('alter table order_items drop constraint order_items_sku_check');
    await shop.query('alter table orders drop constraint orders_total_check');
    const [one, other] = await Promise.all([replayAll(shop), replayAll(shop)]);
    assert.equal(one.report.loaded + other.report.loaded, 2);
    assert.deepEqual(await shop.counts(), [3, 5, 3]);
  }));

test('rows for a table that the pipeline has no longer, or that is its first now, stay, and say so', () =>
  withOrders(async (shop) => {
    await shop.load([order(1, ['none']), order(2, ['a'])]);
    await shop.query('alter table order_items drop constraint order_items_sku_check');
    const [orders, items, contacts] = TARGETS;
    await shop.configure([orders, contacts]);
    assert.deepEqual(outcome(await replayAll(shop)), [0, 1, { refused_42P01: 1 }]);
    await shop.configure([contacts, items, orders]);
    assert.deepEqual(outcome(await replayAll(shop)), [0, 1, { refused_42P01: 1 }]);
    await shop.query('alter table order_items rename column sku to article');
    await shop.configure(TARGETS);
    assert.deepEqual(outcome(await replayAll(shop)), [0, 1, { refused_42703: 1 }]);
    assert.deepEqual(await openEntries(shop), ['refused_42703 items[*].sku']);
    assert.deepEqual(await shop.counts(), [1, 1, 1]);
    await shop.query('alter table order_items rename column article to sku');
    // In another order than they were masked in: items refer to orders, and come after them.
    await shop.configure([orders, contacts, items]);
    assert.deepEqual(outcome(await replayAll(shop)), [1, 0, {}]);
    assert.deepEqual(await shop.counts(), [2, 2, 2]);
  }));

test('what is shown of a refused record are its rows, by table', () =>
  withOrders(async (shop) => {
    await shop.load([order(1, ['a', 'none'])]);
    for await (const [entry] of pageContents(shop.pool, OPEN)) {
      assert.ok(entry);
      const { rows } = unsealedRow(shop.keyring, entry) as {
        readonly rows: { readonly [table: string]: unknown };
      };
      assert.deepEqual(Object.keys(rows), ['public.orders', 'public.order_items', 'public.contacts']);
      const items = rows['public.order_items'] as readonly { readonly [column: string]: unknown }[];
      assert.deepEqual(
        items.map(({ line, sku }) => [line, sku]),
        [
          ['0', 'a'],
          ['1', 'none'],
        ],
      );
      assert.ok(!JSON.stringify(rows).includes('customer-1'));
    }
  }));
