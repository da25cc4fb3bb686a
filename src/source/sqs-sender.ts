import { randomUUID } from 'node:crypto';
import { SendMessageBatchCommand, type SQSClient } from '@aws-sdk/client-sqs';
import { PipelineError } from '../errors.js';
import { MAX_ENTRIES } from './queue-client.js';
import { queueMissing, sqsError } from './sqs-errors.js';
import { type SqsPlace, findQueueUrl, sdkClient, sqsPlace } from './sqs-sdk.js';

const ATTEMPTS = 5;
const SOCKETS = 4;
const ANSWER_TIMEOUT_MS = 20_000;

/** Sends made-up messages to one queue: maskline itself sends none but for redrives. */
export interface SqsSender {
  /** Sends each body, in order; returns the message ids. Throws `sqs_unavailable` when any was not taken. */
  send(bodies: readonly string[]): Promise<readonly string[]>;
  close(): void;
}

/** Opens no connection yet. `queue` is a URL, ARN or name. */
export function createSqsSender(queue: string, configured: SqsPlace): SqsSender {
  const sdk = sdkClient(sqsPlace(queue, configured), ATTEMPTS, SOCKETS, ANSWER_TIMEOUT_MS);
  return {
    send: async (bodies) => {
      try {
        return await sendAll(sdk, queue, bodies);
      } catch (error) {
        throw sqsError(error, 'SendMessageBatch', queue);
      }
    },
    close: () => sdk.destroy(),
  };
}

async function sendAll(sdk: SQSClient, queue: string, bodies: readonly string[]): Promise<readonly string[]> {
  const QueueUrl = await findQueueUrl(sdk, queue);
  if (QueueUrl === null) throw queueMissing(queue);
  const isFifo = QueueUrl.endsWith('.fifo');
  const ids: string[] = [];
  for (let from = 0; from < bodies.length; from += MAX_ENTRIES) {
    const Entries = bodies.slice(from, from + MAX_ENTRIES).map((MessageBody, index) => ({
      Id: String(index),
      MessageBody,
      ...(isFifo ? { MessageGroupId: `group-${index}`, MessageDeduplicationId: randomUUID() } : {}),
    }));
    const { Successful = [] } = await sdk.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
    const sent = new Map(Successful.map(({ Id, MessageId }) => [Id, MessageId]));
    for (const { Id } of Entries) {
      const id = sent.get(Id);
      if (id === undefined) {
        throw new PipelineError(
          'sqs_unavailable',
          `queue ${queue} took ${sent.size} of ${Entries.length} messages`,
        );
      }
      ids.push(id);
    }
  }
  return ids;
}
