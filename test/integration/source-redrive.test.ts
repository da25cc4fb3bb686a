import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createRedrive } from '../../src/source/sqs-redrive.js';
import { type TestSqs, startTestSqs } from '../support/sqs.js';

interface Answer {
  readonly Messages?: readonly { readonly Body: string; readonly Attributes: object }[];
}

/** What SQS says of a dead letter's origin, and the emulator leaves out: bodies begin with their queue's name. */
function withSources(answer: string, arnOf: (queue: string) => string): string {
  const { Messages = [] } = JSON.parse(answer) as Answer;
  return JSON.stringify({
    Messages: Messages.map(({ Attributes, ...message }) => {
      const DeadLetterQueueSourceArn = arnOf(message.Body.split(' ')[0] ?? '');
      return { ...message, Attributes: { ...Attributes, DeadLetterQueueSourceArn } };
    }),
  });
}

describe('a redrive', () => {
  let sqs: TestSqs;
  before(async () => {
    sqs = await startTestSqs();
    const arnOf = (queue: string): string => sqs.server.queueArn(queue);
    sqs.proxy.fault = ({ action }) =>
      action === 'ReceiveMessage' ? { kind: 'answer', change: (answer) => withSources(answer, arnOf) } : null;
  });
  after(() => sqs.stop());

  test('of a dead-letter queue that several queues share leaves what came from another queue to it', async () => {
    const [mine, other, dead] = [await sqs.queue(), await sqs.queue(), await sqs.queue()];
    const bodies = [mine, other].flatMap((queue) => [1, 2, 3].map((n) => `${queue} ${n}`));
    await sqs.server.send(
      dead,
      bodies.map((body) => ({ body })),
    );
    const redrive = (queue: string) =>
      createRedrive({
        region: sqs.server.region,
        endpoint: sqs.endpoint,
        deadLetterQueue: dead,
        queue,
        queueArn: sqs.server.queueArn(queue),
        origins: { seal: () => 'sealed', open: () => null },
        notBefore: 0,
      });
    for (const queue of [mine, other]) {
      const moving = redrive(queue);
      const steps = { received: 0, redriven: 0, otherQueues: 0 };
      for (let last = 1; last > 0;) {
        const step = await moving.step(10);
        last = step.received;
        steps.received += step.received;
        steps.redriven += step.redriven;
        steps.otherQueues += step.otherQueues;
      }
      await moving.close();
      const otherQueues = queue === mine ? 3 : 0;
      assert.deepEqual(steps, { received: 3 + otherQueues, redriven: 3, otherQueues });
      const { visible } = (await sqs.client(queue).attributes()) ?? {};
      assert.equal(visible, 3);
    }
    const left = await sqs.client(dead).attributes();
    assert.deepEqual([left?.visible, left?.inFlight], [0, 0]);
  });
});
