// The example as it stands in the folder: wallets, each in the order of its events.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CliResult, type Json, assertHas } from '../support/cli.js';
import { tokenOracle } from '../support/oracle.js';
import { type Deployment, type Stack, startStack } from '../support/stack.js';

const EXAMPLE = fileURLToPath(new URL('../../../examples/fifo', import.meta.url));
const WALLETS = 6;
const EVENTS = 8;
/** What happened to this wallet at this step can't be loaded. */
const BROKEN = { wallet: 2, step: 5 };

let stack: Stack;
let deployment: Deployment;
before(async () => {
  stack = await startStack();
  deployment = await stack.deployment({ ddl: null, queueAttributes: { FifoQueue: 'true' } });
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

const groupOf = (wallet: number): string => `customer-canary-${wallet}`;

test('the example is fit, and does what its tests say', async () => {
  await run(0, 'test', 'maskline.tests.yaml');
  await run(0, 'migrate');
  await run(0, 'validate', '--connect', '--strict');
});

test('each wallet is as its last event says, and the one whose event is broken is as it was before that', async () => {
  const steps = Array.from({ length: EVENTS }, (_, step) =>
    Array.from({ length: WALLETS }, (_wallet, wallet) => ({ wallet, step })),
  ).flat();
  const ids = await deployment.sendMessages(
    steps.map(({ wallet, step }) => {
      const isBroken = wallet === BROKEN.wallet && step === BROKEN.step;
      const event = { ...(isBroken ? {} : { balance: `${step}.${wallet}` }), currency: 'EUR' };
      return { groupId: groupOf(wallet), body: JSON.stringify(event) };
    }),
  );
  const { rows, stderr } = await run(1, 'drain');
  const loaded = steps.length - (EVENTS - BROKEN.step);
  assertHas(rows[0], { state: 'failed', received: loaded + 1, loaded, released: 1, quarantined: 0 });
  // The broken one has a delay, and those behind it in its group wait for it.
  assertHas(rows[0]?.['left'] as Json, { in_flight: 1, visible: EVENTS - BROKEN.step - 1 });
  const broken = ids[BROKEN.step * WALLETS + BROKEN.wallet];
  const blocked = stderr.split('\n').find((line) => line.includes('"event":"groups_blocked"')) ?? '{}';
  assertHas(JSON.parse(blocked) as Json, { pipeline: 'wallets', codes: { missing_field: 1 }, ids: [broken] });

  const master = deployment.masters().get(1);
  assert.ok(master);
  const expected = Array.from({ length: WALLETS }, (_, wallet) => ({
    wallet: tokenOracle(master, 1, 'siv', 'wallet', 'text', groupOf(wallet)),
    balance: `${wallet === BROKEN.wallet ? BROKEN.step - 1 : EVENTS - 1}.${wallet}`,
    currency: 'EUR',
  }));
  const table = await deployment.query(
    'select wallet, balance::text, currency from public.wallets order by split_part(balance::text, chr(46), 2)',
  );
  assert.deepEqual(table, expected);
  assert.doesNotMatch(
    stderr + JSON.stringify(await deployment.query('select * from public.wallets')),
    /canary/,
  );
});
