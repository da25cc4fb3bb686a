// The example as it stands in the folder: orders that change, in whatever order a queue delivers what they say.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CliResult, assertHas } from '../support/cli.js';
import { tokenOracle } from '../support/oracle.js';
import { type Deployment, type Stack, startStack } from '../support/stack.js';

const EXAMPLE = fileURLToPath(new URL('../../../examples/orders', import.meta.url));
const ORDERS = 40;
const STATES = ['placed', 'paid', 'packed', 'sent', 'delivered'] as const;

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
async function run(...args: readonly string[]): Promise<CliResult> {
  const env = {
    MASKLINE_KEYRING: deployment.keyringFile,
    MASKLINE_KEK: readFileSync(deployment.kekFile, 'utf8').trim(),
  };
  const result = await deployment.cli.run(args, { env });
  assert.equal(result.code, 0, `${args.join(' ')}: ${result.stderr}${result.stdout}`);
  outputs.push(result.stdout, result.stderr);
  return result;
}

const orderId = (i: number): string => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`;
const updatedAt = (step: number): string => `2026-11-21T09:${String(10 + step)}:00Z`;
const customer = (i: number): string => `canary-customer-${i % 7}`;

/** What happened to an order at that step. */
function event(i: number, step: number): string {
  return JSON.stringify({
    order: {
      id: orderId(i),
      state: STATES[step],
      updated_at: updatedAt(step),
      total: `${i}.50`,
      items: [{ sku: `TEA-${i}`, note: 'canary-note', qty: i }, { sku: 'CUP-2' }],
    },
    customer: { id: customer(i), name: 'Canary Person', email: `Canary.${i}@Example.com` },
    payment: { card: '4111111111111111' },
    ship_to: { street: '1 Canary Street', zip: '10115', country: 'DE' },
    gift: { from: 'canary-giver', wrapped: i % 2 === 0, message: 'canary-wish' },
  });
}

/** Each order gets as far as its number says. */
const lastStep = (i: number): number => i % STATES.length;
const events = Array.from({ length: ORDERS }, (_, i) =>
  STATES.slice(0, lastStep(i) + 1).map((_state, step) => ({ i, step })),
).flat();

test('the example is fit, and does what its tests say', async () => {
  await run('test', 'maskline.tests.yaml');
  await run('migrate');
  await run('validate', '--connect', '--strict');
});

test('of each order one row is left, as its newest event has it, in whatever order and batches they come', async () => {
  // The newest of some come first; the rest, backwards, in batches of their own.
  const first = events.filter(({ i, step }) => step === lastStep(i) && i % 2 === 0);
  const rest = events.filter((each) => !first.includes(each)).toReversed();
  let loaded = 0;
  for (const part of [first, rest.slice(0, 50), rest.slice(50)]) {
    await deployment.send(part.map(({ i, step }) => event(i, step)));
    const { rows } = await run('drain');
    assertHas(rows[0], { received: part.length, loaded: part.length, quarantined: 0, duplicates: 0 });
    loaded += part.length;
  }
  assert.equal(loaded, events.length);
  const rows = await deployment.query(
    `select order_id::text, state, to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as updated_at,
            total::text, skus, customer, mail_domain, card, zip, country, details from public.orders order by order_id`,
  );
  const master = deployment.masters().get(1);
  assert.ok(master);
  const expected = Array.from({ length: ORDERS }, (_, i) => ({
    order_id: orderId(i),
    state: STATES[lastStep(i)],
    updated_at: updatedAt(lastStep(i)),
    total: `${i}.50`,
    skus: [`TEA-${i}`, 'CUP-2'],
    customer: tokenOracle(master, 1, 'siv', 'customer_id', 'text', customer(i)),
    mail_domain: 'Example.com',
    zip: '10',
    country: 'DE',
    details: {
      gift: {
        from: tokenOracle(master, 1, 'siv', 'customer_name', 'text', 'canary-giver'),
        wrapped: i % 2 === 0,
      },
      order: {
        items: [{ qty: i, note: tokenOracle(master, 1, 'hmac', 'note', 'text', 'canary-note') }, {}],
      },
    },
  }));
  assert.deepEqual(
    rows.map(({ card: _card, ...row }) => row),
    expected,
  );
  assert.ok(rows.every(({ card }) => String(card).endsWith('1111') && !String(card).includes('4111111')));
});

test('nothing tells of who ordered, and what was loaded can be proven as far as rows that overwrite allow', async () => {
  const { rows } = await run('prove');
  assert.match(JSON.stringify(rows), /mode: upsert/);
  const stored = JSON.stringify(await deployment.query('select * from public.orders'));
  for (const text of [stored, ...outputs]) assert.doesNotMatch(text, /canary/i);
});
