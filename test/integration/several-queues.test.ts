// Several queues that are read into one pipeline.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { PipelineError } from '../../src/errors.js';
import type { Status } from '../../src/ops/status.js';
import { assertHas } from '../support/cli.js';
import { SMALL_COLUMNS, smallEvents } from '../support/events.js';
import { eventually } from '../support/queue.js';
import { startHere } from '../support/role-here.js';
import { type Deployment, PIPELINE, type Stack, assertAddsUp, startStack } from '../support/stack.js';

const TABLE = `public.${PIPELINE}`;

let stack: Stack;
before(async () => {
  stack = await startStack();
});
after(() => stack.stop());

/** A deployment of so many queues, which are called as its own and by a number; not all of them need be there. */
async function severalQueues(
  count: number,
  { exist = count, dlq = null as string | null, file = {} } = {},
): Promise<{ readonly deployment: Deployment; readonly queues: readonly string[] }> {
  const deployment = await stack.deployment({
    ddl: `create table ${TABLE} (event_id varchar(32) not null, device varchar(256) not null)`,
    file,
  });
  const queues = Array.from({ length: count }, (_, n) => `${deployment.queue}-part-${n}`);
  if (dlq !== null) await stack.sqs.createQueue(dlq);
  const policy = { deadLetterTargetArn: stack.sqs.queueArn(dlq ?? ''), maxReceiveCount: 1 };
  const attributes: Readonly<{ [name: string]: string }> =
    dlq === null ? {} : { RedrivePolicy: JSON.stringify(policy) };
  for (const queue of queues.slice(0, exist)) await stack.sqs.createQueue(queue, attributes);
  deployment.configurePipeline({
    schedule: '* * * * * *',
    source: { sqs: { queues, visibility_timeout: '6s' } },
    batch: { max_messages: 20, linger: '50ms' },
    columns: SMALL_COLUMNS,
  });
  return { deployment, queues };
}

async function send(queue: string | undefined, bodies: readonly string[]): Promise<readonly string[]> {
  return stack.sqs.send(
    queue ?? '',
    bodies.map((body) => ({ body })),
  );
}

async function isEmpty(queue: string): Promise<boolean> {
  const QueueUrl = await stack.sqs.queueUrl(queue);
  const answer = await fetch(stack.sqs.endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'AmazonSQS.GetQueueAttributes' },
    body: JSON.stringify({ QueueUrl, AttributeNames: ['All'] }),
  });
  const { Attributes } = (await answer.json()) as { Attributes: Readonly<{ [name: string]: string }> };
  return ['', 'NotVisible', 'Delayed'].every(
    (state) => Attributes[`ApproximateNumberOfMessages${state}`] === '0',
  );
}

test('three queues end in one table, each message once and acked at its own, though the ingester is killed', async () => {
  const { deployment, queues } = await severalQueues(3);
  // GIVEN events of which one in twenty is bad, more of them in one queue than in the others
  const { bodies, goodIds, badAt } = smallEvents(240, 20);
  await send(queues[0], bodies.slice(0, 160));
  await send(queues[1], bodies.slice(160, 220));
  await send(queues[2], bodies.slice(220));
  const workers = [await startHere(deployment, 'transform'), await startHere(deployment, 'load')];
  try {
    // WHEN an ingester dies between a commit and its ack, and another follows
    const victim = deployment.cli.spawn(['run', 'ingest'], {
      env: { MASKLINE_ALLOW_FAILPOINTS: '1', MASKLINE_FAILPOINTS: 'ack.before=crash' },
    });
    assert.equal((await victim.ended).signal, 'SIGKILL');
    const ingest = await startHere(deployment, 'ingest');
    workers.unshift(ingest);
    // THEN all queues are emptied
    await eventually(
      async () => (await Promise.all(queues.map(isEmpty))).every(Boolean),
      (empty) => empty,
      60_000,
    );
  } finally {
    for (const worker of workers) await worker.stop();
  }
  const rows = await deployment.query(`select event_id from ${TABLE} order by event_id collate "C"`);
  assert.deepEqual(
    rows.map((row) => row['event_id']),
    goodIds,
  );
  assert.equal(await deployment.count('maskline.quarantine'), badAt.length);
  assertAddsUp((await deployment.runs()).filter(({ state }) => state !== 'abandoned'));
});

test('status shows each queue, and names the one that is missing', async () => {
  const { deployment, queues } = await severalQueues(2, { exist: 1, file: { startup_timeout: '1s' } });
  const [there = '', missing = ''] = queues;
  await send(there, smallEvents(3, 0).bodies);
  const { stdout } = await deployment.cli.run(['status']);
  const status = JSON.parse(stdout) as Status;
  assert.deepEqual(
    status.dependencies.filter(({ name }) => name.startsWith('source')),
    [
      { name: `source ${PIPELINE} ${there}`, ok: true, code: null },
      { name: `source ${PIPELINE} ${missing}`, ok: false, code: 'sqs_unavailable' },
    ],
  );
  assertHas(
    { ...status.pipelines[0] },
    {
      queue: null,
      queues: [{ queue: there, visible: 3, in_flight: 0, delayed: 0 }, { queue: missing }],
    },
  );
  // Nothing is received while it is not known whether all can be.
  await assert.rejects(startHere(deployment, 'all'), (error) => {
    assert.ok(error instanceof PipelineError);
    assert.equal(error.code, 'sqs_unavailable');
    assert.match(error.message, new RegExp(`queue ${missing} does not exist`));
    return true;
  });
  assert.equal(await deployment.count('maskline.runs'), 0);
});

test('dead letters of queues that share a dead-letter queue are drained, each once', async () => {
  const { deployment, queues } = await severalQueues(2, { dlq: 'shared-dead-letters' });
  const { bodies, goodIds } = smallEvents(8, 0);
  await send(queues[0], bodies.slice(0, 5));
  await send(queues[1], bodies.slice(5));
  for (const queue of queues) {
    const QueueUrl = await stack.sqs.queueUrl(queue);
    const receive = async (): Promise<number> => {
      const answer = await fetch(stack.sqs.endpoint, {
        method: 'POST',
        headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'AmazonSQS.ReceiveMessage' },
        body: JSON.stringify({ QueueUrl, MaxNumberOfMessages: 10, VisibilityTimeout: 0 }),
      });
      const { Messages = [] } = (await answer.json()) as { Messages?: readonly unknown[] };
      return Messages.length;
    };
    await eventually(receive, (received) => received === 0);
  }
  const shown = await deployment.cli.run(['dlq', 'redrive', '--dry-run']);
  assert.deepEqual(
    shown.rows.map(({ queue, left }) => ({ queue, left })),
    queues.map((queue) => ({ queue, left: bodies.length })),
  );
  const { code, rows, stderr } = await deployment.cli.run(['drain', '--dlq']);
  assert.equal(code, 0, stderr);
  assertHas(rows[0] ?? {}, { received: bodies.length, loaded: bodies.length, duplicates: 0 });
  const loaded = await deployment.query(`select event_id from ${TABLE} order by event_id collate "C"`);
  assert.deepEqual(
    loaded.map((row) => row['event_id']),
    goodIds,
  );
});
