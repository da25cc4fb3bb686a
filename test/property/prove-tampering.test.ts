// One change by hand, of any kind and anywhere, is always found.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import {
  TABLE,
  differencesOf,
  liveThrough,
  lookAt,
  provenDeployment,
  restore,
  save,
} from '../support/proof.js';
import { type Deployment, type Stack, startStack } from '../support/stack.js';

const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

let stack: Stack;
let deployment: Deployment;
before(async () => {
  stack = await startStack();
  deployment = await provenDeployment(stack, 'message_id', true);
  await liveThrough(stack, deployment, 'message_id');
  await save(deployment);
});
after(() => stack.stop());

const COUNTS = ['loaded', 'duplicates', 'quarantined', 'released'] as const;

/** A change of one row of a table: `where` keeps to rows that can be changed so, and PICK is the one. */
interface Tampering {
  readonly table: string;
  readonly where?: string;
  readonly sql: string;
}

const moved = (table: string, from: string, to: string): Tampering => ({
  table,
  where: `${from} > 0`,
  sql: `update ${table} set ${from} = ${from} - 1, ${to} = ${to} + 1 where ctid = PICK`,
});

const TAMPERINGS: readonly Tampering[] = [
  { table: TABLE, sql: `delete from ${TABLE} where ctid = PICK` },
  { table: TABLE, sql: `insert into ${TABLE} select * from ${TABLE} where ctid = PICK` },
  { table: TABLE, where: 'key is not null', sql: `update ${TABLE} set key = key || 'x' where ctid = PICK` },
  { table: TABLE, sql: `insert into ${TABLE} (event_id, key) values ('by hand', gen_random_uuid()::text)` },
  { table: 'maskline.loads', sql: 'delete from maskline.loads where ctid = PICK' },
  {
    table: 'maskline.loads',
    sql: 'update maskline.loads set duplicates = duplicates + 1, received = received + 1 where ctid = PICK',
  },
  {
    table: 'maskline.loads',
    where: "state = 'committed' and loaded + quarantined > 0",
    sql: `update maskline.loads set state = 'released', released = received, loaded = 0, duplicates = 0, quarantined = 0
           where ctid = PICK`,
  },
  { table: 'maskline.loads', sql: 'update maskline.loads set run_id = gen_random_uuid() where ctid = PICK' },
  ...COUNTS.flatMap((from) => {
    const others = COUNTS.filter((to) => to !== from);
    return others.flatMap((to) => [moved('maskline.loads', from, to), moved('maskline.runs', from, to)]);
  }),
  ...(['received', ...COUNTS] as const).map((name) => ({
    table: 'maskline.runs',
    sql: `update maskline.runs set ${name} = ${name} + 1 where ctid = PICK`,
  })),
  {
    table: 'maskline.runs',
    sql: 'update maskline.runs set received = received + 2, loaded = loaded + 1, duplicates = duplicates + 1 where ctid = PICK',
  },
  {
    table: 'maskline.runs',
    where: 'exists (select from maskline.loads l where l.run_id = t.run_id)',
    sql: 'delete from maskline.runs where ctid = PICK',
  },
  { table: 'maskline.quarantine', sql: 'delete from maskline.quarantine where ctid = PICK' },
  {
    table: 'maskline.quarantine',
    where: 'replayed_at is not null',
    sql: 'update maskline.quarantine set replayed_at = null, replayed_in = null where ctid = PICK',
  },
  { table: 'maskline.purged', sql: 'delete from maskline.purged where ctid = PICK' },
];

/** The ledger has partitions, so that its rows are known by their keys. */
const OF_THE_LEDGER = [
  'delete from maskline.ledger where record_id = PICK',
  `update maskline.ledger set outcome = case outcome when 'loaded' then 'quarantined' else 'loaded' end
    where record_id = PICK`,
  'update maskline.ledger set batch_id = gen_random_uuid() where record_id = PICK',
  `update maskline.ledger set record_id = record_id || 'x' where record_id = PICK`,
].map((sql) => ({ table: 'maskline.ledger', sql }));

const ALL: readonly Tampering[] = [...TAMPERINGS, ...OF_THE_LEDGER];
/** No batch was let go, and so no record released. */
const MAY_BE_NONE: ReadonlySet<string> = new Set(['released > 0']);

/** Carries it out on the row of that number, counted round; false when there is none that it could be done to. */
async function tamper({ table, where = 'true', sql }: Tampering, number: number): Promise<boolean> {
  const id = table === 'maskline.ledger' ? 'record_id' : 'ctid::text';
  const rows = await deployment.query(`select ${id} as id from ${table} t where ${where} order by 1`);
  const picked = rows[number % Math.max(1, rows.length)];
  if (picked === undefined) return false;
  const type = table === 'maskline.ledger' ? 'text' : 'tid';
  await deployment.query(sql.replaceAll('PICK', `'${String(picked['id'])}'::${type}`));
  return true;
}

test(`a single tampering of any kind, with any row, is found; undone, nothing differs (SEED=${SEED})`, async () => {
  const picks = fc.sample(fc.array(fc.nat(999), { minLength: 3, maxLength: 3 }), {
    seed: SEED,
    numRuns: ALL.length,
  });
  const escaped: string[] = [];
  for (const [index, tampering] of ALL.entries()) {
    let done = 0;
    for (const number of picks[index] ?? []) {
      if (await tamper(tampering, number)) {
        done += 1;
        const { ok } = await lookAt(deployment);
        if (ok) escaped.push(`${tampering.sql} (row ${number})`);
      }
      await restore(deployment);
    }
    // Whatever can be tampered with, there is something of: a kind that never bites proves nothing.
    if (done === 0 && !MAY_BE_NONE.has(tampering.where ?? '')) escaped.push(`nothing for ${tampering.sql}`);
  }
  assert.deepEqual(escaped, []);
  assert.deepEqual(differencesOf(await lookAt(deployment)), []);
});
