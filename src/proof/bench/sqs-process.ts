// The SQS emulator in a process of its own, so that its CPU isn't counted as maskline's. Fills queues, all
// with the same messages, tells its parent, and ends when the parent lets go of it, or dies.

import { loginEvents, seededRandom } from '../../embedded/login-events.js';
import { startSqs } from '../../embedded/sqs.js';
import type { SqsReady } from './sqs-child.js';

/** The same made-up people in every run. */
const SEED = 1;
/** Nothing is redelivered here. */
const REMEMBERED = 1;

const [count = '', ...queues] = process.argv.slice(2);
const stopped = new Promise((resolve) => {
  process.once('disconnect', resolve);
});
const server = await startSqs({ remember: REMEMBERED });
const bodies = [...loginEvents(Number(count), seededRandom(SEED))].map((event) => JSON.stringify(event));
const queueUrls: { [queue: string]: string } = {};
for (const queue of queues) {
  queueUrls[queue] = await server.createQueue(queue);
  await server.send(
    queue,
    bodies.map((body) => ({ body })),
  );
}
const bodyBytes = bodies.reduce((sum, body) => sum + Buffer.byteLength(body), 0);
const ready: SqsReady = {
  endpoint: server.endpoint,
  region: server.region,
  queueUrls,
  messages: bodies.length,
  bodyBytes,
};
process.send?.(ready);
await stopped;
await server.stop();
