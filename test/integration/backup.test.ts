import assert from 'node:assert/strict';
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { assertHas } from '../support/cli.js';
import { withConnection } from '../support/postgres.js';
import { type Deployment, PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
const login = (i: number, changes: object = {}): string =>
  JSON.stringify({ user_id: `u-${i}`, ip: `203.0.113.${i}`, device_id: `d-${i}`, ...changes });

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

/**
 * A copy of a database as of now under another name, in place of whatever has it: what a dump and its restore come to,
 * without programs of the server's version.
 */
async function copyDatabase(from: string, to: string): Promise<void> {
  await withConnection(stack.postgres.server.url, async (client) => {
    await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [from]);
    await client.query(`drop database if exists ${to} with (force)`);
    await client.query(`create database ${to} template ${from}`);
  });
}

async function drain(deployment: Deployment, expected: Readonly<{ [count: string]: number }>): Promise<void> {
  const { code, rows, stderr } = await deployment.cli.run(['drain']);
  assert.equal(code, 0, stderr);
  assertHas(rows[0], expected);
}

async function users(deployment: Deployment): Promise<readonly unknown[]> {
  const rows = await deployment.query(`select user_id from ${TABLE} order by user_id`);
  return rows.map((row) => row['user_id']);
}

test('after a restore what was loaded before comes as duplicate, what was under way is loaded, and what came between is gone unless it is sent again', async () => {
  // GIVEN a deployment that has loaded three, quarantined one, and was backed up then: database and keyring
  const deployment = await stack.deployment({
    pipeline: { batch: { linger: '50ms' }, limits: { breaker: { max_rejected_ratio: 1 } } },
  });
  assert.equal((await deployment.cli.run(['migrate'])).code, 0);
  const early = await deployment.send([login(1), login(2), login(3), login(4, { ip: 'none' })]);
  await drain(deployment, { received: 4, loaded: 3, quarantined: 1 });
  const database = new URL(deployment.database).pathname.slice(1);
  const keyring = join(deployment.dir, 'kept.json');
  await copyDatabase(database, `${database}_backup`);
  copyFileSync(deployment.keyringFile, keyring);
  // and has gone on: two more are committed and deleted from SQS, and two are on their way
  const between = await deployment.send([login(5), login(6)]);
  await drain(deployment, { received: 2, loaded: 2 });
  await deployment.send([login(7), login(8)]);
  // WHEN database and keyring are lost, and the backup takes their place
  rmSync(deployment.keyringFile);
  await copyDatabase(`${database}_backup`, database);
  copyFileSync(keyring, deployment.keyringFile);
  for (const args of [['migrate'], ['keys', 'check'], ['validate', '--connect'], ['prove']]) {
    const { code, stderr, stdout } = await deployment.cli.run(args);
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}${stdout}`);
  }
  // THEN what was on its way is loaded once, and what SQS brings again from before is a duplicate
  await stack.sqs.redeliver(deployment.queue, early);
  await drain(deployment, { received: 6, loaded: 2, duplicates: 4, quarantined: 0 });
  assert.deepEqual(await users(deployment), ['u-1', 'u-2', 'u-3', 'u-7', 'u-8']);
  // and what was committed after the backup is not there, and is loaded when it is sent again
  await stack.sqs.redeliver(deployment.queue, between);
  await drain(deployment, { received: 2, loaded: 2, duplicates: 0 });
  assert.deepEqual(await users(deployment), ['u-1', 'u-2', 'u-3', 'u-5', 'u-6', 'u-7', 'u-8']);
  assertAddsUp(await deployment.runs());
  assert.equal((await deployment.cli.run(['prove'])).code, 0);
  // and values and quarantined records from before the loss open with the keyring that was kept
  const [row] = await deployment.query(`select masked_ip from ${TABLE} where user_id = 'u-1'`);
  const revealed = await deployment.cli.run([
    ...['reveal', String(row?.['masked_ip']), '--purpose', 'the drill of the quarter'],
  ]);
  assert.equal(revealed.code, 0, revealed.stderr);
  assert.match(revealed.stdout, /203\.0\.113\.1/);
  const opened = await deployment.cli.run([
    ...['quarantine', 'export', '--all', '--unseal', '--reason', 'the drill of the quarter'],
  ]);
  assert.match(opened.stdout, /u-4/);
});

test('a target that is restored without its ledger is missed by prove, which says how many rows', async () => {
  // GIVEN a deployment that knows from which rows on it counts, and has loaded three
  const deployment = await stack.deployment({ pipeline: { batch: { linger: '50ms' } } });
  assert.equal((await deployment.cli.run(['migrate'])).code, 0);
  await deployment.send([login(1), login(2), login(3)]);
  await drain(deployment, { loaded: 3 });
  assert.equal((await deployment.cli.run(['prove'])).code, 0);
  // WHEN its table is put back to an earlier time, and the ledger is not
  await deployment.query(`delete from ${TABLE} where user_id = 'u-3'`);
  // THEN prove says so, and a redelivery does not bring the row back
  const proven = await deployment.cli.run(['prove']);
  assert.equal(proven.code, 1, proven.stdout);
  assert.match(proven.stdout, /"expected":3,"found":2/);
  await stack.sqs.redeliver(deployment.queue, 'all');
  await drain(deployment, { loaded: 0, duplicates: 3 });
});
