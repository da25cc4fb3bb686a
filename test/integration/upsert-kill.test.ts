// A table that maskline makes, with partitions and rights, and rows that overwrite each other: killed after COMMIT and
// before anyone knows, under the database roles of a deployment.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertHas } from '../support/cli.js';
import { urlAs } from '../support/database-roles.js';
import { tokenOracle } from '../support/oracle.js';
import { withConnection } from '../support/postgres.js';
import { eventually } from '../support/queue.js';
import { type Deployment, PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
const DAY_MS = 86_400_000;
/** It stays the day it was when the test began: partitions are there for those beside it. */
const TODAY = new Date().toISOString().slice(0, 10);
const LONG_AGO = new Date(Date.now() - 99 * DAY_MS).toISOString().slice(0, 10);
const KEYS = 15;
/** The order in which what happened to each key arrives: the newest comes neither first nor last. */
const ARRIVALS = [2, 3, 1];
const NEWEST = 3;
/** Of each arrival, so many are of a day that has no partition. */
const HOMELESS = 2;

let stack: Stack;
let deployment: Deployment;
before(async () => {
  stack = await startStack();
  const loads = ['maskline_loader', 'maskline_operator'];
  deployment = await stack.deployment({
    roles: true,
    pipeline: {
      source: { sqs: { visibility_timeout: '3s' } },
      batch: { max_messages: 10, linger: '50ms' },
      limits: { breaker: { max_rejected_ratio: 1 } },
      columns: {
        id: { from: 'id', max_length: 16, required: true },
        day: { from: 'day', type: 'date', required: true },
        n: { from: 'n', type: 'integer', required: true },
        device: { from: 'device', mask: { method: 'siv', domain: 'device' } },
      },
      target: {
        table: TABLE,
        create: true,
        mode: 'upsert',
        keys: ['day', 'id'],
        newest_by: 'n',
        partition: { by: 'day', back: 2, ahead: 2 },
        grants: { select: [...loads, 'maskline_analyst'], insert: loads, update: loads },
      },
    },
  });
});
after(() => stack.stop());

const event = (key: number, n: number, day = TODAY): string =>
  JSON.stringify({ id: `k${key}`, day, n, device: `device-${key}-${n}` });
const arrival = (n: number): readonly string[] => [
  ...Array.from({ length: KEYS }, (_, key) => event(key, n)),
  ...Array.from({ length: HOMELESS }, (_, key) => event(key, n, LONG_AGO)),
];

/** A drain as who may do all that the processes do. */
const drain = (env: Readonly<{ [name: string]: string }> = {}) =>
  deployment.cli.run(['drain'], { env: { ...deployment.environmentOf('all'), ...env } });

test('killed between COMMIT and ack, the newest of each key stays, and every record is counted once', async () => {
  for (const n of ARRIVALS) {
    await deployment.send(arrival(n));
    const killed = await drain({
      MASKLINE_ALLOW_FAILPOINTS: '1',
      MASKLINE_FAILPOINTS: 'load.committed=crash',
    });
    assert.equal(killed.signal, 'SIGKILL', killed.stderr);
  }
  const committed = await deployment.count(`maskline.loads where state = 'committed'`);
  assert.ok(
    committed >= ARRIVALS.length,
    `${committed} batches were committed when their process was killed`,
  );
  await eventually(
    async () => {
      const { code, stderr } = await drain();
      assert.equal(code, 0, stderr);
      return deployment.depth();
    },
    ({ visible, inFlight, delayed }) => visible + inFlight + delayed === 0,
    60_000,
  );
  const master = deployment.masters().get(1);
  assert.ok(master);
  const rows = await deployment.query(`select id, day::text, n, device from ${TABLE} order by id`);
  const expected = Array.from({ length: KEYS }, (_, key) => ({
    id: `k${key}`,
    day: TODAY,
    n: NEWEST,
    device: tokenOracle(master, 1, 'siv', 'device', 'text', `device-${key}-${NEWEST}`),
  })).toSorted((a, b) => (a.id < b.id ? -1 : 1));
  assert.deepEqual(rows, expected);
  const good = KEYS * ARRIVALS.length;
  const homeless = HOMELESS * ARRIVALS.length;
  const [sums] = await deployment.query(
    `select sum(loaded)::int as loaded, sum(quarantined)::int as quarantined, sum(duplicates)::int as duplicates
       from maskline.loads where state = 'committed'`,
  );
  assertHas(sums, { loaded: good, quarantined: homeless });
  assert.ok(Number(sums?.['duplicates']) > 0, 'what was committed before a kill came back');
  assert.deepEqual(
    await deployment.query('select code, count(*)::int as n from maskline.quarantine group by 1'),
    [{ code: 'refused_23514', n: homeless }],
  );
  assert.equal(await deployment.count('maskline.ledger'), good + homeless);
  assertAddsUp((await deployment.runs()).filter(({ state }) => state !== 'abandoned'));
  const { code, stdout } = await deployment.cli.run(['prove'], { env: deployment.environmentOf('admin') });
  assert.equal(code, 0, stdout);
});

test('the rows are in the partition of their day, and who was granted to read them can do just that', async () => {
  const partitions = await deployment.query(
    `select tableoid::regclass::text as name, count(*)::int as n from ${TABLE} group by 1`,
  );
  assert.deepEqual(partitions, [{ name: `${PIPELINE}_${TODAY.replaceAll('-', '')}`, n: KEYS }]);
  assert.equal(await deployment.count(`pg_partition_tree('${TABLE}') where isleaf`), 5);
  await deployment.query(`alter role maskline_analyst login password 'one-for-all'`);
  await withConnection(urlAs(deployment.database, 'maskline_analyst'), async (client) => {
    const { rows } = await client.query<{ n: number }>(`select count(*)::int as n from ${TABLE}`);
    assert.deepEqual(rows, [{ n: KEYS }]);
    for (const sql of [
      `update ${TABLE} set n = 0`,
      `delete from ${TABLE}`,
      'select from maskline.quarantine',
    ])
      await assert.rejects(client.query(sql), { code: '42501' }, sql);
  });
});
