// The SQS emulator in a process of its own, which is never killed: its messages would die with it. Makes up the messages
// itself, so that their bodies need not be carried over, and ends when its parent lets go of it, or dies.

import { type SqsServer, startSqs } from '../embedded/sqs.js';
import { marksOf, messageOf } from './messages.js';
import type { SqsAnswer, SqsOrder } from './sqs-child.js';

/** Messages that can be delivered again. */
const REMEMBERED = 100_000;

const server = await startSqs({ remember: REMEMBERED });
const answer = (message: SqsAnswer): void => void process.send?.(message);

// One order after the other: what is sent twice at once would not be what the seed says.
let last = Promise.resolve();
process.on('message', (order: SqsOrder) => {
  last = last
    .then(async () => answer({ id: order.id, ids: await carryOut(server, order) }))
    .catch((error: unknown) => {
      answer({ id: order.id, error: error instanceof Error ? error.message : 'the emulator failed' });
    });
});
process.once('disconnect', () => void last.then(() => server.stop()));
answer({ id: 0, ids: [], port: server.port });

async function carryOut(sqs: SqsServer, order: SqsOrder): Promise<readonly string[]> {
  if (order.kind === 'create') {
    await sqs.createQueue(order.queue, order.attributes);
    return [sqs.queueArn(order.queue)];
  }
  if (order.kind === 'send') {
    const marks = marksOf(order.seed);
    const messages = Array.from({ length: order.count }, (_, at) => {
      const index = order.from + at;
      const { body } = messageOf(order.seed, marks, index);
      return order.groups === null ? { body } : { body, groupId: `group-${index % order.groups}` };
    });
    return sqs.send(order.queue, messages);
  }
  const done: string[] = [];
  for (const id of order.ids) {
    // Not each has been received yet.
    const count = await sqs.redeliver(order.queue, [id]).catch(() => 0);
    if (count > 0) done.push(id);
  }
  return done;
}
