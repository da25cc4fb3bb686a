// The example as it stands in the folder: orders with no item, with one and with many, in three tables.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CliResult, assertHas } from '../support/cli.js';
import { tokenOracle } from '../support/oracle.js';
import { eventually } from '../support/queue.js';
import { type Deployment, type Stack, assertAddsUp, startStack } from '../support/stack.js';

const EXAMPLE = fileURLToPath(new URL('../../../examples/order-items', import.meta.url));
const TABLES = ['orders', 'order_items', 'order_contacts'] as const;
/** By the number of the order: most have few items, and one has more than a screen. */
const ITEMS = [0, 1, 2, 3, 250, 1, 0, 5] as const;

let stack: Stack;
let deployment: Deployment;
before(async () => {
  stack = await startStack();
  deployment = await stack.deployment({ ddl: null });
  for (const file of ['maskline.yaml', 'maskline.tests.yaml'])
    copyFileSync(path.join(EXAMPLE, file), path.join(deployment.dir, file));
});
after(() => stack.stop());

const outputs: string[] = [];
async function run(
  args: readonly string[],
  env: Readonly<{ [name: string]: string }> = {},
): Promise<CliResult> {
  const result = await deployment.cli.run(args, {
    env: {
      MASKLINE_KEYRING: deployment.keyringFile,
      MASKLINE_KEK: readFileSync(deployment.kekFile, 'utf8').trim(),
      ...env,
    },
  });
  outputs.push(result.stdout, result.stderr);
  return result;
}

async function good(...args: readonly string[]): Promise<CliResult> {
  const result = await run(args);
  assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}${result.stdout}`);
  return result;
}

const orderId = (i: number): string => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`;
const updatedAt = (minute: number): string => `2026-11-21T09:${String(10 + minute)}:00Z`;
const phone = (i: number): string => `+49 30 5550${1_000 + i}`;

/** An event of an order at that minute; `items` are laid over those that it would have. */
function event(i: number, minute: number, count: number, items: readonly object[] = []): string {
  const item = (line: number): object => ({
    sku: `SKU-${i}-${line}`,
    qty: line + 1,
    color: 'green',
    note: `canary-note-${i}`,
    gift: { to: `Canary ${i}.${line}`, wrapped: line % 2 === 0 },
    ...items[line],
  });
  return JSON.stringify({
    order: {
      id: orderId(i),
      state: 'paid',
      updated_at: updatedAt(minute),
      items: Array.from({ length: count }, (_, line) => item(line)),
    },
    customer: { id: `canary-customer-${i}`, phone: phone(i) },
  });
}

/** The rows of each table, as they should be for such orders. */
function expectedOf(
  orders: readonly { readonly i: number; readonly minute: number; readonly count: number }[],
) {
  const master = deployment.masters().get(1);
  assert.ok(master);
  const token = (method: 'siv' | 'hmac', domain: string, value: string): string | null =>
    tokenOracle(master, 1, method, domain, 'text', value);
  return {
    orders: orders.map(({ i, minute }) => ({
      order_id: orderId(i),
      at: updatedAt(minute),
      customer: token('siv', 'customer_id', `canary-customer-${i}`),
    })),
    items: orders.flatMap(({ i, minute, count }) =>
      Array.from({ length: count }, (_, line) => ({
        order_id: orderId(i),
        line,
        at: updatedAt(minute),
        sku: `SKU-${i}-${line}`,
        quantity: line + 1,
        recipient: token('siv', 'customer_name', `Canary ${i}.${line}`),
        details: {
          color: 'green',
          note: token('hmac', 'order.items[*].note', `canary-note-${i}`),
          gift: { wrapped: line % 2 === 0 },
        },
      })),
    ),
    contacts: orders.map(({ i }) => ({ order_id: orderId(i), end: phone(i).slice(-4) })),
  };
}

const AT = `to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at`;

/** What the tables hold; of the items, those of the orders as they stand. */
async function stored() {
  return {
    orders: await deployment.query(`select order_id::text, ${AT}, customer from orders order by order_id`),
    items: await deployment.query(
      `select order_id::text, line, ${AT}, sku, quantity, recipient, details
         from current_order_items order by order_id, line`,
    ),
    contacts: await deployment.query(
      `select order_id::text, right(phone, 4) as end from order_contacts order by order_id`,
    ),
  };
}

const first = ITEMS.map((count, i) => ({ i, minute: 0, count }));

test('the example is fit, does what its tests say, and its tables refer to each other', async () => {
  await good('test', 'maskline.tests.yaml');
  const { rows } = await good('migrate');
  assert.equal(Array.isArray(rows[0]?.['statements']) && rows[0]['statements'].length, 3);
  await deployment.query(readFileSync(path.join(EXAMPLE, 'tables.sql'), 'utf8'));
  await good('validate', '--connect', '--strict');
  // From here on, who is killed is not waited for as long as in production.
  const config = readFileSync(deployment.configFile, 'utf8');
  writeFileSync(deployment.configFile, config.replace('sqs: { ', 'sqs: { visibility_timeout: 3s, '));
});

test('each event has its rows in all tables, with no item, one and many, though its transaction was cut off between two tables', async () => {
  // The first connection that brings items ends once the orders are in; a sequence knows no rollback.
  await deployment.query(`
    create sequence public.cut_offs;
    create function public.cut_off() returns trigger language plpgsql as $$ begin
      if nextval('public.cut_offs') = 1 then perform pg_terminate_backend(pg_backend_pid()); end if;
      return new;
    end $$;
    create trigger cut_off before insert on public.order_items for each row execute function public.cut_off()`);
  await deployment.send(first.map(({ i, minute, count }) => event(i, minute, count)));
  const { rows, stderr } = await good('--log-level', 'info', 'drain');
  assertHas(rows[0], { received: ITEMS.length, loaded: ITEMS.length, quarantined: 0, duplicates: 0 });
  assert.ok(
    Number((await deployment.query('select last_value from public.cut_offs'))[0]?.['last_value']) > 1,
  );
  await deployment.query('drop trigger cut_off on public.order_items');
  assert.deepEqual(await stored(), expectedOf(first));
  const items = ITEMS.reduce<number>((sum, count) => sum + count, 0);
  const loads = await deployment.query(`select further_rows from maskline.loads where state = 'committed'`);
  const sum = (table: string): number =>
    loads.reduce((all, one) => all + Number((one['further_rows'] as { [name: string]: number })[table]), 0);
  assert.deepEqual([sum('public.order_items'), sum('public.order_contacts')], [items, ITEMS.length]);
  assert.match(stderr, /"further_rows":\{"public\.order_items":[0-9]+,"public\.order_contacts":[0-9]+\}/);
});

test('killed with the rows of all tables in and nothing committed, each event is there once', async () => {
  const again = first.map((order) => ({ ...order, minute: 1 }));
  await deployment.send(again.map(({ i, minute, count }) => event(i, minute, count)));
  const killed = await run(['drain'], {
    MASKLINE_ALLOW_FAILPOINTS: '1',
    MASKLINE_FAILPOINTS: 'load.copied=crash',
  });
  assert.equal(killed.signal, 'SIGKILL', killed.stderr);
  assert.deepEqual(await stored(), expectedOf(first), 'nothing of it is there');
  await eventually(
    async () => {
      await good('drain');
      return deployment.depth();
    },
    ({ visible, inFlight, delayed }) => visible + inFlight + delayed === 0,
    60_000,
  );
  assert.deepEqual(await stored(), expectedOf(again));
});

test('an order is as its newest event has it, with fewer items than before, whatever comes late', async () => {
  await deployment.send([event(4, 3, 2)]);
  await good('drain');
  await deployment.send([event(4, 2, 260)]);
  await good('drain');
  const expected = first.map((order) => ({ ...order, minute: 1 })).with(4, { i: 4, minute: 3, count: 2 });
  assert.deepEqual(await stored(), expectedOf(expected));
});

test('an item that can be no row, or that its table refuses, puts its whole order into quarantine and nothing of it anywhere', async () => {
  await deployment.query(
    'alter table order_items add check (quantity < 1000), add check (sku <> $$BANNED$$), alter quantity set not null',
  );
  const before = await stored();
  await deployment.send([
    event(100, 0, 3, [{}, { sku: null }]),
    event(101, 0, 3, [{}, {}, { qty: 'two' }]),
    event(102, 0, 3, [{}, {}, { qty: 1000 }]),
    event(103, 0, 2, [{ sku: 'BANNED' }]),
    event(104, 0, 2),
    event(105, 0, 2, [{}, { qty: null }]),
  ]);
  const { rows } = await good('drain');
  assertHas(rows[0], { received: 6, loaded: 1, quarantined: 5 });
  const added = expectedOf([{ i: 104, minute: 0, count: 2 }]);
  assert.deepEqual(await stored(), {
    orders: [...before.orders, ...added.orders],
    items: [...before.items, ...added.items],
    contacts: [...before.contacts, ...added.contacts],
  });
  const kept = await deployment.query('select code, path, kind from maskline.quarantine order by code, path');
  assert.deepEqual(
    kept.map((one) => Object.values(one).join(' ')),
    [
      // What the catalog says is seen before COPY.
      'missing_field order.items[*].qty raw',
      'missing_field order.items[*].sku raw',
      'refused_23514  masked',
      'refused_23514  masked',
      'wrong_type order.items[*].qty raw',
    ],
  );
  const entries = await deployment.count(`maskline.ledger where outcome = 'quarantined'`);
  assert.equal(entries, 5);
});

test('once the tables are mended, such an order has its rows in all of them by a replay, and prove agrees', async () => {
  await deployment.query(
    `alter table order_items drop constraint order_items_quantity_check, drop constraint order_items_sku_check,
       alter quantity drop not null`,
  );
  const { code, rows } = await run(['--yes', 'quarantine', 'replay', '--all']);
  assert.equal(code, 1, 'what can be no row under any mask stays');
  assertHas(rows[0], { received: 5, loaded: 3, quarantined: 2, codes: { missing_field: 1, wrong_type: 1 } });
  const replayed = await deployment.query(
    `select o.order_id::text as id, count(i.line)::int as items, count(distinct c.order_id)::int as contacts
       from orders o left join order_items i using (order_id) left join order_contacts c using (order_id)
      where o.order_id::text = any ($1) group by 1 order by 1`,
    [[100, 101, 102, 103, 105].map(orderId)],
  );
  assert.deepEqual(replayed, [
    { id: orderId(102), items: 3, contacts: 1 },
    { id: orderId(103), items: 2, contacts: 1 },
    { id: orderId(105), items: 2, contacts: 1 },
  ]);
  await good('prove');
});

test('a raw value in the row of an item stops its batch, and the finding names both columns and no value', async () => {
  const before = await stored();
  await deployment.send([event(200, 0, 2, [{}, { color: `call ${phone(200)}` }])]);
  const drained = await run(['drain']);
  assert.equal(drained.code, 1, drained.stderr);
  assertHas(drained.rows[0], { received: 1, loaded: 0, released: 1 });
  assert.deepEqual(await stored(), before);
  const { rows } = await good('failed', 'list');
  assertHas(rows[0], { code: 'leak_found', stage: 'transform' });
  assert.match(
    String(rows[0]?.['reason']),
    /what public\.order_contacts\.phone masks is in public\.order_items\.details \(1 of 1 rows\)/,
  );
});

test('nothing tells of who ordered, in any table or line', async () => {
  assertAddsUp(await deployment.runs());
  const tables = await Promise.all(TABLES.map((table) => deployment.query(`select * from public.${table}`)));
  for (const text of [JSON.stringify(tables), ...outputs]) assert.doesNotMatch(text, /canary|5550/i);
});
