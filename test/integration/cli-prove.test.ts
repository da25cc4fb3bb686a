import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { DifferenceKind } from '../../src/load/prove-findings.js';
import type { Proof } from '../../src/roles/prove.js';
import { urlAs } from '../support/database-roles.js';
import { rowsOf } from '../support/postgres.js';
import {
  type Keyed,
  TABLE,
  differencesOf,
  event,
  liveThrough,
  lookAt,
  proofOf,
  provenDeployment,
  restore,
  save,
} from '../support/proof.js';
import { type Deployment, PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

/** One row, or a wrong test. */
async function one(deployment: Deployment, sql: string): Promise<Readonly<{ [column: string]: string }>> {
  const [row] = await deployment.query(sql);
  assert.ok(row, sql);
  return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, String(value)]));
}

function totalsOf({ pipelines }: Proof): Readonly<{ [kind: string]: number }> {
  return pipelines[0]?.totals ?? {};
}

/** Changes the database, looks, and puts everything back. */
async function tampered(deployment: Deployment, sql: string): Promise<Proof> {
  await deployment.query(sql);
  try {
    return await lookAt(deployment);
  } finally {
    await restore(deployment);
  }
}

function assertNamed(proof: Proof, kind: DifferenceKind, fields: object): void {
  const found = differencesOf(proof).filter((difference) => difference.kind === kind);
  const isIt = found.some((difference) =>
    Object.entries(fields).every(([name, value]) => {
      const actual: unknown = Reflect.get(difference, name);
      return JSON.stringify(actual) === JSON.stringify(value);
    }),
  );
  assert.ok(isIt, `${kind} ${JSON.stringify(fields)} is not in ${JSON.stringify(differencesOf(proof))}`);
}

const A_BATCH = `select batch_id::text, run_id::text, loaded, quarantined from maskline.loads
  where state = 'committed' and quarantined > 0 and loaded > 0 and oldest_sent_at is not null order by batch_id limit 1`;

/** What every kind of table has in common. */
async function assertOwnTablesNamed(deployment: Deployment): Promise<void> {
  const batch = await one(deployment, A_BATCH);
  const { batch_id, run_id } = batch;
  const ofBatch = `batch_id = '${batch_id}'`;
  const ofRun = `run_id = '${run_id}'`;
  const run = await one(deployment, `select received, loaded, duplicates from maskline.runs where ${ofRun}`);

  const gone = await tampered(
    deployment,
    `delete from maskline.ledger where ctid = (
       select ctid from maskline.ledger where ${ofBatch} and outcome = 'loaded' limit 1)`,
  );
  assertNamed(gone, 'ledger_differs', {
    batch_id,
    expected: { loaded: Number(batch['loaded']), quarantined: Number(batch['quarantined']) },
    found: { loaded: Number(batch['loaded']) - 1, quarantined: Number(batch['quarantined']) },
  });

  const reported = await tampered(deployment, `update maskline.runs set loaded = loaded + 1 where ${ofRun}`);
  assertNamed(reported, 'run_does_not_add_up', {
    run_id,
    expected: Number(run['received']),
    found: Number(run['received']) + 1,
  });
  assertNamed(reported, 'run_differs', {
    run_id,
    expected: { loaded: Number(run['loaded']) },
    found: { loaded: Number(run['loaded']) + 1 },
  });
  const smooth = await tampered(
    deployment,
    `update maskline.runs set loaded = loaded - 1, duplicates = duplicates + 1 where ${ofRun}`,
  );
  assert.deepEqual(totalsOf(smooth), { run_differs: 1 });
  assertNamed(smooth, 'run_differs', {
    run_id,
    found: { loaded: Number(run['loaded']) - 1, duplicates: Number(run['duplicates']) + 1 },
  });
  const forgotten = await tampered(deployment, `delete from maskline.runs where ${ofRun}`);
  assertNamed(forgotten, 'run_missing', { batch_id, run_id });

  const load = await tampered(
    deployment,
    `update maskline.loads set loaded = loaded - 1, duplicates = duplicates + 1 where ${ofBatch}`,
  );
  assertNamed(load, 'ledger_differs', { batch_id });
  assertNamed(load, 'run_differs', { run_id });
  const lost = await tampered(deployment, `delete from maskline.loads where ${ofBatch}`);
  assertNamed(lost, 'batch_missing', { batch_id });
  assertNamed(lost, 'run_differs', { run_id });

  const open = await one(
    deployment,
    `select id, record_id, batch_id from maskline.quarantine q where replayed_at is null
      and not exists (select from maskline.purged p where p.batch_id = q.batch_id)`,
  );
  const entry = await tampered(deployment, `delete from maskline.quarantine where id = '${open['id']}'`);
  assert.deepEqual(totalsOf(entry), { quarantine_differs: 1, quarantine_entry_missing: 1 });
  assertNamed(entry, 'quarantine_entry_missing', {
    record_id: open['record_id'],
    batch_id: open['batch_id'],
  });
  const known = await tampered(
    deployment,
    `delete from maskline.ledger where record_id = '${open['record_id']}'`,
  );
  assertNamed(known, 'ledger_entry_missing', {
    record_id: open['record_id'],
    batch_id: open['batch_id'],
  });
  const claimed = await tampered(
    deployment,
    `update maskline.quarantine set replayed_at = null, replayed_in = null where id = (
       select id from maskline.quarantine where replayed_in is not null limit 1)`,
  );
  assertNamed(claimed, 'replay_differs', {});
}

/** A deployment that everything has happened to, and nothing wrong is found of it. */
async function lived(keyed: Keyed): Promise<Deployment> {
  const deployment = await provenDeployment(stack, keyed);
  await liveThrough(stack, deployment, keyed);
  const proof = await proofOf(deployment);
  assert.deepEqual(differencesOf(proof), []);
  const [pipeline] = proof.pipelines;
  assert.deepEqual(pipeline?.unchecked, []);
  const { target_check, target_rows, ...checked } = pipeline?.checked ?? {};
  assert.equal(target_check, { message_id: 'rows', batch_id: 'batches', none: 'count' }[keyed]);
  // 50 and 2 and 3 good ones, 6 that were replayed, and the two that were there before.
  assert.equal(target_rows, 63);
  // One was purged after its replay, one instead.
  assert.equal(await deployment.count('maskline.quarantine'), 8);
  assert.deepEqual(checked, {
    runs: await deployment.count('maskline.runs'),
    batches: await deployment.count('maskline.loads'),
    ledger_entries: await deployment.count('maskline.ledger'),
    quarantine_entries: 10,
  });
  assertAddsUp(await deployment.runs());
  await save(deployment);
  return deployment;
}

describe('prove', { concurrency: 3 }, () => {
  test('after all that can become of a record nothing differs; each tampering is named, rows by their message id', async () => {
    const deployment = await lived('message_id');
    await assertOwnTablesNamed(deployment);
    const row = await one(
      deployment,
      `select key from ${TABLE} where key in (select record_id from maskline.ledger where outcome = 'loaded') limit 1`,
    );
    const id = row['key'];
    await deployment.query(`delete from ${TABLE} where key = '${id}'`);
    // Through the command line, once for each: the exit code, and one line.
    const missing = await proofOf(deployment);
    await restore(deployment);
    assert.deepEqual(totalsOf(missing), { row_missing: 1 });
    assertNamed(missing, 'row_missing', { record_id: id, expected: 1, found: 0 });
    const replayed = await one(
      deployment,
      'select record_id from maskline.quarantine where replayed_in is not null limit 1',
    );
    const again = await tampered(deployment, `delete from ${TABLE} where key = '${replayed['record_id']}'`);
    assert.deepEqual(totalsOf(again), { row_missing: 1 });
    const twice = await tampered(
      deployment,
      `insert into ${TABLE} select * from ${TABLE} where key = '${id}'`,
    );
    assert.deepEqual(totalsOf(twice), { row_twice: 1 });
    assertNamed(twice, 'row_twice', { record_id: id, expected: 1, found: 2 });
    const open = await one(deployment, 'select record_id from maskline.quarantine where replayed_at is null');
    const early = await tampered(
      deployment,
      `insert into ${TABLE} (event_id, key) values ('e', '${open['record_id']}')`,
    );
    assert.deepEqual(totalsOf(early), { row_of_quarantined: 1 });
    assertNamed(early, 'row_of_quarantined', { record_id: open['record_id'] });
    const added = await tampered(deployment, `insert into ${TABLE} (event_id, key) values ('e', 'by-hand')`);
    assert.deepEqual(totalsOf(added), { row_unknown: 1 });
    const anonymous = await tampered(deployment, `insert into ${TABLE} (event_id) values ('e')`);
    assert.deepEqual(totalsOf(anonymous), { row_unknown: 1 });
    assert.deepEqual(differencesOf(await lookAt(deployment)), []);
  });

  test('rows that can only be told apart by batch are named by batch', async () => {
    const deployment = await lived('batch_id');
    await assertOwnTablesNamed(deployment);
    const batch = await one(deployment, A_BATCH);
    const { batch_id } = batch;
    const sole = `ctid = (select ctid from ${TABLE} where key = '${batch_id}' limit 1)`;
    const rows = Number(
      (await one(deployment, `select count(*) as n from ${TABLE} where key = '${batch_id}'`))['n'],
    );
    const missing = await tampered(deployment, `delete from ${TABLE} where ${sole}`);
    assert.deepEqual(totalsOf(missing), { batch_rows_differ: 1 });
    assertNamed(missing, 'batch_rows_differ', { batch_id, expected: rows, found: rows - 1 });
    const twice = await tampered(deployment, `insert into ${TABLE} select * from ${TABLE} where ${sole}`);
    assert.deepEqual(totalsOf(twice), { batch_rows_differ: 1 });
    assertNamed(twice, 'batch_rows_differ', { batch_id, expected: rows, found: rows + 1 });
    // The rows of a batch that was retried keep the id of the one that failed.
    const retried = await tampered(deployment, `delete from ${TABLE} where event_id = 'event-71'`);
    assertNamed(retried, 'batch_rows_differ', { expected: 3, found: 2 });
    const added = await tampered(deployment, `insert into ${TABLE} (event_id, key) values ('e', null)`);
    assert.deepEqual(totalsOf(added), { row_unknown: 1 });
  });

  test('rows that cannot be told apart are counted; what is gone by right is accepted, and nothing else is', async () => {
    const deployment = await lived('none');
    await assertOwnTablesNamed(deployment);
    const added = await tampered(deployment, `insert into ${TABLE} (event_id) values ('e')`);
    assert.deepEqual(totalsOf(added), { row_count_differs: 1 });
    await deployment.query(`delete from ${TABLE} where event_id in ('event-1', 'event-2')`);
    const missing = await proofOf(deployment);
    assert.deepEqual(totalsOf(missing), { row_count_differs: 1 });
    assertNamed(missing, 'row_count_differs', { expected: 63, found: 61 });

    const unasked = await deployment.cli.run(['prove', '--accept']);
    assert.equal(unasked.code, 2, unasked.stderr);
    assert.match(unasked.stderr, /row_count_differs 1[\s\S]*has 61 rows[\s\S]*--yes/);
    assert.equal((await proofOf(deployment)).differences, 1, 'nothing was accepted');
    await deployment.query(
      `delete from maskline.ledger where record_id = (select max(record_id) from maskline.ledger)`,
    );
    const accepted = await deployment.cli.run(['--yes', 'prove', '--accept']);
    assert.equal(accepted.code, 1, 'the ledger is not accepted');
    const left = await proofOf(deployment);
    assert.ok(!('row_count_differs' in totalsOf(left)), JSON.stringify(left));
    assert.ok(left.differences > 0);
    await deployment.query(`delete from ${TABLE} where event_id = 'event-3'`);
    assertNamed(await proofOf(deployment), 'row_count_differs', { expected: 61, found: 60 });
  });

  test('while messages are loaded, nothing differs at any moment', async () => {
    const deployment = await provenDeployment(stack, 'message_id', true);
    const bodies = Array.from({ length: 4_000 }, (_, i) => event(i, i % 40 === 0 ? { n: 13 } : {}));
    await deployment.send(bodies);
    const draining = deployment.cli.spawn(['drain']);
    const seen: number[] = [];
    let isOver = false;
    void draining.ended.finally(() => (isOver = true)).catch(() => undefined);
    while (!isOver) {
      const proof = await lookAt(deployment);
      assert.deepEqual(differencesOf(proof), []);
      seen.push(proof.pipelines[0]?.checked.target_rows ?? 0);
    }
    const drained = await draining.ended;
    assert.equal(drained.code, 0, drained.stderr);
    const between = seen.filter((rows) => rows > 0 && rows < 3_900);
    assert.ok(between.length >= 5, `it looked in between only at ${between.join(', ')}`);
    assert.equal((await proofOf(deployment)).pipelines[0]?.checked.target_rows, 3_900);
  });

  test('the operator’s role suffices, and so does the auditor’s; what is off the record is said, and Postgres away is 3', async () => {
    const deployment = await stack.deployment({
      roles: true,
      pipeline: { columns: { n: { from: 'n', type: 'integer' } } },
    });
    await deployment.send([event(1), event(2)]);
    const drained = await deployment.cli.run(['drain'], { env: deployment.environmentOf('all') });
    assert.equal(drained.code, 0, drained.stderr);
    await deployment.query(`create role proof_auditor login password 'one-for-all' in role maskline_auditor`);
    const users = [
      deployment.environmentOf('admin')['DATABASE_URL'] ?? '',
      urlAs(deployment.database, 'proof_auditor'),
    ];
    for (const DATABASE_URL of users) {
      const proven = await deployment.cli.run(['prove'], { env: { DATABASE_URL } });
      assert.equal(proven.code, 0, proven.stderr + proven.stdout);
      assert.equal((JSON.parse(proven.stdout) as Proof).pipelines[0]?.checked.target_rows, 2);
    }
    const table = `public.${PIPELINE}`;
    await rowsOf(deployment.database, `delete from ${table} where n = 101`);
    const env = deployment.environmentOf('admin');
    assert.equal((await deployment.cli.run(['prove'], { env })).code, 1);
    await deployment.query('delete from maskline.baselines');
    const unknown = await deployment.cli.run(['prove'], { env });
    assert.equal(unknown.code, 0, unknown.stderr);
    assert.match(unknown.stdout, /no baseline of public\.user_logins; `maskline migrate` takes it/);
    deployment.configure((config) => ({ ...config, startup_timeout: '1s' }));
    const away = await deployment.cli.run(['prove'], {
      env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' },
    });
    assert.equal(away.code, 3, away.stderr);
  });
});
