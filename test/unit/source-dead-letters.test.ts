import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deadLettersOf } from '../../src/source/dead-letters.js';
import { createSource } from '../../src/source/sqs-source.js';
import { FakeSqs } from '../simulation/fake-sqs.js';
import { VirtualClock } from '../simulation/virtual-clock.js';
import { AS_IT_IS } from '../support/opening.js';

const OWN = 'arn:aws:sqs:us-east-1:000000000000:own';
const OTHER = 'arn:aws:sqs:us-east-1:000000000000:other';

test('of a dead-letter queue of several queues only the messages of one are received; the others are left, and given back', async () => {
  const clock = new VirtualClock();
  const sqs = new FakeSqs({ clock });
  const sources = new Map<string, string | null>();
  for (const from of [OWN, OTHER, null, OTHER, OWN, OTHER]) {
    const [id = ''] = sqs.send({ body: '{}' });
    sources.set(id, from);
  }
  const receive = sqs.receive.bind(sqs);
  sqs.receive = async (options, signal) =>
    (await receive(options, signal)).map((message) => {
      const from = sources.get(message.id) ?? null;
      return from === null ? message : { ...message, deadLetterSource: from };
    });
  const { client, giveBack } = deadLettersOf([OWN], sqs);
  const source = createSource({
    client,
    clock,
    opening: AS_IT_IS,
    receivers: 2,
    waitTimeS: 1,
    visibilityTimeoutS: 300,
    inFlight: 100,
    inFlightBytes: 1 << 20,
  });
  const seen: string[] = [];
  await clock.finish(
    (async () => {
      for await (const received of source.receive('until_empty', new AbortController().signal)) {
        seen.push(...received.map(({ receipt }) => receipt.messageId));
        await source.ack(received.map(({ receipt }) => receipt));
      }
    })(),
  );
  // One that was sent there by hand is nobody else's.
  const isForeign = (id: string): boolean => sources.get(id) === OTHER;
  assert.deepEqual(
    seen.toSorted(),
    [...sources.keys()].filter((id) => !isForeign(id)),
  );
  assert.deepEqual(sqs.visible, []);
  await clock.finish(giveBack());
  assert.deepEqual(sqs.visible, [...sources.keys()].filter(isForeign));
  assert.deepEqual(sqs.left, sqs.visible);
});
