// A deployment whose tables hold something of everything that can become of a record, and what `maskline prove` says.

import assert from 'node:assert/strict';
import { createPool } from '../../src/load/connection.js';
import type { Difference } from '../../src/load/prove-findings.js';
import { type Proof, proveDeployment } from '../../src/roles/prove.js';
import { failBatch, insideOf } from './failed.js';
import { type Deployment, PIPELINE, type Stack } from './stack.js';

export const TABLE = `public.${PIPELINE}`;

/** By what the rows of a table can be told apart. */
export type Keyed = 'message_id' | 'batch_id' | 'none';

const KEYS = {
  message_id: { key: { from: '$message_id', type: 'text' } },
  batch_id: { key: { from: '$batch_id', type: 'uuid' } },
  none: {},
} as const;

const columns = (keyed: Keyed) => ({
  event_id: { from: 'event_id', type: 'text', max_length: 32, required: true },
  device: { from: 'device', required: true, mask: { method: 'siv', domain: 'device' } },
  note: { from: 'note', type: 'text', max_length: 10 },
  n: { from: 'n', type: 'integer' },
  ...KEYS[keyed],
});

/** The table refuses every row whose n is 13. */
const ddl = (keyed: Keyed): string =>
  `create table ${TABLE} (event_id varchar(32), device varchar(256), note varchar(60), n integer check (n <> 13)` +
  `${{ message_id: ', key text', batch_id: ', key uuid', none: '' }[keyed]});
   insert into ${TABLE} (event_id, device) values ('before', 'maskline'), ('was', 'here')`;

export const event = (i: number, changes: object = {}): string =>
  JSON.stringify({ event_id: `event-${i}`, device: `device-${i}`, note: 'short', n: i + 100, ...changes });

/** A deployment with a baseline: of a table that has rows from before, unless `isEmpty`. */
export async function provenDeployment(stack: Stack, keyed: Keyed, isEmpty = false): Promise<Deployment> {
  const deployment = await stack.deployment({
    ddl: ddl(keyed) + (isEmpty ? `; truncate ${TABLE}` : ''),
    pipeline: {
      batch: { max_messages: 20, linger: '50ms' },
      limits: { breaker: { max_rejected_ratio: 1 } },
      columns: columns(keyed),
    },
  });
  const migrated = await deployment.cli.run(['migrate']);
  assert.equal(migrated.code, 0, migrated.stderr);
  assert.deepEqual(migrated.rows[0]?.['baselines'], [TABLE]);
  return deployment;
}

/**
 * Two drains with rejections and duplicates, a batch that failed and was retried, entries of both kinds that were
 * replayed, entries that were purged before and after a replay, and one that is open.
 */
export async function liveThrough(stack: Stack, deployment: Deployment, keyed: Keyed): Promise<void> {
  const run = async (args: readonly string[]): Promise<void> => {
    const { code, stderr, stdout } = await deployment.cli.run(['--yes', ...args]);
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}${stdout}`);
  };
  const long = (i: number): string => event(i, { note: 'far more than ten characters' });
  await deployment.send([
    ...Array.from({ length: 50 }, (_, i) => event(i)),
    ...[50, 51, 52, 53].map(long),
    ...[54, 55].map((i) => event(i, { n: 13 })),
    ...[56, 57, 58].map((i) => event(i, { device: undefined })),
  ]);
  await run(['drain']);
  await stack.sqs.redeliver(deployment.queue, 'all');
  await deployment.send([event(60), event(61), event(62, { device: undefined })]);
  await run(['drain']);
  await failBatch(deployment, { bodies: [event(70), event(71), event(72)] });
  await run(['failed', 'retry', '--all']);
  // What was too long is mended, and so is the check.
  await deployment.query(`alter table ${TABLE} drop constraint ${PIPELINE}_n_check`);
  const longer = columns(keyed);
  deployment.configurePipeline({ columns: { ...longer, note: { ...longer.note, max_length: 60 } } });
  await run(['migrate']);
  await run(['quarantine', 'replay', '--all', '--code', 'too_long']);
  await run(['quarantine', 'replay', '--all', '--code', 'refused_23514']);
  await run(['quarantine', 'purge', '--all', '--replayed', '--limit', '1']);
  const [open] = await deployment.query(
    `select id::text from maskline.quarantine where replayed_at is null order by id limit 1`,
  );
  await run(['quarantine', 'purge', String(open?.['id'])]);
}

/** What `maskline prove` says, and its exit code; they agree. */
export async function proofOf(deployment: Deployment, ...args: readonly string[]): Promise<Proof> {
  const { code, stdout, stderr } = await deployment.cli.run(['prove', ...args]);
  assert.ok(code === 0 || code === 1, stderr);
  const proof = JSON.parse(stdout) as Proof;
  assert.equal(proof.ok, code === 0, stdout);
  return proof;
}

export function differencesOf({ pipelines }: Proof): readonly Difference[] {
  return pipelines.flatMap(({ differences }) => differences);
}

/** The same in this process: many looks at little cost. */
export async function lookAt(deployment: Deployment): Promise<Proof> {
  const { config } = insideOf(deployment).inside;
  const pool = createPool({ url: deployment.database, applicationName: 'test' });
  try {
    return await proveDeployment(pool, config, config.pipelines);
  } finally {
    await pool.close();
  }
}

const TABLES = ['ledger', 'loads', 'runs', 'quarantine', 'purged', 'baselines'].map(
  (name) => [`maskline.${name}`, `saved.${name}`] as const,
);

/** Remembers all tables as they are now. */
export async function save(deployment: Deployment): Promise<void> {
  const copies = [...TABLES, [TABLE, 'saved.target'] as const];
  const sql = copies.map(([table, copy]) => `create table ${copy} as table ${table}`);
  await deployment.query(`create schema saved; ${sql.join('; ')}`);
}

/** Puts all tables back to what was saved. */
export async function restore(deployment: Deployment): Promise<void> {
  const copies = [...TABLES, [TABLE, 'saved.target'] as const];
  const sql = copies.map(([table, copy]) => `truncate ${table}; insert into ${table} table ${copy}`);
  await deployment.query(sql.join('; '));
}
