import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertHas } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { NotedSqs } from '../support/noted-sqs.js';
import { withConnection } from '../support/postgres.js';
import { eventually } from '../support/queue.js';
import { type Deployment, PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

const TABLE = `public.${PIPELINE}`;
const DDL = `create table ${TABLE} (event_id varchar(32), device varchar(256))`;
const NOTHING = { visible: 0, inFlight: 0, delayed: 0 };
const MAX_RECEIVES = 2;

let stack: Stack;
let sqs: NotedSqs;
before(async () => {
  stack = await startStack();
  sqs = await NotedSqs.start(stack);
});
after(async () => {
  await stack.stop();
  await sqs.stop();
});

/** A deployment whose queue gives a message up after two receives, and the name of its dead-letter queue. */
async function withDeadLetters(name: string, pipeline: object = {}): Promise<Deployment> {
  await stack.sqs.createQueue(name);
  const policy = { deadLetterTargetArn: stack.sqs.queueArn(name), maxReceiveCount: MAX_RECEIVES };
  return stack.deployment({
    ddl: DDL,
    pipeline: { columns: SMALL_COLUMNS, batch: { linger: '100ms' }, ...pipeline },
    queueAttributes: { RedrivePolicy: JSON.stringify(policy) },
  });
}

/** The bodies in a queue, sorted. They are held by nobody afterwards, and come again much later. */
async function bodiesIn(queue: string): Promise<readonly string[]> {
  const bodies: string[] = [];
  for (;;) {
    const answer = await fetch(stack.sqs.endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'AmazonSQS.ReceiveMessage' },
      body: JSON.stringify({ QueueUrl: await stack.sqs.queueUrl(queue), MaxNumberOfMessages: 10 }),
    });
    const { Messages = [] } = (await answer.json()) as { Messages?: readonly { Body: string }[] };
    if (Messages.length === 0) return bodies.sort();
    bodies.push(...Messages.map(({ Body }) => Body));
  }
}

describe('what is given back', { concurrency: 4 }, () => {
  test('a batch that fails for good comes back after a delay that grows, until its queue gives it up: no tight loop', async () => {
    // GIVEN a batch that no loader can take
    const deployment = await withDeadLetters('dead-failed');
    const { bodies } = smallEvents(5, 0);
    await deployment.send(bodies);
    const failing = {
      ...sqs.env,
      MASKLINE_ALLOW_FAILPOINTS: '1',
      MASKLINE_FAILPOINTS: 'commit.before=throw(payload_corrupt)',
    };
    for (let receives = 1; receives <= MAX_RECEIVES; receives += 1) {
      const before = sqs.changes(deployment).length;
      // WHEN it is tried once more
      const { code, rows, stderr } = await deployment.cli.run(['drain'], { env: failing });
      // THEN all of it is released, for twice as long as the last time, and the run has failed
      assert.equal(code, 1, stderr);
      assertHas(rows[0], { state: 'failed', received: 5, loaded: 0, released: 5 });
      const released = sqs.changes(deployment).slice(before);
      assert.deepEqual(
        released.map(({ seconds }) => seconds),
        new Array(5).fill(30 * 2 ** (receives - 1)),
      );
      assert.deepEqual(await deployment.depth(), { ...NOTHING, inFlight: 5 });
      await sqs.passTime(deployment, released);
    }
    // THEN the queue's own policy moves it once the receives are used up, and nothing of it is anywhere else
    const last = await deployment.cli.run(['drain'], { env: sqs.env });
    assert.equal(last.code, 0, last.stderr);
    assertHas(last.rows[0], { received: 0 });
    assert.deepEqual(await bodiesIn('dead-failed'), [...bodies].sort());
    assert.deepEqual(await deployment.depth(), NOTHING);
    assert.equal(await deployment.count('maskline.ledger'), 0);
    assertAddsUp(await deployment.runs());
  });

  test('a rejected message under on_reject: dlq is in the dead-letter queue once, and nowhere else', async () => {
    // GIVEN good messages and bad ones
    const deployment = await withDeadLetters('dead-rejected', { on_reject: 'dlq' });
    const { bodies, goodIds, badAt } = smallEvents(12, 4);
    await deployment.send(bodies);
    for (let receives = 1; receives <= MAX_RECEIVES; receives += 1) {
      const before = sqs.changes(deployment).length;
      const { code, rows, stderr } = await deployment.cli.run(['drain'], { env: sqs.env });
      // THEN the good ones load at the first receive, and the bad ones are given back at each
      assert.equal(code, 0, stderr);
      const loaded = receives === 1 ? goodIds.length : 0;
      assertHas(rows[0], { received: loaded + 3, loaded, quarantined: 0, duplicates: 0, released: 3 });
      const released = sqs.changes(deployment).slice(before);
      assert.deepEqual(
        released.map(({ seconds }) => seconds),
        new Array(3).fill(30 * 2 ** (receives - 1)),
      );
      await sqs.passTime(deployment, released);
    }
    const last = await deployment.cli.run(['drain'], { env: sqs.env });
    assertHas(last.rows[0], { received: 0 });
    assert.deepEqual(await bodiesIn('dead-rejected'), badAt.map((at) => bodies[at] ?? '').sort());
    assert.deepEqual(await deployment.depth(), NOTHING);
    const ids = await deployment.query(`select event_id from ${TABLE} order by event_id collate "C"`);
    assert.deepEqual(
      ids.map((row) => row['event_id']),
      goodIds,
    );
    assert.equal(await deployment.count('maskline.quarantine'), 0);
    assert.equal(await deployment.count('maskline.ledger'), goodIds.length);
  });

  test('a rejected message that is delivered three times is in quarantine once', async () => {
    const deployment = await withDeadLetters('dead-unused');
    const { bodies } = smallEvents(8, 4);
    await deployment.send(bodies);
    for (let delivery = 1; delivery <= 3; delivery += 1) {
      if (delivery > 1) await stack.sqs.redeliver(deployment.queue, 'all');
      const { code, rows, stderr } = await deployment.cli.run(['drain']);
      assert.equal(code, 0, stderr);
      const first = delivery === 1;
      assertHas(rows[0], { loaded: first ? 6 : 0, quarantined: first ? 2 : 0, duplicates: first ? 0 : 8 });
    }
    assert.equal(await deployment.count('maskline.quarantine'), 2);
    assert.equal(await deployment.count(TABLE), 6);
  });

  test('visibility that runs out while batches wait costs duplicates, and nothing else', async () => {
    // GIVEN batches that wait for a table, while no extension of their visibility reaches SQS
    const deployment = await stack.deployment({
      ddl: DDL,
      pipeline: {
        columns: SMALL_COLUMNS,
        batch: { linger: '100ms' },
        schedule: '* * * * * *',
        source: { sqs: { visibility_timeout: '2s' } },
      },
    });
    const { bodies, goodIds } = smallEvents(60, 20);
    await deployment.send(bodies);
    let received = 0;
    const count = (answer: string): string => {
      received += (JSON.parse(answer) as { Messages?: readonly object[] }).Messages?.length ?? 0;
      return answer;
    };
    sqs.proxy.fault = ({ action, input }) => {
      if (!String(input['QueueUrl']).endsWith(`/${deployment.queue}`)) return null;
      if (action === 'ReceiveMessage') return { kind: 'answer', change: count };
      if (action !== 'ChangeMessageVisibilityBatch') return null;
      return { kind: 'error', status: 503, type: 'ServiceUnavailable' };
    };
    await withConnection(deployment.database, async (client) => {
      await client.query(`begin; lock table ${TABLE}`);
      const all = deployment.cli.spawn(['run', 'all'], { env: sqs.env });
      // WHEN every message has been handed out once more, and then the table is free again
      await eventually(
        async () => received,
        (messages) => messages >= 2 * bodies.length,
        60_000,
      );
      await client.query('rollback');
      // THEN the end is the same
      await deployment.countUntil('maskline.ledger', (count) => count >= bodies.length);
      await eventually(
        () => deployment.depth(),
        ({ visible, inFlight }) => visible + inFlight === 0,
        60_000,
      );
      all.signal('SIGTERM');
      assert.equal((await all.ended).code, 0);
    });
    const ids = await deployment.query(`select event_id from ${TABLE} order by event_id collate "C"`);
    assert.deepEqual(
      ids.map((row) => row['event_id']),
      goodIds,
    );
    assert.equal(await deployment.count('maskline.quarantine'), 3);
    const runs = await deployment.runs();
    assertAddsUp(runs);
    assert.ok(
      runs.some((run) => Number(run['duplicates']) > 0),
      'nothing came twice: the fault did not bite',
    );
  });
});
