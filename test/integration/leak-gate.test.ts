import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { assertHas } from '../support/cli.js';
import { type Deployment, PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
const DDL = `create table ${TABLE} (event_id varchar(32), device varchar(256), note varchar(80))`;
const COLUMNS = {
  event_id: { from: 'event_id', type: 'text', max_length: 32, required: true },
  device: { from: 'device', required: true, mask: { method: 'siv' } },
  note: { from: 'note', type: 'text', max_length: 40 },
} as const;
const MENDED = { ...COLUMNS, note: { from: 'note', mask: { method: 'drop' } } } as const;
const BATCH = 10;
const COUNT = 60;
const DEVICE = 'device-7f3a91b2c4';

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = (): Promise<Deployment> =>
  stack.deployment({
    ddl: DDL,
    pipeline: {
      leak_gate: true,
      batch: { max_messages: BATCH, linger: '100ms' },
      limits: { breaker: { max_rejected_ratio: 1 } },
      columns: COLUMNS,
    },
  });

const event = (i: number, fields: object = {}): string =>
  JSON.stringify({ event_id: `event-${i}`, device: `other-device-${i}`, note: 'nothing', ...fields });

test('a batch that would carry a masked value away is stopped, and all others load', async () => {
  const deployment = await deploymentOf();
  const leaking = event(COUNT, { device: DEVICE, note: `asked about ${DEVICE}` });
  await deployment.send([...Array.from({ length: COUNT }, (_, i) => event(i)), leaking]);
  const drained = await deployment.cli.run(['drain']);
  assert.equal(drained.code, 1, drained.stderr);
  const released = Number(drained.rows[0]?.['released']);
  assert.ok(released >= 1 && released <= BATCH, `${released} of one batch were released`);
  assertHas(drained.rows[0], { state: 'failed', received: COUNT + 1, loaded: COUNT + 1 - released });
  assertAddsUp(await deployment.runs());

  // Nothing of the batch is in Postgres, and all of it is in SQS.
  assert.equal(await deployment.count(TABLE), COUNT + 1 - released);
  assert.equal(await deployment.count(`${TABLE} where event_id = 'event-${COUNT}'`), 0);
  assert.equal(await deployment.count('maskline.ledger'), COUNT + 1 - released);
  assert.equal(await deployment.count('maskline.quarantine'), 0);
  const { visible, inFlight, delayed } = await deployment.depth();
  assert.equal(visible + inFlight + delayed, released);

  const failed = await deployment.cli.run(['failed', 'list']);
  assert.equal(failed.rows.length, 1, failed.stdout);
  const [job = {}] = failed.rows;
  assertHas(job, {
    pipeline: PIPELINE,
    stage: 'transform',
    code: 'leak_found',
    records: released,
    attempts: 1,
  });
  const reason = `${PIPELINE}: the leak gate stopped batch ${String(job['job_id'])}: what device masks is in note (1 of ${released} rows)`;
  assert.ok(String(job['reason']).includes(reason), String(job['reason']));
  assert.match(
    String((await deployment.cli.run(['failed', 'show', String(job['job_id'])])).rows[0]?.['remedy']),
    /leak_gate/,
  );
  for (const { stdout, stderr } of deployment.cli.processes)
    assert.ok(!`${stdout}${stderr}`.includes(DEVICE));

  // The remedy.
  deployment.configurePipeline({ columns: MENDED });
  const retried = await deployment.cli.run(['--yes', 'failed', 'retry', '--all']);
  assert.equal(retried.code, 0, retried.stderr);
  assertHas(retried.rows[0], { loaded: released });
  assert.equal(await deployment.count(TABLE), COUNT + 1);
});

test('a replay of what was quarantined goes through the gate too', async () => {
  const deployment = await deploymentOf();
  await deployment.send([event(1, { device: DEVICE, note: `${'x'.repeat(40)} ${DEVICE}` })]);
  assertHas((await deployment.cli.run(['drain'])).rows[0], { quarantined: 1 });
  deployment.configurePipeline({ columns: { ...COLUMNS, note: { ...COLUMNS.note, max_length: 80 } } });
  for (const options of [['--dry-run'], []]) {
    const replayed = await deployment.cli.run(['--yes', 'quarantine', 'replay', '--all', ...options]);
    assert.equal(replayed.code, 1, replayed.stderr);
    assert.match(replayed.stderr, /what device masks is in note \(1 of 1 rows\)/);
    assert.ok(!`${replayed.stdout}${replayed.stderr}`.includes(DEVICE));
  }
  assert.equal(await deployment.count(TABLE), 0);
  assert.equal(await deployment.count('maskline.quarantine where replayed_at is null'), 1);
  deployment.configurePipeline({ columns: MENDED });
  const replayed = await deployment.cli.run(['--yes', 'quarantine', 'replay', '--all']);
  assert.equal(replayed.code, 0, replayed.stderr);
  assert.equal(await deployment.count(TABLE), 1);
});
