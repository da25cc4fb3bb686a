import { randomUUID } from 'node:crypto';
import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  type Message,
  type MessageAttributeValue,
  ReceiveMessageCommand,
  type SQSClient,
  SendMessageBatchCommand,
  type SendMessageBatchRequestEntry,
} from '@aws-sdk/client-sqs';
import { ORIGIN_ATTRIBUTE, type Origin, type OriginSealer } from './origin.js';
import { MAX_ENTRIES } from './queue-client.js';
import { entryResults, rawMessage } from './sqs-answers.js';
import { queueMissing, sqsError } from './sqs-errors.js';
import { type SqsPlace, findQueueUrl, sdkClient } from './sqs-sdk.js';

/** Two queues at one place, by URL, ARN or name. */
export interface RedriveOptions extends SqsPlace {
  readonly deadLetterQueue: string;
  readonly queue: string;
  /** ARN of `queue`: what another queue has put into the dead-letter queue stays there. */
  readonly queueArn: string;
  readonly origins: OriginSealer;
  /** What was sent before this (epoch ms) stays where it is: the ledger may have forgotten it. */
  readonly notBefore: number;
}

/** What became of the messages of one receive. */
export interface RedriveStep {
  readonly received: number;
  /** Sent to the queue, and deleted from the dead-letter queue. */
  readonly redriven: number;
  /** Left, since they are of another queue, whose pipeline has its own policy and ledger. */
  readonly otherQueues: number;
  /** Left, since the ledger may have forgotten them. */
  readonly tooOld: number;
  /** Left, since SQS takes no larger message, or no more attributes. */
  readonly tooLarge: number;
  /** Left, since SQS refused them for the moment. */
  readonly failed: number;
}

/** Moves messages back from a dead-letter queue, ten at a time. */
export interface Redrive {
  /** The next ten at most; none received: the queue is empty. Throws `sqs_unavailable` or `source_unfit`. */
  step(maxMessages: number): Promise<RedriveStep>;
  /** Makes visible again what is another queue's. Never rejects. */
  close(): Promise<void>;
}

const ATTEMPTS = 3;
const SOCKETS = 4;
const ANSWER_TIMEOUT_MS = 20_000;
/** Short polls ask a sample of SQS's servers, so that an empty answer says nothing. */
const WAIT_S = 2;
/** What is left in the dead-letter queue is visible again after it: later than a redrive would meet it twice. */
const VISIBILITY_S = 600;
/** A message, and all messages of a batch call together (Amazon SQS Developer Guide, "Quotas related to messages"). */
const MAX_BYTES = 1_048_576;
const MAX_ATTRIBUTES = 10;

/** A message on its way back. */
interface Return {
  readonly handle: string;
  readonly entry: Omit<SendMessageBatchRequestEntry, 'Id'>;
  readonly bytes: number;
}

/**
 * Opens the two queues. Each message is sent before it is deleted, under its first id, so that a redrive which is
 * killed in between repeats itself harmlessly: the ledger knows the record.
 */
export function createRedrive(options: RedriveOptions): Redrive {
  return new SqsRedrive(options);
}

class SqsRedrive implements Redrive {
  readonly #options: RedriveOptions;
  readonly #sdk: SQSClient;
  /** Receipts of other queues' messages. */
  readonly #foreign: string[] = [];

  constructor(options: RedriveOptions) {
    this.#options = options;
    this.#sdk = sdkClient(options, ATTEMPTS, SOCKETS, ANSWER_TIMEOUT_MS);
  }

  async step(maxMessages: number): Promise<RedriveStep> {
    const { deadLetterQueue, queue } = this.#options;
    try {
      const from = await this.#urlOf(deadLetterQueue);
      const to = await this.#urlOf(queue);
      const messages = await this.#receive(from, Math.min(MAX_ENTRIES, maxMessages));
      return await this.#move(messages, from, to);
    } catch (error) {
      throw sqsError(error, 'redriving', deadLetterQueue);
    }
  }

  async close(): Promise<void> {
    try {
      await this.#giveBack();
    } catch {
      // They are visible again by themselves, only later.
    } finally {
      this.#sdk.destroy();
    }
  }

  /** Not before the end, or the next step would meet them again. */
  async #giveBack(): Promise<void> {
    if (this.#foreign.length === 0) return;
    const QueueUrl = await this.#urlOf(this.#options.deadLetterQueue);
    for (let handles = this.#foreign.splice(0, MAX_ENTRIES); handles.length > 0;) {
      const Entries = handles.map((ReceiptHandle, index) => ({
        Id: String(index),
        ReceiptHandle,
        VisibilityTimeout: 0,
      }));
      await this.#sdk.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }));
      handles = this.#foreign.splice(0, MAX_ENTRIES);
    }
  }

  async #urlOf(queue: string): Promise<string> {
    const url = await findQueueUrl(this.#sdk, queue);
    if (url === null) throw queueMissing(queue);
    return url;
  }

  async #receive(QueueUrl: string, maxMessages: number): Promise<readonly Message[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: maxMessages,
      WaitTimeSeconds: WAIT_S,
      VisibilityTimeout: VISIBILITY_S,
      MessageSystemAttributeNames: ['All'],
      MessageAttributeNames: ['All'],
    });
    return (await this.#sdk.send(command)).Messages ?? [];
  }

  async #move(messages: readonly Message[], from: string, to: string): Promise<RedriveStep> {
    const { origins, notBefore, queueArn } = this.#options;
    const own = messages.filter((message) => isFrom(queueArn, message));
    for (const message of messages)
      if (!own.includes(message)) this.#foreign.push(message.ReceiptHandle ?? '');
    const origin = new Map(own.map((message) => [message, originOf(message, origins)]));
    const young = [...origin].filter(([, { sentAt }]) => sentAt >= notBefore);
    const returns = young.map(([message, first]) => returnOf(message, first, origins));
    const sendable = returns.filter(isSendable);
    const arrived = await this.#send(to, sendable);
    if (arrived.length > 0) {
      const Entries = arrived.map(({ handle }, index) => ({ Id: String(index), ReceiptHandle: handle }));
      // One that is not deleted comes again, and is sent again: a duplicate, by its origin.
      await this.#sdk.send(new DeleteMessageBatchCommand({ QueueUrl: from, Entries }));
    }
    return {
      received: messages.length,
      redriven: arrived.length,
      otherQueues: messages.length - own.length,
      tooOld: own.length - young.length,
      tooLarge: returns.length - sendable.length,
      failed: sendable.length - arrived.length,
    };
  }

  /** Sends as many as one call may carry, call after call; returns those that arrived. */
  async #send(QueueUrl: string, returns: readonly Return[]): Promise<readonly Return[]> {
    const arrived: Return[] = [];
    for (const group of inCalls(returns)) {
      const Entries = group.map(({ entry }, index) => ({ ...entry, Id: String(index) }));
      const answer = await this.#sdk.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
      const results = entryResults(group.length, answer);
      arrived.push(...group.filter((_, index) => results[index] === 'done'));
    }
    return arrived;
  }
}

/** Whether that queue has put the message there; one that was sent there by hand says nothing of it, and counts as its own. */
function isFrom(queueArn: string, { Attributes = {} }: Message): boolean {
  const { DeadLetterQueueSourceArn: source = queueArn } = Attributes;
  return source === queueArn;
}

function isSendable({ bytes, entry }: Return): boolean {
  return bytes <= MAX_BYTES && Object.keys(entry.MessageAttributes ?? {}).length <= MAX_ATTRIBUTES;
}

/** Where a message was first sent: one that has been redriven before keeps what it was given then. */
function originOf(message: Message, origins: OriginSealer): Origin {
  const { id: messageId, sentAt, body, attributes } = rawMessage(message);
  const sealed = attributes[ORIGIN_ATTRIBUTE];
  return (sealed === undefined ? null : origins.open(sealed, body)) ?? { messageId, sentAt };
}

function returnOf(message: Message, origin: Origin, origins: OriginSealer): Return {
  const { Body = '', ReceiptHandle = '', Attributes = {}, MessageAttributes = {} } = message;
  const attributes: { [name: string]: MessageAttributeValue } = {
    ...MessageAttributes,
    [ORIGIN_ATTRIBUTE]: { DataType: 'String', StringValue: origins.seal(origin, Body) },
  };
  // Fair standard queues have groups too.
  const { MessageGroupId, SequenceNumber } = Attributes;
  const group = MessageGroupId === undefined ? {} : { MessageGroupId };
  // A new one each time: within five minutes SQS would take a known one for sent, and drop the message.
  const fifo = SequenceNumber === undefined ? {} : { MessageDeduplicationId: randomUUID() };
  return {
    handle: ReceiptHandle,
    entry: { MessageBody: Body, MessageAttributes: attributes, ...group, ...fifo },
    bytes: Buffer.byteLength(Body) + bytesOf(attributes),
  };
}

/** Name, type and value of each attribute count as part of the message. */
function bytesOf(attributes: { readonly [name: string]: MessageAttributeValue }): number {
  return Object.entries(attributes).reduce(
    (sum, [name, { DataType = '', StringValue = '', BinaryValue }]) =>
      sum +
      Buffer.byteLength(name) +
      Buffer.byteLength(DataType) +
      Buffer.byteLength(StringValue) +
      (BinaryValue?.length ?? 0),
    0,
  );
}

function inCalls(returns: readonly Return[]): readonly (readonly Return[])[] {
  const calls: Return[][] = [];
  let bytes = Infinity;
  for (const one of returns) {
    if (bytes + one.bytes > MAX_BYTES) {
      calls.push([]);
      bytes = 0;
    }
    calls.at(-1)?.push(one);
    bytes += one.bytes;
  }
  return calls;
}
