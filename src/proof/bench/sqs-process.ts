// The SQS emulator in a process of its own, so that its CPU isn't counted as maskline's. Fills queues, all
// with the same messages, tells its parent, and ends when the parent lets go of it, or dies. What is more than a queue
// may hold is sent while others are received: the emulator's receives cost more the more messages wait.

import { setTimeout as delay } from 'node:timers/promises';
import { loginEvents, seededRandom } from '../../embedded/login-events.js';
import { startSqs } from '../../embedded/sqs.js';
import { createSqsClient } from '../../source/sqs.js';
import type { SqsReady } from './sqs-child.js';

/** The same made-up people in every run. */
const SEED = 1;
/** Nothing is redelivered here. */
const REMEMBERED = 1;
/** So many wait at first, and are kept up to. */
const MOST_WAITING = 100_000;
const PORTION = 2_000;
const LOOK_EVERY_MS = 100;

const [count = '', ...queues] = process.argv.slice(2);
const stopped = new Promise((resolve) => {
  process.once('disconnect', resolve);
});
const server = await startSqs({ remember: REMEMBERED });
const bodies = [...loginEvents(Number(count), seededRandom(SEED))].map((event) => JSON.stringify(event));
const queueUrls: { [queue: string]: string } = {};
for (const queue of queues) {
  queueUrls[queue] = await server.createQueue(queue);
  await send(queue, 0, MOST_WAITING);
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
await Promise.race([stopped, Promise.all(queues.map(feed))]);
await stopped;
await server.stop();

async function send(queue: string, from: number, to: number): Promise<void> {
  await server.send(
    queue,
    bodies.slice(from, to).map((body) => ({ body })),
  );
}

/** Sends the rest, as fast as it is received. */
async function feed(queue: string): Promise<void> {
  const { region, endpoint } = server;
  const client = createSqsClient({ queue: queueUrls[queue] ?? queue, region, endpoint, receivers: 1 });
  for (let sent = MOST_WAITING; sent < bodies.length;) {
    const { visible = 0 } = (await client.attributes()) ?? {};
    if (visible > MOST_WAITING - PORTION) await delay(LOOK_EVERY_MS);
    else {
      await send(queue, sent, sent + PORTION);
      sent += PORTION;
    }
  }
  client.close();
}
