// What most people write: one consumer over the AWS SDK that receives ten messages, and for each of them, all ten at
// once, hashes what is personal, inserts a row, and deletes the message. Neither exactly once nor sealed.

import { createHash } from 'node:crypto';
import { DeleteMessageCommand, type Message, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import pg from 'pg';
import type { LoginEvent } from '../../src/embedded/login-events.js';
import type { OtherOrder } from '../../src/proof/bench/other.js';

const order = JSON.parse(process.argv[2] ?? '') as OtherOrder;
const QueueUrl = order.queueUrl;
const sqs = new SQSClient({ region: order.region, endpoint: order.endpoint, useQueueUrlAsEndpoint: false });
const pool = new pg.Pool({ connectionString: order.databaseUrl });
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

async function handle({ Body, ReceiptHandle, Attributes }: Message): Promise<void> {
  const event = JSON.parse(Body ?? '') as LoginEvent;
  await pool.query(
    `insert into ${order.table} (user_id, device_type, masked_ip, masked_device_id, locale, app_version, create_date)
     values ($1, $2, $3, $4, $5, $6, $7)`,
    [
      event.user_id,
      event.device_type,
      sha256(event.ip),
      sha256(event.device_id),
      event.locale,
      event.app_version,
      new Date(Number(Attributes?.['SentTimestamp'])),
    ],
  );
  await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
}

async function consume(): Promise<void> {
  for (;;) {
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        MessageSystemAttributeNames: ['SentTimestamp'],
      }),
    );
    if (Messages.length === 0) return;
    await Promise.all(Messages.map(handle));
  }
}

await pool.query('select 1');
process.once('message', () => {
  void consume().then(() => process.send?.('done'));
});
process.send?.('ready');
