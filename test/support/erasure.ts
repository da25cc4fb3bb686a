// Deployments that keep something of persons, and their erasure.

import assert from 'node:assert/strict';
import type { CliOptions, CliResult, Json } from './cli.js';
import { type Deployment, PIPELINE, type Stack } from './stack.js';

export const TABLE = `public.${PIPELINE}`;
/** One for each mask that an erasure can search, and a kept one. */
export const COLUMNS = {
  n: { from: 'n', type: 'integer', required: true },
  mask_kid: { from: '$mask_kid', type: 'integer' },
  user_id: { from: 'user', required: true, mask: { method: 'siv', domain: 'user' } },
  friend: { from: 'friend', mask: { method: 'hmac', domain: 'user' } },
  friends: { from: 'friends[*]', type: 'text[]', mask: { method: 'siv', domain: 'user' } },
  ssn: { from: 'ssn', mask: { method: 'ff1', domain: 'ssn', template: '^(\\d{3})-(\\d{2})-(\\d{4})$' } },
  address: { from: 'ip', mask: { method: 'ipcrypt-pfx', domain: 'ip' } },
  mail: { from: 'mail', mask: { method: 'vault', domain: 'mail', subject: 'user' } },
  plain: { from: 'plain', type: 'text', max_length: 64 },
  rest: {
    from: '$rest',
    keep: ['seen'],
    masks: {
      'team[*].user': { method: 'siv', domain: 'user' },
      boss: { method: 'vault', domain: 'user', subject: 'user' },
    },
  },
} as const;
/** In every name of a person. */
export const CANARY = 'c4naryq7zx';
export const A = `${CANARY}-alice`;
export const B = `${CANARY}-bob`;
export const PURPOSE = 'article 17, on demand';

/** An event of that person. */
export const event = (n: number, user: string, changes: object = {}): string =>
  JSON.stringify({
    n,
    user,
    mail: `${user}@example.org`,
    ssn: `123-45-678${n}`,
    ip: `192.0.2.${n}`,
    ...changes,
  });

/** A deployment, with the roles of the database, that has loaded these events but for those that are to be quarantined. */
export async function loaded(
  stack: Stack,
  bodies: readonly string[],
  quarantined = 0,
  columns: object = COLUMNS,
): Promise<Deployment> {
  const deployment = await stack.deployment({
    roles: true,
    pipeline: { columns, batch: { linger: '50ms' }, limits: { breaker: { max_rejected_ratio: 1 } } },
  });
  await deployment.send(bodies);
  const { code, stderr } = await deployment.cli.run(['drain'], { env: deployment.environmentOf('all') });
  assert.equal(code, 0, stderr);
  assert.equal(await deployment.count(TABLE), bodies.length - quarantined);
  return deployment;
}

/** `erase` as the owner. */
export const erase = (
  deployment: Deployment,
  subject: string,
  args: readonly string[] = [],
  options: CliOptions = {},
): Promise<CliResult> =>
  deployment.cli.run(['--yes', 'erase', '--subject', subject, '--purpose', PURPOSE, ...args], {
    env: deployment.environmentOf('owner'),
    ...options,
  });
/** The whole table. */
export const rowsOf = (deployment: Deployment): Promise<readonly Json[]> =>
  deployment.query(`select * from ${TABLE} order by n`);
