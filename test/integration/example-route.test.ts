// The example as it stands in the folder: one queue of logins, orders and other events.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CliResult, assertHas } from '../support/cli.js';
import { tokenOracle } from '../support/oracle.js';
import { type Deployment, type Stack, startStack } from '../support/stack.js';

const EXAMPLE = fileURLToPath(new URL('../../../examples/route', import.meta.url));

let stack: Stack;
let deployment: Deployment;
before(async () => {
  stack = await startStack();
  deployment = await stack.deployment({ ddl: null });
  for (const file of ['maskline.yaml', 'maskline.tests.yaml'])
    copyFileSync(path.join(EXAMPLE, file), path.join(deployment.dir, file));
});
after(() => stack.stop());

async function run(code: number, ...args: readonly string[]): Promise<CliResult> {
  const env = {
    MASKLINE_KEYRING: deployment.keyringFile,
    MASKLINE_KEK: readFileSync(deployment.kekFile, 'utf8').trim(),
  };
  const result = await deployment.cli.run(args, { env });
  assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}${result.stdout}`);
  return result;
}

test('each event ends in the table of its kind, also of messages that hold several kinds', async () => {
  await run(0, 'test', 'maskline.tests.yaml');
  await run(0, 'migrate');
  const login = (n: number) => ({ type: 'login', user: { id: `user-${n}` }, ip: '10.0.0.1' });
  const order = (n: number) => ({ type: 'order_placed', customer: `user-${n}`, total: `${n}.50` });
  await deployment.send([
    ...Array.from({ length: 20 }, (_, n) => JSON.stringify(login(n))),
    ...Array.from({ length: 10 }, (_, n) => JSON.stringify(order(n))),
    JSON.stringify({ type: 'page_seen', user: { id: 'user-1' } }),
    JSON.stringify([login(20), order(10), { type: 'page_seen' }, { no: 'type' }]),
  ]);
  // One of them alone would keep the messages of the others from being received.
  const { stderr } = await run(2, 'drain', 'orders');
  assert.match(
    stderr,
    /logins, orders, other_events share a queue by `route`.*: name logins, other_events too/,
  );

  const { rows } = await run(0, 'drain');
  const reports = new Map(rows.map((row) => [row['pipeline'], row]));
  assertHas(reports.get('logins') ?? {}, { state: 'succeeded', received: 21, loaded: 21 });
  assertHas(reports.get('orders') ?? {}, { state: 'succeeded', received: 11, loaded: 11 });
  assertHas(reports.get('other_events') ?? {}, { state: 'succeeded', received: 3, loaded: 3 });
  assert.deepEqual(await deployment.depth(), { visible: 0, inFlight: 0, delayed: 0 });

  const master = deployment.masters().get(1);
  assert.ok(master);
  const tokens = Array.from({ length: 11 }, (_, n) => ({
    user_id: tokenOracle(master, 1, 'siv', 'user', 'text', `user-${n}`),
    total: `${n}.50`,
  }));
  const joined = await deployment.query(
    `select user_id, total::text from public.orders join public.logins using (user_id) order by orders.total`,
  );
  assert.deepEqual(joined, tokens);
  assert.equal(await deployment.count('maskline.quarantine'), 0);
});
