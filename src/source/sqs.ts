import { setMaxListeners } from 'node:events';
import {
  GetQueueAttributesCommand,
  type MessageSystemAttributeName,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { PipelineError } from '../errors.js';
import type {
  EntryResult,
  PollOptions,
  QueueAttributes,
  QueueClient,
  RawMessage,
  VisibilityChange,
} from './queue-client.js';
import { findQueueUrl, sdkClient, sqsPlace } from './sqs-sdk.js';
import { leanWire } from './sqs-lean.js';
import { type SqsWire, type WireOptions, sdkWire } from './sqs-wire.js';
import { entryResults, queueAttributes, rawMessage } from './sqs-answers.js';
import { queueMissing, saysMissing, sqsError } from './sqs-errors.js';

/** Where the queue is and how many polls it will see. */
export interface SqsOptions {
  /** URL, ARN or name. */
  readonly queue: string;
  /** Used where the queue's address names no region. */
  readonly region: string;
  /** Null: the SDK's own resolution, or the origin of a URL that isn't AWS's public one. */
  readonly endpoint: string | null;
  readonly receivers: number;
  /** Default `lean`. */
  readonly transport?: SqsTransport;
}

/** How messages are received and settled: `lean` costs a fraction, `sdk` leaves every call to the AWS SDK. */
export type SqsTransport = 'lean' | 'sdk';

/** An answer takes at most this long, on top of the time that a poll waits. */
const ANSWER_TIMEOUT_MS = 10_000;
/** The longest that SQS lets a poll wait. */
const MAX_WAIT_S = 20;
/** Connections for all calls but polls: more than acks (16) and the heartbeat (8) ever have under way. */
const CONTROL_SOCKETS = 32;
/** A control call is repeated at once when a kept-alive connection turns out to be dead; polls have their own loop. */
const CONTROL_ATTEMPTS = 3;
const POLL_ATTEMPTS = 1;
/** What `rawMessage` reads, and no more. */
const SYSTEM_ATTRIBUTES: MessageSystemAttributeName[] = [
  'SentTimestamp',
  'ApproximateReceiveCount',
  'MessageGroupId',
  'SequenceNumber',
  'DeadLetterQueueSourceArn',
  'AWSTraceHeader',
];

/**
 * A queue over the AWS SDK. Credentials come from the SDK's own chain and are never set here, so an emulator needs
 * some (any) in the environment too. Polls have connections of their own: nothing ever waits behind a long poll.
 */
export function createSqsClient(options: SqsOptions): QueueClient {
  return new SqsQueueClient(options);
}

class SqsQueueClient implements QueueClient {
  readonly queue: string;
  readonly #polls: SqsWire;
  readonly #control: SqsWire;
  /** Of the control wire, for the calls that no message has a share of. */
  readonly #sdk: SQSClient;
  /** Ends control calls that are under way when it is closed: an SDK that waits for an answer keeps the process. */
  readonly #closing = new AbortController();
  #url: Promise<string | null> | null;

  constructor({ queue, region, endpoint, receivers, transport = 'lean' }: SqsOptions) {
    const place = sqsPlace(queue, { region, endpoint });
    this.queue = queue;
    // One for each call under way; Node takes more than ten for a leak.
    setMaxListeners(0, this.#closing.signal);
    this.#url = null;
    const wire = transport === 'lean' ? leanWire : sdkWire;
    this.#sdk = sdkClient(place, CONTROL_ATTEMPTS, CONTROL_SOCKETS, ANSWER_TIMEOUT_MS);
    this.#control = wire(this.#sdk, CONTROL_ATTEMPTS, CONTROL_SOCKETS);
    const polling = sdkClient(place, POLL_ATTEMPTS, receivers, MAX_WAIT_S * 1_000 + ANSWER_TIMEOUT_MS);
    this.#polls = wire(polling, POLL_ATTEMPTS, receivers);
  }

  async receive(options: PollOptions, signal: AbortSignal): Promise<readonly RawMessage[]> {
    return this.#call('ReceiveMessage', signal, async (QueueUrl) => {
      const input = {
        QueueUrl,
        MaxNumberOfMessages: options.maxMessages,
        WaitTimeSeconds: options.waitS,
        VisibilityTimeout: options.visibilityS,
        MessageSystemAttributeNames: SYSTEM_ATTRIBUTES,
        MessageAttributeNames: ['All'],
      };
      const requestTimeout = options.waitS * 1_000 + ANSWER_TIMEOUT_MS;
      const messages = await this.#polls.receive(input, { abortSignal: signal, requestTimeout });
      return messages.map(rawMessage);
    });
  }

  async deleteBatch(handles: readonly string[]): Promise<readonly EntryResult[]> {
    return this.#call('DeleteMessageBatch', null, async (QueueUrl) => {
      const Entries = handles.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
      return entryResults(
        handles.length,
        await this.#control.deleteBatch({ QueueUrl, Entries }, this.#untilClosed),
      );
    });
  }

  async changeVisibilityBatch(changes: readonly VisibilityChange[]): Promise<readonly EntryResult[]> {
    return this.#call('ChangeMessageVisibilityBatch', null, async (QueueUrl) => {
      const Entries = changes.map(({ handle, seconds }, index) => ({
        Id: String(index),
        ReceiptHandle: handle,
        VisibilityTimeout: seconds,
      }));
      const answer = await this.#control.changeVisibilityBatch({ QueueUrl, Entries }, this.#untilClosed);
      return entryResults(changes.length, answer);
    });
  }

  async attributes(): Promise<QueueAttributes | null> {
    try {
      const QueueUrl = await this.#queueUrl();
      if (QueueUrl === null) return null;
      const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] });
      const { Attributes = {} } = await this.#sdk.send(command, this.#untilClosed);
      return queueAttributes(Attributes);
    } catch (error) {
      if (saysMissing(error)) return null;
      throw sqsError(error, 'GetQueueAttributes', this.queue);
    }
  }

  close(): void {
    this.#closing.abort();
    this.#polls.close();
    this.#control.close();
  }

  get #untilClosed(): WireOptions {
    return { abortSignal: this.#closing.signal, requestTimeout: ANSWER_TIMEOUT_MS };
  }

  async #call<T>(
    name: string,
    signal: AbortSignal | null,
    work: (queueUrl: string) => Promise<T>,
  ): Promise<T> {
    try {
      const url = await this.#queueUrl();
      if (url === null) throw queueMissing(this.queue);
      return await work(url);
    } catch (error) {
      if (signal?.aborted) throw new PipelineError('canceled', `${name} on queue ${this.queue} was cut`);
      throw sqsError(error, name, this.queue);
    }
  }

  /** Asked for once; a queue that is missing is asked for again, it may come. */
  async #queueUrl(): Promise<string | null> {
    this.#url ??= findQueueUrl(this.#sdk, this.queue, this.#untilClosed);
    try {
      const url = await this.#url;
      if (url === null) this.#url = null;
      return url;
    } catch (error) {
      this.#url = null;
      throw error;
    }
  }
}
