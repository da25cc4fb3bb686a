// Messages that hold many records: each record ends once, and the message is acked when all of them have.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { FailpointName } from '../../src/proof/failpoint-syntax.js';
import { type Json, assertHas } from '../support/cli.js';
import { tokenOracle } from '../support/oracle.js';
import { eventually } from '../support/queue.js';
import {
  type Deployment,
  type DeploymentOptions,
  PIPELINE,
  type Stack,
  assertAddsUp,
  startStack,
} from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const TABLE = `public.${PIPELINE}`;
const NOTHING = { visible: 0, inFlight: 0, delayed: 0 };
const RECORDS = 1_000;
/** Not JSON objects, and without what is required. */
const BAD: ReadonlyMap<number, string> = new Map([
  [0, '{"device":"nobody"}'],
  [417, '"a text"'],
  [999, '{"event_id":"e999"}'],
]);
/** More digits than a JavaScript number has. */
const amountOf = (i: number): string => `${i}12345678901234567890.10`;
const textOf = (i: number): string =>
  BAD.get(i) ?? `{"event_id":"e${i}", "device":"device-${i % 50}","amount":${amountOf(i)}}`;
const texts = Array.from({ length: RECORDS }, (_, i) => textOf(i));
// An array that begins with no record of a kind is still one: its first element is an object.
const array = `[${texts.join(' ,\n')}]`;
const COLUMNS = {
  event_id: { from: 'event_id', type: 'text', max_length: 32, required: true },
  device: { from: 'device', required: true, mask: { method: 'siv', domain: 'device' } },
  amount: { from: 'amount', type: 'numeric' },
  message_id: { from: '$message_id', type: 'text' },
};
const DDL = `create table ${TABLE} (event_id varchar(32), device varchar(256), amount numeric, message_id text)`;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

const deploymentOf = async (options: DeploymentOptions = {}): Promise<Deployment> => {
  const deployment = await stack.deployment({
    ddl: DDL,
    ...options,
    pipeline: { columns: COLUMNS, limits: { breaker: { max_rejected_ratio: 1 } }, ...options.pipeline },
  });
  // Takes the baseline by which `prove` compares row by row.
  const { code, stderr } = await deployment.cli.run(['migrate']);
  assert.equal(code, 0, stderr);
  return deployment;
};

/** The report of one drain, which settles all that it received. */
async function drain(deployment: Deployment, code = 0): Promise<Json> {
  const result = await deployment.cli.run(['drain']);
  assert.equal(result.code, code, result.stderr);
  const [report] = result.rows;
  assert.ok(report);
  return report;
}

async function assertProven(deployment: Deployment): Promise<void> {
  const { code, stdout, stderr } = await deployment.cli.run(['prove']);
  assert.equal(code, 0, stdout + stderr);
}

/** Every good record of the message is a row, once; every bad one an entry, once. */
async function assertSameEnd(deployment: Deployment, messageId: string): Promise<void> {
  const master = deployment.masters().get(1);
  assert.ok(master);
  const tokens = Array.from({ length: 50 }, (_, i) =>
    tokenOracle(master, 1, 'siv', 'device', 'text', `device-${i}`),
  );
  const rows = await deployment.query(
    `select event_id, device, amount::text as amount, message_id from ${TABLE}
      order by substr(event_id, 2)::int`,
  );
  assert.deepEqual(
    rows,
    texts.flatMap((_, i) =>
      BAD.has(i)
        ? []
        : [{ event_id: `e${i}`, device: tokens[i % 50], amount: amountOf(i), message_id: messageId }],
    ),
  );
  assert.deepEqual(
    await deployment.query(
      `select record_id, message_id, code, path from maskline.quarantine order by length(record_id), record_id`,
    ),
    [
      { record_id: `${messageId}#0`, message_id: messageId, code: 'missing_field', path: 'event_id' },
      { record_id: `${messageId}#417`, message_id: messageId, code: 'not_object', path: null },
      { record_id: `${messageId}#999`, message_id: messageId, code: 'missing_field', path: 'device' },
    ],
  );
  assert.deepEqual(
    await deployment.query('select outcome, count(*)::int as n from maskline.ledger group by 1 order by 1'),
    [
      { outcome: 'loaded', n: RECORDS - BAD.size },
      { outcome: 'quarantined', n: BAD.size },
    ],
  );
  assert.deepEqual(await deployment.depth(), NOTHING);
  assertAddsUp((await deployment.runs()).filter(({ state }) => state !== 'abandoned'));
  await assertProven(deployment);
}

describe('a message of a thousand records, of which three are bad', { concurrency: 3 }, () => {
  for (const [form, body] of [
    ['a JSON array', array],
    ['lines of JSON', texts.join('\n')],
    ['compressed lines of JSON', gzipSync(texts.join('\r\n')).toString('base64')],
  ] as const) {
    test(`is 997 rows and three entries in quarantine, and acked: ${form}`, async () => {
      const deployment = await deploymentOf();
      const [id = ''] = await deployment.send([body]);
      const report = { state: 'succeeded', received: RECORDS, loaded: RECORDS - 3, quarantined: 3 };
      assertHas(await drain(deployment), { ...report, duplicates: 0, released: 0 });
      await assertSameEnd(deployment, id);
      // Delivered again, which a queue may do after an ack too.
      await stack.sqs.redeliver(deployment.queue, [id]);
      assertHas(await drain(deployment), {
        received: RECORDS,
        loaded: 0,
        quarantined: 0,
        duplicates: RECORDS,
      });
      await assertSameEnd(deployment, id);
    });
  }

  test('each bad record is replayed by itself, once what was wrong is mended', async () => {
    const deployment = await deploymentOf();
    const [id = ''] = await deployment.send([array]);
    assertHas(await drain(deployment), { quarantined: 3 });
    const { event_id, device, ...rest } = COLUMNS;
    deployment.configurePipeline({
      columns: {
        event_id: { ...event_id, required: false },
        device: { ...device, required: false },
        ...rest,
      },
    });
    const { code, rows } = await deployment.cli.run(['--yes', 'quarantine', 'replay', '--all']);
    // The text stays.
    assert.equal(code, 1);
    assertHas(rows[0], { received: 3, loaded: 2, quarantined: 1 });
    assert.deepEqual(
      await deployment.query(
        `select event_id, message_id from ${TABLE} where event_id is null or device is null order by 1`,
      ),
      [
        { event_id: 'e999', message_id: id },
        { event_id: null, message_id: id },
      ],
    );
    await assertProven(deployment);
    await stack.sqs.redeliver(deployment.queue, [id]);
    assertHas(await drain(deployment), { received: RECORDS, duplicates: RECORDS });
    await assertProven(deployment);
  });

  test('under `on_reject: dlq` the message goes to the dead letters, and its good records are loaded once', async () => {
    await stack.sqs.createQueue('dead');
    const policy = {
      deadLetterTargetArn: `arn:aws:sqs:${stack.sqs.region}:000000000000:dead`,
      maxReceiveCount: 2,
    };
    const deployment = await deploymentOf({
      queueAttributes: { RedrivePolicy: JSON.stringify(policy) },
      pipeline: { on_reject: 'dlq' },
    });
    const [id = ''] = await deployment.send([array]);
    const first = await drain(deployment);
    assertHas(first, { received: RECORDS, loaded: RECORDS - 3, duplicates: 0, quarantined: 0, released: 3 });
    await assertProven(deployment);
    // Delivered again, it has records that the ledger knows, and records that it does not.
    await stack.sqs.redeliver(deployment.queue, [id]);
    assertHas(await drain(deployment), {
      received: RECORDS,
      loaded: 0,
      duplicates: RECORDS - 3,
      released: 3,
    });
    assert.equal(await deployment.count(TABLE), RECORDS - 3);
    assert.equal(await deployment.count('maskline.ledger'), RECORDS - 3);
  });
});

describe('killed in the middle of a message of many records', { concurrency: 3 }, () => {
  const points: readonly FailpointName[] = ['add_batch.after', 'load.copied', 'ack.before'];
  for (const point of points) {
    test(`at ${point}: the same end`, async () => {
      const deployment = await deploymentOf({
        pipeline: {
          schedule: '* * * * * *',
          source: { sqs: { visibility_timeout: '6s' } },
          batch: { max_messages: 100, linger: '50ms' },
        },
      });
      const [id = ''] = await deployment.send([array]);
      const env = { MASKLINE_ALLOW_FAILPOINTS: '1', MASKLINE_FAILPOINTS: `${point}=crash` };
      const victim = deployment.cli.spawn(['run', 'all'], { env, limitMs: 60_000 });
      assert.equal((await victim.ended).signal, 'SIGKILL', victim.stderr);
      const survivor = deployment.cli.spawn(['run', 'all'], { limitMs: 120_000 });
      await deployment.countUntil('maskline.ledger', (count) => count === RECORDS, 90_000);
      await eventually(
        () => deployment.depth(),
        ({ visible, inFlight, delayed }) => visible + inFlight + delayed === 0,
        90_000,
      );
      survivor.signal('SIGTERM');
      assert.equal((await survivor.ended).code, 0, survivor.stderr);
      await assertSameEnd(deployment, id);
    });
  }
});

describe('messages of other numbers of records', { concurrency: 3 }, () => {
  test('empty lists are acked and count no record; mixed with others, each record ends once', async () => {
    const deployment = await deploymentOf();
    await deployment.send(['[]', ' [ ] ']);
    assertHas(await drain(deployment), {
      received: 0,
      loaded: 0,
      duplicates: 0,
      quarantined: 0,
      released: 0,
    });
    assert.deepEqual(await deployment.depth(), NOTHING);
    const event = (i: number): string => JSON.stringify({ event_id: `e${i}`, device: 'd' });
    await deployment.send([
      '[]',
      event(1),
      `[${event(2)},${event(3)}]`,
      `[${event(4)}]`,
      `${event(5)}\n${event(6)}\n{"event_id":`,
      '[1]',
    ]);
    assertHas(await drain(deployment), { received: 8, loaded: 6, quarantined: 2 });
    assert.deepEqual(
      await deployment.query(
        `select code, record_id = message_id as whole from maskline.quarantine order by 1`,
      ),
      [
        { code: 'not_json', whole: false },
        { code: 'not_object', whole: true },
      ],
    );
    assert.deepEqual(await deployment.depth(), NOTHING);
    await assertProven(deployment);
  });

  test('a message of too many records, or of too much, is one entry in quarantine, with the body as it came', async () => {
    const deployment = await deploymentOf({
      pipeline: { limits: { max_records: 999, max_unpacked: '8KiB', breaker: { max_rejected_ratio: 1 } } },
    });
    const bomb = gzipSync(Buffer.alloc(10_000, ' ')).toString('base64');
    const ids = await deployment.send([array, bomb, '{"event_id":"e","device":"d"}']);
    assertHas(await drain(deployment), { received: 3, loaded: 1, quarantined: 2 });
    const entries = await deployment.query(
      'select id::text, record_id, message_id, code, path from maskline.quarantine order by record_id = $1 desc',
      [ids[0]],
    );
    assert.deepEqual(
      entries.map(({ id: _, ...entry }) => entry),
      ids.slice(0, 2).map((id) => ({ record_id: id, message_id: id, code: 'too_large', path: null })),
    );
    const shown = await deployment.cli.run([
      ...['quarantine', 'show', String(entries[0]?.['id'])],
      ...['--unseal', '--reason', 'a test'],
    ]);
    assert.equal(shown.rows[0]?.['body'], array);
    // Replayed whole or not at all: three of its records can't be loaded.
    deployment.configurePipeline({ limits: { breaker: { max_rejected_ratio: 1 } } });
    const { code, rows } = await deployment.cli.run(['--yes', 'quarantine', 'replay', '--all']);
    assert.equal(code, 1);
    assertHas(rows[0], { received: 2, loaded: 0, quarantined: 2 });
    await assertProven(deployment);
  });

  test('a compressed notification of SNS gives its attributes to the row, and a replay gives them too', async () => {
    const deployment = await deploymentOf({
      ddl: `create table ${TABLE} (event_id varchar(4), tenant text)`,
      pipeline: {
        columns: {
          event_id: { from: 'event_id', type: 'text', max_length: 4 },
          tenant: { from: '$attributes.tenant', type: 'text' },
        },
        source: { envelope: 'eventbridge' },
      },
    });
    const notification = JSON.stringify({
      ...{ Type: 'Notification', TopicArn: 'arn:aws:sns:eu-west-1:1:t', MessageId: 'm' },
      Message: gzipSync('{"event_id":"e1"}').toString('base64'),
      MessageAttributes: { tenant: { Type: 'String', Value: 'shop é' } },
    });
    await deployment.send([notification]);
    assertHas(await drain(deployment), { quarantined: 1 });
    deployment.configurePipeline({ source: { envelope: 'auto' } });
    await deployment.send([notification]);
    assertHas(await drain(deployment), { loaded: 1 });
    const { code, stderr } = await deployment.cli.run(['--yes', 'quarantine', 'replay', '--all']);
    assert.equal(code, 0, stderr);
    const row = { event_id: 'e1', tenant: 'shop é' };
    assert.deepEqual(await deployment.query(`select * from ${TABLE}`), [row, row]);
  });
});
