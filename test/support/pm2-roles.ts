// What a deployment under pm2 must come to while it is scaled, reloaded and stopped: the same on each queue backend.

import assert from 'node:assert/strict';
import { STOP_DEADLINE_MS } from '../../src/roles/role.js';
import { DATABASE_ROLES, urlAs } from './database-roles.js';
import { Pm2, assertOnline } from './pm2.js';
import { type Sent, allSettled, assertSameEnd, prepareSmallEvents } from './same-end.js';
import type { Deployment, DeploymentOptions, Stack } from './stack.js';

const COUNT = 20_000;
/** Sent while pm2 does something, so that there is work under way, whatever the speed of the machine. */
const PORTION = COUNT / 5;
const ONE_EACH = { 'maskline-ingest': 1, 'maskline-transform': 1, 'maskline-load': 1, 'maskline-admin': 1 };

/** A pm2 for that deployment. It gives all its processes one environment, so maskline.yaml says who works as whom. */
export function pm2For(deployment: Deployment, env: Readonly<{ [name: string]: string }> = {}): Pm2 {
  const users = ['ingest', 'transform', 'load', 'admin', 'owner'] as const;
  const roles: { [user: string]: string } = {};
  for (const user of users) roles[user] = urlAs(deployment.database, DATABASE_ROLES[user]);
  deployment.configure((config) => ({ ...config, database: { roles } }));
  const { DATABASE_URL: _, ...environment } = deployment.environment;
  return new Pm2(deployment.dir, { ...environment, MASKLINE_TRANSFORM_INSTANCES: '1', ...env });
}

/** Scales transform to three and to one, reloads, stops and starts all, each with messages under way. */
export async function scaleReloadAndStop(
  stack: Stack,
  queue: NonNullable<DeploymentOptions['queue']>,
): Promise<void> {
  const sent = await prepareSmallEvents(stack, COUNT, { queue });
  const pm2 = pm2For(sent.deployment);
  try {
    await sent.send(PORTION);
    await pm2.start();
    assertOnline(await pm2.list(), ONE_EACH);
    await underLoad(sent, () => pm2.run('scale', 'maskline-transform', '3'));
    assertOnline(await pm2.list(), { ...ONE_EACH, 'maskline-transform': 3 });
    await underLoad(sent, () => pm2.run('scale', 'maskline-transform', '1'));
    const before = await pm2.list();
    assertOnline(before, ONE_EACH);
    await underLoad(sent, () => pm2.run('reload', 'all'));
    const reloaded = await pm2.list();
    assertOnline(reloaded, ONE_EACH);
    for (const { pid } of before)
      assert.ok(
        reloaded.every((each) => each.pid !== pid),
        'each is a new one',
      );
    await underLoad(sent, () => pm2.run('stop', 'all'));
    for (const { status, pid } of await pm2.list()) {
      assert.deepEqual({ status, pid }, { status: 'stopped', pid: 0 });
    }
    await pm2.start();
    assertOnline(await pm2.list(), ONE_EACH);
    await allSettled(sent);
    await pm2.run('delete', 'all');
    assert.deepEqual(await pm2.list(), []);
    assertGentle(pm2);
  } finally {
    await pm2.kill();
  }
  await assertSameEnd(sent);
}

/** Does something while messages arrive and are worked on. */
async function underLoad(sent: Sent, action: () => Promise<unknown>): Promise<void> {
  const settled = await sent.deployment.count('maskline.ledger');
  const sending = sent.send(PORTION);
  await sent.deployment.countUntil('maskline.ledger', (count) => count > settled);
  await Promise.all([sending, action()]);
}

/** Every process ended with 0, in time and by itself. */
function assertGentle(pm2: Pm2): void {
  const exits = pm2.exits();
  // Two of three, four reloaded, four stopped, four deleted.
  assert.equal(exits.length, 14, JSON.stringify(exits));
  for (const exit of exits) {
    assert.equal(exit.code, 0, JSON.stringify(exit));
    assert.ok(exit.seconds !== null && exit.seconds * 1_000 <= STOP_DEADLINE_MS, JSON.stringify(exit));
  }
  assert.doesNotMatch(pm2.log, /SIGKILL|still alive/, 'pm2 had to kill nobody');
}
