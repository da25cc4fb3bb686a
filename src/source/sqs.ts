import { type Hash as NodeHash, createHash } from 'node:crypto';
import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SQSClient,
  type SQSClientConfig,
} from '@aws-sdk/client-sqs';
import { PipelineError } from '../errors.js';
import { queueAddress } from './queue-address.js';
import type {
  EntryResult,
  PollOptions,
  QueueAttributes,
  QueueClient,
  RawMessage,
  VisibilityChange,
} from './queue-client.js';
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
}

const CONNECT_TIMEOUT_MS = 5_000;
/** An answer takes at most this long, on top of the time that a poll waits. */
const ANSWER_TIMEOUT_MS = 10_000;
/** The longest that SQS lets a poll wait. */
const MAX_WAIT_S = 20;
/** Connections for all calls but polls: more than acks (16) and the heartbeat (8) ever have under way. */
const CONTROL_SOCKETS = 32;
/** A control call is repeated at once when a kept-alive connection turns out to be dead; polls have their own loop. */
const CONTROL_ATTEMPTS = 3;
const POLL_ATTEMPTS = 1;

/**
 * A queue over the AWS SDK. Credentials come from the SDK's own chain and are never set here, so an emulator needs
 * some (any) in the environment too. Polls have connections of their own: nothing ever waits behind a long poll.
 */
export function createSqsClient(options: SqsOptions): QueueClient {
  return new SqsQueueClient(options);
}

class SqsQueueClient implements QueueClient {
  readonly queue: string;
  readonly #polls: SQSClient;
  readonly #control: SQSClient;
  #url: Promise<string | null> | null;

  constructor({ queue, region, endpoint, receivers }: SqsOptions) {
    const address = queueAddress(queue);
    const place = {
      region: address.region ?? region,
      endpoint: endpoint ?? address.endpoint,
    };
    this.queue = queue;
    this.#url = address.url === null ? null : Promise.resolve(address.url);
    this.#polls = sdkClient(place, POLL_ATTEMPTS, receivers, MAX_WAIT_S * 1_000 + ANSWER_TIMEOUT_MS);
    this.#control = sdkClient(place, CONTROL_ATTEMPTS, CONTROL_SOCKETS, ANSWER_TIMEOUT_MS);
  }

  async receive(options: PollOptions, signal: AbortSignal): Promise<readonly RawMessage[]> {
    return this.#call('ReceiveMessage', signal, async (QueueUrl) => {
      const command = new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: options.maxMessages,
        WaitTimeSeconds: options.waitS,
        VisibilityTimeout: options.visibilityS,
        MessageSystemAttributeNames: ['All'],
        MessageAttributeNames: ['All'],
      });
      const requestTimeout = options.waitS * 1_000 + ANSWER_TIMEOUT_MS;
      const { Messages: messages = [] } = await this.#polls.send(command, {
        abortSignal: signal,
        requestTimeout,
      });
      return messages.map(rawMessage);
    });
  }

  async deleteBatch(handles: readonly string[]): Promise<readonly EntryResult[]> {
    return this.#call('DeleteMessageBatch', null, async (QueueUrl) => {
      const Entries = handles.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
      return entryResults(
        handles.length,
        await this.#control.send(new DeleteMessageBatchCommand({ QueueUrl, Entries })),
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
      const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries });
      return entryResults(changes.length, await this.#control.send(command));
    });
  }

  async attributes(): Promise<QueueAttributes | null> {
    try {
      const QueueUrl = await this.#queueUrl();
      if (QueueUrl === null) return null;
      const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] });
      return queueAttributes((await this.#control.send(command)).Attributes ?? {});
    } catch (error) {
      if (saysMissing(error)) return null;
      throw sqsError(error, 'GetQueueAttributes', this.queue);
    }
  }

  close(): void {
    this.#polls.destroy();
    this.#control.destroy();
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
    this.#url ??= this.#findUrl();
    try {
      const url = await this.#url;
      if (url === null) this.#url = null;
      return url;
    } catch (error) {
      this.#url = null;
      throw error;
    }
  }

  async #findUrl(): Promise<string | null> {
    const { name, account } = queueAddress(this.queue);
    const owner = account === null ? {} : { QueueOwnerAWSAccountId: account };
    try {
      const { QueueUrl } = await this.#control.send(new GetQueueUrlCommand({ QueueName: name, ...owner }));
      return QueueUrl ?? null;
    } catch (error) {
      if (saysMissing(error)) return null;
      throw sqsError(error, 'GetQueueUrl', this.queue);
    }
  }
}

function sdkClient(
  { region, endpoint }: { readonly region: string; readonly endpoint: string | null },
  maxAttempts: number,
  maxSockets: number,
  requestTimeout: number,
): SQSClient {
  const agent = { keepAlive: true, maxSockets };
  const config: SQSClientConfig = {
    region,
    maxAttempts,
    md5: NativeMd5,
    // Emulators and VPC endpoints answer GetQueueUrl with hosts that need not resolve from here.
    useQueueUrlAsEndpoint: false,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent,
    },
    ...(endpoint === null ? {} : { endpoint }),
  };
  return new SQSClient(config);
}

/** Checks the body of what is received with OpenSSL's MD5: the SDK's own is written in JavaScript. */
class NativeMd5 {
  readonly #hash: NodeHash = createHash('md5');

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    if (typeof data === 'string') this.#hash.update(data, 'utf8');
    else if (ArrayBuffer.isView(data))
      this.#hash.update(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    else this.#hash.update(Buffer.from(data));
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest());
  }
}
