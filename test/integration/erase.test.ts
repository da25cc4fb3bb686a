import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '../../src/clock.js';
import { PayloadSealer } from '../../src/masking/seal.js';
import { openQueues } from '../../src/roles/queues.js';
import type { Json } from '../support/cli.js';
import { A, B, CANARY, COLUMNS, PURPOSE, TABLE, erase, event, loaded, rowsOf } from '../support/erasure.js';
import { insideOf } from '../support/failed.js';
import { batchOf } from '../support/masking.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const revealed = async (deployment: Deployment, token: unknown): Promise<unknown> => {
  const { rows } = await deployment.cli.run(['reveal', String(token), '--purpose', PURPOSE], {
    env: deployment.environmentOf('reveal'),
  });
  return [rows[0]?.['outcome'], rows[0]?.['value']];
};

test('makes the vault tokens of a subject mean nothing, and leaves those of others and their equality', async () => {
  const deployment = await loaded(stack, [event(1, A), event(2, B), event(3, B), event(4, A)]);
  const before = await rowsOf(deployment);
  assert.equal(before[1]?.['mail'], before[2]?.['mail']);
  assert.deepEqual(await revealed(deployment, before[0]?.['mail']), ['opened', `${A}@example.org`]);
  const { code, rows, stderr, stdout } = await erase(deployment, '-', [], { input: `${A}\n` });
  assert.equal(code, 0, stderr);
  assert.equal(rows[0]?.['vault_entries'], 1);
  assert.ok(!`${stdout}${stderr}`.includes(CANARY));
  assert.deepEqual(await revealed(deployment, before[0]?.['mail']), ['not_in_vault', null]);
  assert.deepEqual(await revealed(deployment, before[1]?.['mail']), ['opened', `${B}@example.org`]);
  await deployment.send([event(5, B), event(6, A)]);
  await deployment.cli.run(['drain'], { env: deployment.environmentOf('all') });
  const after = await deployment.query(`select n, mail from ${TABLE} where n > 4 order by n`);
  assert.equal(after[0]?.['mail'], before[1]?.['mail']);
  assert.notEqual(after[1]?.['mail'], before[0]?.['mail']);
});

test('finds the value by its tokens: empties columns, deletes rows where they may not be empty, and certifies it', async () => {
  const deployment = await loaded(stack, [
    event(1, A),
    event(2, B, { friend: ` ${A} ` }),
    event(3, B, { friends: ['x', A] }),
    event(4, B, { plain: A }),
    event(5, B),
  ]);
  const dry = await erase(deployment, A, ['--dry-run']);
  assert.equal(dry.code, 0, dry.stderr);
  const counts = { vault_entries: 1, rows_nulled: 3, rows_deleted: 1, quarantine_entries: 0 };
  assert.deepEqual(Object.fromEntries(Object.keys(counts).map((key) => [key, dry.rows[0]?.[key]])), counts);
  assert.equal(await deployment.count(TABLE), 5);
  assert.equal(await deployment.count(`maskline.reveals where action = 'erase'`), 0);
  const { code, rows, stderr } = await erase(deployment, A, ['--ticket', 'T-17']);
  assert.equal(code, 0, stderr);
  assert.deepEqual(Object.fromEntries(Object.keys(counts).map((key) => [key, rows[0]?.[key]])), counts);
  const left = await rowsOf(deployment);
  assert.deepEqual(
    left.map(({ n, friend, friends, plain }) => [n, friend, friends, plain]),
    [
      [2, null, null, null],
      [3, null, null, null],
      [4, null, null, null],
      [5, null, null, null],
    ],
  );
  const certificates = await deployment.query(
    `select purpose, ticket, token, outcome, details from maskline.reveals where action = 'erase' order by seq`,
  );
  assert.deepEqual(
    certificates.map(({ purpose, ticket, token, outcome }) => [purpose, ticket, token, outcome]),
    [
      [PURPOSE, 'T-17', null, 'begun'],
      [PURPOSE, 'T-17', null, 'done'],
    ],
  );
  assert.ok(!JSON.stringify(certificates).includes(CANARY));
  assert.match(String(certificates[1]?.['details']), /"entries":1/);
  const verified = await deployment.cli.run(['reveal', '--verify'], {
    env: deployment.environmentOf('audit'),
  });
  assert.equal(verified.code, 0, verified.stdout);
  const [baseline] = await deployment.query('select rows::int from maskline.baselines');
  assert.deepEqual(baseline, { rows: -1 }, 'prove does not take the deleted row for a lost one');
  const again = await erase(deployment, A);
  assert.equal(again.rows[0]?.['rows_deleted'], 0);
});

test('finds addresses and formatted numbers under the key of their row, and deletes rows when told to', async () => {
  const deployment = await loaded(stack, [event(1, A), event(2, B), event(3, B)]);
  // Another key's result that happens to look the same is somebody else's.
  await deployment.query(`insert into ${TABLE} (n, user_id, mask_kid, ssn)
    select 9, 'x', 7, ssn from ${TABLE} where n = 2`);
  const byNumber = await erase(deployment, '123-45-6782', ['--mode', 'delete']);
  assert.equal(byNumber.code, 0, byNumber.stderr);
  assert.equal(byNumber.rows[0]?.['rows_deleted'], 1);
  const byAddress = await erase(deployment, '::ffff:192.0.2.3');
  assert.equal(byAddress.rows[0]?.['rows_nulled'], 1, byAddress.stdout);
  assert.deepEqual(
    (await rowsOf(deployment)).map(({ n, address }) => [n, address === null]),
    [
      [1, false],
      [3, true],
      [9, true],
    ],
  );
});

test('deletes the quarantined records that hold it, and says how many could not be opened', async () => {
  const deployment = await loaded(
    stack,
    [
      event(1, B),
      event(2, A, { n: 'not a number' }),
      event(3, B, { n: null }),
      `no json, but ${A} in it`,
      JSON.stringify({ n: 'x', deep: [{ in: { there: A.toUpperCase() } }] }),
    ],
    4,
  );
  const dry = await erase(deployment, A, ['--dry-run']);
  assert.equal(dry.rows[0]?.['quarantine_entries'], 3, dry.stdout + dry.stderr);
  await deployment.query(`update maskline.quarantine set kid = 99 where code = 'missing_field'`);
  const { code, rows, stderr } = await erase(deployment, A);
  assert.equal(code, 1, 'what could not be searched is no success');
  assert.match(stderr, /1 quarantine entries can't be opened/);
  assert.equal(rows[0]?.['quarantine_entries'], 3);
  assert.equal(rows[0]?.['quarantine_unsearched'], 1);
  assert.equal(await deployment.count('maskline.quarantine'), 1);
});

test('names where it has not looked, and how much is there, in its output and its certificate', async () => {
  const deployment = await loaded(stack, [event(1, A), event(2, A, { n: 'no number' })], 1, {
    ...COLUMNS,
    hint: { from: 'mail', mask: { method: 'partial', kind: 'email' } },
  });
  const { inside, keyring } = insideOf(deployment);
  const queues = await openQueues(inside, new PayloadSealer(keyring), PIPELINE);
  const head = { sentAt: Date.now(), receivedAt: Date.now() };
  const [batchId, runId] = [systemClock.id(), systemClock.id()];
  await queues.transformQueue.add({ ...batchOf([event(3, A)], head), batchId, runId, pipeline: PIPELINE });
  await Promise.all([queues.transformQueue.close(), queues.loadQueue.close()]);
  await deployment.send([event(4, A)]);
  // Of pipelines and domains that there were before: bodies can be searched, and what was masked can't.
  for (const kind of ['raw', 'masked'] as const) {
    await deployment.query(
      `insert into maskline.quarantine (id, pipeline, record_id, message_id, batch_id, code, kind, sealed, kid, sent_at)
       select gen_random_uuid(), 'former', 'r', 'm', batch_id, 'x', $1, '', 99, now() from maskline.quarantine limit 1`,
      [kind],
    );
  }
  await deployment.query(`insert into maskline.vault (lookup, token, kid, domain, sealed)
    values ('\\x00', 'v1.former', 1, 'former domain', '')`);
  const { code, rows, stderr } = await erase(deployment, A);
  assert.equal(code, 1, 'entries of the former pipeline do not open');
  assert.equal(rows[0]?.['quarantine_entries'], 1);
  assert.equal(rows[0]?.['quarantine_unsearched'], 2);
  const places = rows[0]?.['not_searched'] as readonly { place: string; count: number | null; why: string }[];
  const expected = [
    [`queues transform.${PIPELINE} and load.${PIPELINE}`, 1],
    [`SQS queue ${deployment.queue}`, 1],
    [`dead-letter queue of ${deployment.queue}`, null],
    [`column hint of ${TABLE}`, null],
    ['masked rows of pipeline former in quarantine', 1],
    ['vault entries of domain former domain', 1],
  ];
  assert.deepEqual(
    places.map(({ place, count }) => [place, count]),
    expected,
  );
  for (const { place, why } of places) {
    assert.ok(stderr.includes(`Not searched: ${place}`), stderr);
    assert.ok(stderr.includes(why));
  }
  const [certificate] = await deployment.query(
    `select details from maskline.reveals where action = 'erase' and outcome = 'done'`,
  );
  const details = JSON.parse(String(certificate?.['details'])) as Json;
  assert.deepEqual(details['not_searched'], places);
  // Once these have been loaded, it finds them.
  await deployment.query(`delete from maskline.quarantine where pipeline = 'former'`);
  const drained = await deployment.cli.run(['drain'], { env: deployment.environmentOf('all') });
  assert.equal(drained.code, 0, drained.stderr);
  const worker = deployment.start('all');
  await worker.waitFor('started');
  await deployment.countUntil(TABLE, (count) => count === 2);
  worker.signal('SIGTERM');
  assert.equal((await worker.ended).code, 0, worker.stderr);
  const again = await erase(deployment, A);
  assert.equal(again.code, 0, again.stderr);
  assert.equal(again.rows[0]?.['vault_entries'], 1);
  assert.equal(again.rows[0]?.['rows_deleted'], 2);
});

test('erases also while queue and SQS are away, and then knows no counts of theirs', async () => {
  const deployment = await loaded(stack, [event(1, A)]);
  const away = { REDIS_URL: 'redis://127.0.0.1:1', AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:1' };
  const { code, rows, stderr } = await erase(deployment, A, [], {
    env: { ...deployment.environmentOf('owner'), ...away },
  });
  assert.equal(code, 0, stderr);
  assert.equal(rows[0]?.['vault_entries'], 1);
  const places = rows[0]?.['not_searched'] as readonly { count: number | null }[];
  assert.deepEqual(
    places.map(({ count }) => count),
    [null, null, null],
  );
});

test('needs a purpose, a yes, and the owner', async () => {
  const deployment = await loaded(stack, [event(1, A)]);
  const env = deployment.environmentOf('owner');
  const none = await deployment.cli.run(['--yes', 'erase', '--subject', A], { env });
  assert.equal(none.code, 2);
  const unasked = await deployment.cli.run(['erase', '--subject', A, '--purpose', PURPOSE], { env });
  assert.equal(unasked.code, 2);
  assert.match(unasked.stderr, /--yes/);
  for (const user of ['transform', 'load', 'admin', 'reveal', 'audit'] as const) {
    const { code, stderr } = await erase(deployment, A, [], { env: deployment.environmentOf(user) });
    assert.equal(code, 2, `${user}: ${stderr}`);
    assert.ok(!stderr.includes(CANARY));
  }
  assert.equal(await deployment.count(TABLE), 1);
  assert.equal(await deployment.count('maskline.vault'), 1);
});
