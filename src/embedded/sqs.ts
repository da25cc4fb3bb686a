import { randomUUID } from 'node:crypto';
import { PipelineError } from '../errors.js';
import { Redelivery } from './sqs-redelivery.js';

/** Messages of one SendMessageBatch. */
const MAX_ENTRIES = 10;
/** Bytes of one SendMessageBatch, all bodies together, with room for what is around them. */
const MAX_BATCH_BYTES = 900_000;
/** Batches under way at once: more brings nothing, since server and sender share a process. */
const PARALLEL_SENDS = 8;
const DEFAULT_REMEMBERED = 10_000;
const DEFAULT_REGION = 'us-east-1';

/** How the emulator is started. */
export interface SqsServerOptions {
  /** Default: any free port. */
  readonly port?: number;
  readonly region?: string;
  /** Messages of each queue, the most recently received, that `redeliver` can bring back. Default 10,000. */
  readonly remember?: number;
}

/** A message to send. */
export interface OutgoingMessage {
  readonly body: string;
  /** String attributes. */
  readonly attributes?: Readonly<{ [name: string]: string }>;
  /** FIFO queues need one. */
  readonly groupId?: string;
  readonly delayS?: number;
}

/** An SQS emulator in this process, on loopback only, which takes any credentials. Its messages die with it. */
export interface SqsServer {
  /** For `source.sqs.endpoint`, and AWS_ENDPOINT_URL_SQS. */
  readonly endpoint: string;
  readonly port: number;
  readonly region: string;
  /** Returns the queue's URL; it is meant for use with `endpoint`, since its host need not resolve. */
  createQueue(name: string, attributes?: Readonly<{ [name: string]: string }>): Promise<string>;
  queueUrl(name: string): Promise<string>;
  queueArn(name: string): string;
  /** Returns the message ids, in order. */
  send(name: string, messages: readonly OutgoingMessage[]): Promise<readonly string[]>;
  /**
   * Brings messages that were received before once more, under the same id and SentTimestamp, deleted or not.
   * Returns how many; throws for ids that were not received or are forgotten.
   */
  redeliver(name: string, messageIds: readonly string[] | 'all'): Promise<number>;
  /** Closes all connections, also of polls under way. Safe twice. */
  stop(): Promise<void>;
}

/** The part of fauxqs that is used. It is an optional dependency, so its own types may not be there to compile with. */
interface FauxqsApp {
  addHook(
    name: 'onSend',
    hook: (request: FauxqsRequest, reply: unknown, payload: unknown) => Promise<unknown>,
  ): void;
  inject(request: {
    readonly method: 'POST';
    readonly url: string;
    readonly headers: Readonly<{ [name: string]: string }>;
    readonly payload: string;
  }): Promise<{ readonly statusCode: number; readonly body: string }>;
  listen(at: { readonly host: string; readonly port: number }): Promise<string>;
  close(): Promise<void>;
}

interface FauxqsRequest {
  readonly headers: Readonly<{ [name: string]: string | string[] | undefined }>;
  readonly body: unknown;
}

/**
 * Starts fauxqs, the emulator, over real HTTP. It differs from SQS in ways that matter to tests: a FIFO queue gives
 * one message of a group at a time, there is no limit in flight, and a delete by a wrong handle succeeds.
 * Throws `usage` when the optional dependency is not installed.
 */
export async function startSqs(options: SqsServerOptions = {}): Promise<SqsServer> {
  const { port = 0, region = DEFAULT_REGION, remember = DEFAULT_REMEMBERED } = options;
  const buildApp = await loadFauxqs();
  const app = buildApp({ logger: false, defaultRegion: region });
  const redelivery = new Redelivery(remember);
  app.addHook('onSend', async ({ headers, body }, _reply, payload) => {
    if (headers['x-amz-target'] !== 'AmazonSQS.ReceiveMessage' || typeof payload !== 'string') return payload;
    await redelivery.settled();
    return redelivery.rewrite(urlIn(body), payload);
  });
  const url = new URL(await listening(app, port));
  return new FauxqsServer(app, redelivery, { endpoint: url.origin, port: Number(url.port), region });
}

class FauxqsServer implements SqsServer {
  readonly endpoint: string;
  readonly port: number;
  readonly region: string;
  readonly #app: FauxqsApp;
  readonly #redelivery: Redelivery;
  #stopped: Promise<void> | null = null;

  constructor(
    app: FauxqsApp,
    redelivery: Redelivery,
    at: { readonly endpoint: string; readonly port: number; readonly region: string },
  ) {
    this.#app = app;
    this.#redelivery = redelivery;
    this.endpoint = at.endpoint;
    this.port = at.port;
    this.region = at.region;
  }

  async createQueue(name: string, attributes: Readonly<{ [name: string]: string }> = {}): Promise<string> {
    return urlIn(await this.#call('CreateQueue', { QueueName: name, Attributes: attributes }));
  }

  async queueUrl(name: string): Promise<string> {
    return urlIn(await this.#call('GetQueueUrl', { QueueName: name }));
  }

  queueArn(name: string): string {
    return `arn:aws:sqs:${this.region}:000000000000:${name}`;
  }

  async send(name: string, messages: readonly OutgoingMessage[]): Promise<readonly string[]> {
    const QueueUrl = await this.queueUrl(name);
    const chunks = chunksOf(messages);
    const ids: string[][] = chunks.map(() => []);
    let next = 0;
    const sender = async (): Promise<void> => {
      for (let index = next++; index < chunks.length; index = next++) {
        const Entries = (chunks[index] ?? []).map((message, at) => ({
          Id: String(at),
          ...outgoing(message),
        }));
        ids[index] = sentIds(await this.#call('SendMessageBatch', { QueueUrl, Entries }), Entries.length);
      }
    };
    // One sender keeps the order, which FIFO queues are about.
    const senders = name.endsWith('.fifo') ? 1 : PARALLEL_SENDS;
    await Promise.all(Array.from({ length: senders }, sender));
    return ids.flat();
  }

  async redeliver(name: string, messageIds: readonly string[] | 'all'): Promise<number> {
    const QueueUrl = await this.queueUrl(name);
    const ids = messageIds === 'all' ? this.#redelivery.remembered(QueueUrl) : messageIds;
    await this.#redelivery.sending(async () => {
      for (const id of ids) await this.#sendAgain(name, QueueUrl, id);
    });
    return ids.length;
  }

  async stop(): Promise<void> {
    this.#stopped ??= this.#app.close();
    await this.#stopped;
  }

  async #sendAgain(name: string, QueueUrl: string, messageId: string): Promise<void> {
    const copy = this.#redelivery.copyOf(QueueUrl, messageId);
    if (copy === null) {
      throw new PipelineError(
        'usage',
        `message ${messageId} of queue ${name} was not received, or too long ago`,
      );
    }
    const sent = await this.#call('SendMessage', {
      QueueUrl,
      MessageBody: copy.body,
      MessageAttributes: copy.messageAttributes,
      ...(copy.groupId === null
        ? {}
        : { MessageGroupId: copy.groupId, MessageDeduplicationId: randomUUID() }),
    });
    this.#redelivery.alias(QueueUrl, textIn(sent, 'MessageId'), messageId);
  }

  /** One API call, inside the process. */
  async #call(action: string, input: object): Promise<unknown> {
    const { statusCode, body } = await this.#app.inject({
      method: 'POST',
      url: '/',
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': `AmazonSQS.${action}`,
        host: `127.0.0.1:${this.port}`,
      },
      payload: JSON.stringify(input),
    });
    const answer: unknown = JSON.parse(body);
    if (statusCode === 200) return answer;
    throw new PipelineError('usage', `the SQS emulator refused ${action}: ${textIn(answer, '__type')}`);
  }
}

async function listening(app: FauxqsApp, port: number): Promise<string> {
  try {
    return await app.listen({ host: '127.0.0.1', port });
  } catch (cause) {
    throw new PipelineError('usage', `the SQS emulator can't listen on port ${port} of 127.0.0.1`, { cause });
  }
}

/** `import.meta.resolve` rather than a plain import: the compiler must not need an optional dependency. */
async function loadFauxqs(): Promise<(options: object) => FauxqsApp> {
  let module: unknown;
  try {
    module = await import(import.meta.resolve('fauxqs'));
  } catch (cause) {
    throw new PipelineError('usage', 'the SQS emulator is not installed: run `npm install fauxqs@1.9.2`', {
      cause,
    });
  }
  if (typeof module === 'object' && module !== null && 'buildApp' in module && isBuildApp(module.buildApp)) {
    return module.buildApp;
  }
  throw new PipelineError(
    'usage',
    'this version of fauxqs has no buildApp(): run `npm install fauxqs@1.9.2`',
  );
}

function isBuildApp(value: unknown): value is (options: object) => FauxqsApp {
  return typeof value === 'function';
}

function chunksOf(messages: readonly OutgoingMessage[]): readonly (readonly OutgoingMessage[])[] {
  const chunks: OutgoingMessage[][] = [];
  let bytes = Infinity;
  for (const message of messages) {
    const size = Buffer.byteLength(message.body);
    const last = chunks.at(-1);
    if (last === undefined || last.length === MAX_ENTRIES || bytes + size > MAX_BATCH_BYTES) {
      chunks.push([message]);
      bytes = size;
    } else {
      last.push(message);
      bytes += size;
    }
  }
  return chunks;
}

function outgoing({ body, attributes = {}, groupId, delayS }: OutgoingMessage): object {
  const named: { [name: string]: object } = {};
  for (const [name, StringValue] of Object.entries(attributes))
    named[name] = { DataType: 'String', StringValue };
  return {
    MessageBody: body,
    MessageAttributes: named,
    ...(groupId === undefined ? {} : { MessageGroupId: groupId, MessageDeduplicationId: randomUUID() }),
    ...(delayS === undefined ? {} : { DelaySeconds: delayS }),
  };
}

function sentIds(answer: unknown, count: number): string[] {
  const listed =
    typeof answer === 'object' && answer !== null && 'Successful' in answer ? answer.Successful : [];
  const successful: readonly unknown[] = Array.isArray(listed) ? listed : [];
  const byId = new Map(successful.map((entry) => [textIn(entry, 'Id'), textIn(entry, 'MessageId')]));
  if (byId.size !== count)
    throw new PipelineError('usage', `the SQS emulator took ${byId.size} of ${count} messages`);
  return Array.from({ length: count }, (_, index) => byId.get(String(index)) ?? '');
}

function urlIn(value: unknown): string {
  return textIn(value, 'QueueUrl');
}

function textIn(value: unknown, name: string): string {
  const text: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  return typeof text === 'string' ? text : '';
}
