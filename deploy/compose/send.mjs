// Sends made-up login events to the emulator of docker-compose.yml: `docker compose run --rm send [COUNT]`. One of a
// hundred lacks its address, for the quarantine.
import { randomInt, randomUUID } from 'node:crypto';

/** SendMessageBatch takes no more. */
const BATCH = 10;
const { SQS_ENDPOINT, SQS_QUEUE } = process.env;
const count = Number(process.argv[2] ?? 1_000);
if (!Number.isSafeInteger(count) || count < 1) throw new Error('COUNT must be a whole number from 1');

async function call(action, input) {
  const answer = await fetch(SQS_ENDPOINT, {
    method: 'POST',
    headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `AmazonSQS.${action}` },
    body: JSON.stringify(input),
  });
  if (!answer.ok) throw new Error(`${action} was answered by ${answer.status}`);
  return answer.json();
}

function pick(...values) {
  return values[randomInt(values.length)];
}

function login(index) {
  const bytes = Array.from({ length: 4 }, () => randomInt(1, 255));
  return {
    user_id: randomUUID(),
    app_version: `${randomInt(5)}.${randomInt(10)}.${randomInt(10)}`,
    device_type: pick('android', 'ios'),
    ...(index % 100 === 99 ? {} : { ip: bytes.join('.') }),
    locale: pick('BR', 'FR', 'ID', 'PH', null),
    device_id: `${randomInt(100, 999)}-${randomInt(10, 99)}-${randomInt(1_000, 9_999)}`,
  };
}

const { QueueUrl } = await call('GetQueueUrl', { QueueName: SQS_QUEUE });
for (let sent = 0; sent < count; sent += BATCH) {
  const size = Math.min(BATCH, count - sent);
  const Entries = Array.from({ length: size }, (_, at) => ({
    Id: String(at),
    MessageBody: JSON.stringify(login(sent + at)),
  }));
  const { Successful = [] } = await call('SendMessageBatch', { QueueUrl, Entries });
  if (Successful.length !== size) throw new Error(`the queue took ${Successful.length} of ${size} messages`);
}
console.log(`sent ${count} events to ${SQS_QUEUE}`);
