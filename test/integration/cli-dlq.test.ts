import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { kekFromFile } from '../../src/masking/kek.js';
import { loadKeyring } from '../../src/masking/keyring.js';
import { originSealer } from '../../src/roles/origin.js';
import { ORIGIN_ATTRIBUTE } from '../../src/source/origin.js';
import { assertHas } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { eventually } from '../support/queue.js';
import { type Deployment, PIPELINE, type Stack, startStack } from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;
const MAX_RECEIVES = 3;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

async function deploymentWithDlq(name: string): Promise<Deployment> {
  await stack.sqs.createQueue(name);
  const policy = { deadLetterTargetArn: stack.sqs.queueArn(name), maxReceiveCount: MAX_RECEIVES };
  return stack.deployment({
    ddl: `create table ${TABLE} (event_id varchar(32), device varchar(256))`,
    pipeline: { columns: SMALL_COLUMNS },
    queueAttributes: { RedrivePolicy: JSON.stringify(policy) },
  });
}

/** Receives without settling until SQS has moved all of it to the dead-letter queue; returns SentTimestamps by id. */
async function wearOut(deployment: Deployment): Promise<ReadonlyMap<string, number>> {
  const sentAt = new Map<string, number>();
  const QueueUrl = await stack.sqs.queueUrl(deployment.queue);
  const receive = async (): Promise<number> => {
    const answer = await fetch(stack.sqs.endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'AmazonSQS.ReceiveMessage' },
      body: JSON.stringify({
        QueueUrl,
        MaxNumberOfMessages: 10,
        VisibilityTimeout: 0,
        MessageSystemAttributeNames: ['All'],
      }),
    });
    const { Messages = [] } = (await answer.json()) as {
      Messages?: readonly { MessageId: string; Attributes: { SentTimestamp: string } }[];
    };
    for (const { MessageId, Attributes } of Messages) sentAt.set(MessageId, Number(Attributes.SentTimestamp));
    return Messages.length;
  };
  await eventually(receive, (received) => received === 0);
  return sentAt;
}

/** Makes the ledger know a message, as if it had been loaded and its deletion lost. */
async function remember(deployment: Deployment, id: string, sentAt: number | undefined): Promise<void> {
  await deployment.query(
    `insert into maskline.ledger (pipeline, sent_at, key, record_id, batch_id, outcome)
     values ($1, to_timestamp($2::float8 / 1000), convert_to($3, 'UTF8'), $3, gen_random_uuid(), 'loaded')`,
    [PIPELINE, sentAt, id],
  );
}

async function drained(deployment: Deployment, report: { readonly [key: string]: unknown }): Promise<void> {
  const { code, rows, stderr } = await deployment.cli.run(['drain', '--json']);
  assert.equal(code, 0, stderr);
  assertHas(rows[0], report);
}

describe('dlq redrive', () => {
  test('brings dead letters back under the ids that the ledger knows: what was loaded before is a duplicate', async () => {
    // GIVEN dead letters, seven of which were loaded before, though their deletion was lost
    const deployment = await deploymentWithDlq('dead-1');
    const ids = await deployment.send(smallEvents(12, 0).bodies);
    const sentAt = await wearOut(deployment);
    for (const id of ids.slice(0, 7)) await remember(deployment, id, sentAt.get(id));

    // WHEN they are sent back
    const shown = await deployment.cli.run(['dlq', 'redrive', '--dry-run']);
    assertHas(shown.rows[0], { redriven: 0, left: 12, dry_run: true });
    const refused = await deployment.cli.run(['dlq', 'redrive']);
    assert.equal(refused.code, 2, 'nobody has said yes');
    const { code, rows, stderr } = await deployment.cli.run(['dlq', 'redrive', '--yes']);
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { pipeline: PIPELINE, received: 12, redriven: 12, too_old: 0, failed: 0, left: 0 });

    // THEN only the five others are loaded
    await drained(deployment, { received: 12, loaded: 5, duplicates: 7 });
    assert.equal(await deployment.count(TABLE), 5);
  });

  test('keeps the first id over several redrives', async () => {
    const deployment = await deploymentWithDlq('dead-2');
    const ids = await deployment.send(smallEvents(3, 0).bodies);
    for (let round = 0; round < 2; round += 1) {
      const sentAt = await wearOut(deployment);
      if (round === 0) for (const id of ids) await remember(deployment, id, sentAt.get(id));
      const { code, rows } = await deployment.cli.run(['dlq', 'redrive', '--yes', '--max', '10']);
      assert.equal(code, 0);
      assertHas(rows[0], { redriven: 3 });
    }
    await drained(deployment, { received: 3, loaded: 0, duplicates: 3 });
  });

  test('a sender cannot pass his message off as one that was loaded', async () => {
    const deployment = await deploymentWithDlq('dead-3');
    const [loaded = '', other = ''] = smallEvents(2, 0).bodies;
    const [messageId = ''] = await deployment.send([loaded]);
    await drained(deployment, { loaded: 1 });
    const [row] = await deployment.query(
      'select (extract(epoch from sent_at) * 1000)::float8 as ms from maskline.ledger',
    );
    const sentAt = Number(row?.['ms']);
    const keyring = loadKeyring(deployment.keyringFile, kekFromFile(deployment.kekFile));
    // GIVEN the mark of another message, one that is made up, and for comparison the right one
    const sealed = originSealer(keyring).seal({ messageId, sentAt }, loaded);
    const marked = (body: string, mark: string) => ({ body, attributes: { [ORIGIN_ATTRIBUTE]: mark } });
    await deployment.sendMessages([
      marked(other, sealed),
      marked(other, `o1.1.${'A'.repeat(60)}`),
      marked(other, 'hello'),
      marked(loaded, sealed),
    ]);
    // THEN only the right one is believed
    await drained(deployment, { received: 4, loaded: 3, duplicates: 1 });
  });

  test('says that there is no dead-letter queue where there is none', async () => {
    const deployment = await stack.deployment();
    const { code, stderr } = await deployment.cli.run(['dlq', 'redrive', '--yes']);
    assert.equal(code, 2);
    assert.match(stderr, /has no redrive policy/);
  });
});

describe('drain --dlq', () => {
  test('loads dead letters under the ids that the ledger knows, and nothing of the queue itself', async () => {
    // GIVEN twelve dead letters, of which seven were loaded, though their deletion was lost
    const deployment = await deploymentWithDlq('dead-drained');
    const ids = await deployment.send(smallEvents(12, 0).bodies);
    const sentAt = await wearOut(deployment);
    for (const id of ids.slice(0, 7)) await remember(deployment, id, sentAt.get(id));
    // One that is in the queue itself is not looked at.
    await deployment.send(smallEvents(1, 0).bodies);

    const { code, rows, stderr } = await deployment.cli.run(['drain', '--dlq', '--json']);
    assert.equal(code, 0, stderr);
    assertHas(rows[0], { trigger: 'drain', received: 12, loaded: 5, duplicates: 7, quarantined: 0 });
    assert.equal(await deployment.count(TABLE), 5);
    // It says nothing of whether the schedule keeps up.
    assert.equal(await deployment.count('maskline.schedules where last_started_at is not null'), 0);
    assert.equal((await deployment.depth()).visible, 1);
    const shown = await deployment.cli.run(['dlq', 'redrive', '--dry-run']);
    assertHas(shown.rows[0], { left: 0 });
  });

  test('says that there is no dead-letter queue where there is none', async () => {
    const deployment = await stack.deployment();
    const { code, stderr } = await deployment.cli.run(['drain', '--dlq']);
    assert.equal(code, 2);
    assert.match(stderr, /has no redrive policy/);
  });
});
