import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Releases } from '../../src/lifecycle.js';
import { setRevealLimits } from '../../src/load/reveals.js';
import { type ErasureReport, erase } from '../../src/roles/erase.js';
import { findKeyUses } from '../../src/roles/key-uses.js';
import { proveDeployment } from '../../src/roles/prove.js';
import { type RemaskReport, remaskPipeline } from '../../src/roles/remask.js';
import { replay } from '../../src/roles/replay.js';
import { reveal, revealPlace } from '../../src/roles/reveal.js';
import { findUnsearched } from '../../src/roles/unsearched.js';
import { testKeyring, testMasters } from '../support/masking.js';
import { tokenOracle } from '../support/oracle.js';
import { type TestPostgres, startTestPostgres } from '../support/postgres.js';
import { DDL, type Shop, TARGETS, order, replayAll, withShop } from '../support/shop.js';

let server: TestPostgres;
before(async () => {
  server = await startTestPostgres();
});
after(() => server.stop());

const [first, second] = [...testMasters.values()];
assert.ok(first && second);
/** The one in which 1 is primary, as it was before. */
const former = testKeyring(new Map([[1, first]]));
const never = new AbortController().signal;
const [ORDERS, ITEMS, CONTACTS] = TARGETS;

const withOrders = (work: (shop: Shop) => Promise<void>, ddl?: string): Promise<void> =>
  withShop(
    server,
    async (shop) => {
      // Under the former key, one of them refused by the table of items; and one under the key of today.
      await shop.load([order(1, ['a', 'b']), order(2, ['c']), order(3, ['d', 'none'])], former);
      await shop.load([order(4, ['e'])]);
      await work(shop);
    },
    ddl,
  );

const remask = (shop: Shop): Promise<RemaskReport | null> =>
  remaskPipeline(shop, shop.pipeline, { fromKid: 1, rate: 100_000, dryRun: false, signal: never });

const usesOf = async ({ deployment, pipeline, pool, keyring }: Shop) => {
  const here = { ...deployment, config: { ...deployment.config, pipelines: [pipeline] } };
  const uses = await findKeyUses(here, pool, { kid: 1, keyring, changedAt: 0 }, new Releases());
  return uses.filter(({ count }) => count > 0).map(({ place, count }) => `${place} ${count}`);
};

test('what a key is needed for is named in every table, and in the rows of every table in quarantine', () =>
  withOrders(async (shop) => {
    assert.deepEqual(await usesOf(shop), [
      'public.orders.order_id 2',
      'public.orders.customer 2',
      'public.order_items.order_id 3',
      'public.order_items.gift_to 3',
      'public.order_items.counted 3',
      'public.contacts.order_id 2',
      'public.contacts.mail 2',
      'public.contacts.mask_kid 2',
      'maskline.quarantine 1',
      'maskline.vault 3',
      'maskline.vault_subjects 3',
    ]);
  }));

test('rows of all tables are brought to the new key, what refers to a token with it, and refused records too', () =>
  withOrders(async (shop) => {
    const report = await remask(shop);
    assert.equal(report?.state, 'done', JSON.stringify(report));
    assert.deepEqual([report.left, report.unopened, report.quarantine_resealed], [0, 0, 1]);
    assert.deepEqual(report.one_way, [
      {
        table: 'public.order_items',
        column: 'counted',
        method: 'hmac',
        values: 3,
        why: 'the method has no way back to the value',
      },
    ]);
    assert.deepEqual(await usesOf(shop), [
      'public.order_items.counted 3',
      'tokens in masked rows of maskline.quarantine 1',
    ]);
    await shop.query('alter table order_items drop constraint order_items_sku_check');
    const filter = {
      ids: null,
      pipelines: [],
      codes: [],
      withoutCodes: [],
      since: null,
      until: null,
    } as const;
    const request = { pipeline: shop.pipeline, filter: { ...filter, state: 'open' as const }, limit: null };
    assert.equal((await replay(shop, request, never)).report.loaded, 1);
    const joined = await shop.query(
      `select o.order_id, o.customer, count(i.line)::int as items, min(i.gift_to) as friend, min(c.mask_kid) as kid
         from orders o join order_items i using (order_id) join contacts c using (order_id)
        group by 1, 2 order by 1`,
    );
    const token = (domain: string, value: string) => tokenOracle(second, 2, 'siv', domain, 'text', value);
    const expected = [2, 1, 2, 1].map((items, i) => ({
      order_id: token('order', `o-${[1, 2, 3, 4][i]}`),
      customer: token('customer', `customer-${[1, 2, 3, 4][i]}`),
      items: [2, 1, 2, 1][i] ?? items,
      friend: token('customer', `friend-${[1, 2, 3, 4][i]}`),
      kid: 2,
    }));
    const byId = (rows: readonly { readonly [column: string]: unknown }[]) =>
      new Map(rows.map((row) => [row['order_id'], row]));
    assert.deepEqual(byId(joined), byId(expected));
    const proof = await proveDeployment(shop.pool, shop.deployment.config, [shop.pipeline]);
    assert.ok(proof.ok, JSON.stringify(proof));
  }));

test('a foreign key of tokens by which rows would not follow is named, and nothing is changed', () =>
  withOrders(
    async (shop) => {
      await assert.rejects(remask(shop), {
        code: 'table_unfit',
        message: /public\.orders.*`on update cascade`/,
      });
      const [left] = await shop.query(`select count(*)::int as n from orders where order_id like 's1.%'`);
      assert.equal(left?.['n'], 2);
    },
    DDL.replace('on update cascade', ''),
  ));

const eraseOf = (
  shop: Shop,
  subject: string,
  mode: 'null' | 'delete',
  dryRun = false,
): Promise<ErasureReport> =>
  erase(shop.pool, {
    keyring: shop.keyring,
    pipelines: [shop.pipeline],
    subject,
    who: { osUser: 'test', purpose: 'article 17', ticket: null },
    mode,
    dryRun,
    isWhole: true,
    unsearched: [],
  });

const erased = ({ columns }: ErasureReport) =>
  columns.map(({ table, column, action, rows }) => `${action} ${table}.${column} ${rows}`);

test('a value is erased from the columns of every table, and from every refused record that holds it in any of them', () =>
  withOrders(async (shop) => {
    const friend = await eraseOf(shop, 'friend-1', 'null');
    assert.deepEqual(erased(friend), [
      'null public.order_items.gift_to 2',
      'null public.order_items.counted 2',
    ]);
    assert.deepEqual((await eraseOf(shop, 'friend-3', 'null')).quarantine, { entries: 1, unsearched: 0 });
    assert.deepEqual(erased(await eraseOf(shop, 'customer-2', 'null')), ['null public.orders.customer 1']);
    assert.equal((await eraseOf(shop, 'customer-4', 'null')).vault.entries, 1);
    assert.deepEqual(erased(await eraseOf(shop, '5550004', 'null')), ['null public.contacts.phone 1']);
    assert.deepEqual(await shop.counts(), [3, 4, 3]);
  }));

for (const onDelete of ['', ' on delete cascade'])
  test(`with a row that is deleted go those that refer to it${onDelete}, and prove misses none of them`, () =>
    withOrders(
      async (shop) => {
        const expected = ['delete public.order_items.order_id 2', 'delete public.orders.customer 1'];
        assert.deepEqual(erased(await eraseOf(shop, 'customer-1', 'delete', true)), expected);
        assert.deepEqual(await shop.counts(), [3, 4, 3]);
        assert.deepEqual(erased(await eraseOf(shop, 'customer-1', 'delete')), expected);
        assert.deepEqual(await shop.counts(), [2, 2, 3]);
        const proof = await proveDeployment(shop.pool, shop.deployment.config, [shop.pipeline]);
        assert.ok(proof.ok, JSON.stringify(proof));
        await shop.query('delete from order_items where line = 0');
        const after = await proveDeployment(shop.pool, shop.deployment.config, [shop.pipeline]);
        assert.equal(after.ok, false);
      },
      DDL.replace('on update cascade', `on update cascade${onDelete}`),
    ));

test('prove takes rows of a list that were erased for no lost ones, also of a record that was replayed', () =>
  withOrders(async (shop) => {
    await shop.query('alter table order_items drop constraint order_items_sku_check');
    assert.equal((await replayAll(shop)).report.loaded, 1);
    assert.deepEqual(await shop.counts(), [4, 6, 4]);
    for (const friend of ['friend-3', 'friend-2']) {
      await eraseOf(shop, friend, 'delete');
      const proof = await proveDeployment(shop.pool, shop.deployment.config, [shop.pipeline]);
      assert.ok(proof.ok, JSON.stringify(proof));
    }
    assert.deepEqual(await shop.counts(), [4, 3, 4]);
    await shop.query(`delete from order_items where sku = 'a'`);
    const proof = await proveDeployment(shop.pool, shop.deployment.config, [shop.pipeline]);
    assert.deepEqual(proof.pipelines[0]?.totals, { batch_rows_differ: 1 });
  }));

test('what a further table keeps the format of is revealed by its column, and by its table where names clash', () =>
  withOrders(async (shop) => {
    await setRevealLimits(shop.pool, shop.deployment.config.reveal, 'test');
    const [row] = await shop.query('select phone from contacts where mask_kid = 2');
    const revealed = async (column: string) => {
      const place = revealPlace(shop.keyring, shop.pipeline, column, 2);
      const revealer = { osUser: 'test', purpose: 'support case 4711', ticket: null };
      const stored = [String(row?.['phone'])];
      const asked = {
        ...{ keyring: shop.keyring, pipelines: [shop.pipeline], revealer, stored },
        place,
        request: null,
      };
      const result = await reveal(shop.pool, asked, async () => undefined);
      return result.kind === 'revealed' ? result.values[0]?.value : result.kind;
    };
    assert.equal(await revealed('phone'), '5550004');
    const phone = {
      ...CONTACTS.columns.phone,
      from: 'items[*].phone',
      mask: { method: 'ipcrypt-det', domain: 'x' },
    };
    const mask_kid = CONTACTS.columns.mask_kid;
    await shop.configure([ORDERS, { ...ITEMS, columns: { ...ITEMS.columns, phone, mask_kid } }, CONTACTS]);
    await assert.rejects(revealed('phone'), {
      code: 'usage',
      message: /say order_items\.phone or contacts\.phone/,
    });
    assert.equal(await revealed('contacts.phone'), '5550004');
    const records = await shop.query(
      `select details from maskline.reveals where outcome = 'granted' order by seq`,
    );
    assert.deepEqual(
      records.map(({ details }) => (JSON.parse(String(details)) as { readonly column: string }).column),
      ['phone', 'contacts.phone'],
    );
  }));

test('what an erasure can not find in a further table is named, and vault entries of its domains are no strangers', () =>
  withOrders(async (shop) => {
    const shown = { from: 'items[*].gift_to', mask: { method: 'partial', kind: 'email' } };
    await shop.query('alter table order_items add column shown varchar(256)');
    await shop.configure([ORDERS, { ...ITEMS, columns: { ...ITEMS.columns, shown } }, CONTACTS]);
    const parts = { pool: shop.pool, pipelines: [{ pipeline: shop.pipeline, queues: null, clients: [] }] };
    const places = (await findUnsearched(shop.pool, parts, [shop.pipeline])).map(({ place }) => place);
    assert.deepEqual(
      places.filter((place) => /^(column|vault)/.test(place)),
      ['column shown of public.order_items'],
    );
  }));
