import { hash } from 'node:crypto';
import { ReceiveMessageCommand, type SQSClient } from '@aws-sdk/client-sqs';
import { StandardRetryStrategy, isThrottlingError, isTransientError } from '@smithy/core/retry';
import aws4 from 'aws4';
import { packageVersion } from '../version.js';
import { type Answer, Site, type SiteAddress } from './exchange.js';
import { parsedOrNull } from './json-text.js';
import type { AnsweredMessage, BatchAnswer } from './sqs-answers.js';
import type { SqsWire, WireOptions } from './sqs-wire.js';

/** AWS JSON 1.0 (Amazon SQS Developer Guide, "Making requests using the AWS JSON protocol"). */
const CONTENT_TYPE = 'application/x-amz-json-1.0';
/** A clock that is this far off is corrected, as by the SDK: SQS refuses what was signed 15 minutes ago. */
const MAX_SKEW_MS = 300_000;
const UNREADABLE = 'UnreadableAnswer';

type RetryToken = Awaited<ReturnType<StandardRetryStrategy['refreshRetryTokenForRetry']>>;
type JsonObject = Readonly<{ [key: string]: unknown }>;

/** Where calls go, as the SDK has resolved it. */
interface Place {
  readonly site: Site;
  readonly region: string;
}

/**
 * The same calls without the SDK's layers: one request by undici, signed by aws4. Endpoint, region, credentials
 * and retries stay the SDK's, asked of `sdk`, which is closed with it. At ten messages a call it costs about a quarter
 * of the CPU (docs/benchmarks.md).
 */
export function leanWire(sdk: SQSClient, maxAttempts: number, maxSockets: number): SqsWire {
  return new LeanWire(sdk, maxAttempts, maxSockets);
}

class LeanWire implements SqsWire {
  readonly #sdk: SQSClient;
  readonly #retries: StandardRetryStrategy;
  readonly #maxSockets: number;
  readonly #userAgent = `maskline/${packageVersion()}`;
  #place: Promise<Place> | null = null;
  /** How far the clock of SQS is ahead of ours, once that has made a difference. */
  #skewMs = 0;

  constructor(sdk: SQSClient, maxAttempts: number, maxSockets: number) {
    this.#sdk = sdk;
    this.#retries = new StandardRetryStrategy(maxAttempts);
    this.#maxSockets = maxSockets;
  }

  async receive(input: object, options: WireOptions): Promise<readonly AnsweredMessage[]> {
    const { Messages: messages = [] } = await this.#send('ReceiveMessage', input, options);
    if (!Array.isArray(messages)) throw new CallError(UNREADABLE, 200);
    return messages.map(checkedMessage);
  }

  deleteBatch(input: object, options: WireOptions): Promise<BatchAnswer> {
    return this.#send('DeleteMessageBatch', input, options);
  }

  changeVisibilityBatch(input: object, options: WireOptions): Promise<BatchAnswer> {
    return this.#send('ChangeMessageVisibilityBatch', input, options);
  }

  close(): void {
    this.#place?.then(
      ({ site }) => site.close(),
      () => undefined,
    );
    this.#sdk.destroy();
  }

  /** One call and its repeats, by the rules of the SDK: which errors, after how long, and within one budget for all. */
  async #send(action: string, input: object, options: WireOptions): Promise<JsonObject> {
    const body = JSON.stringify(input);
    let token: RetryToken | null = null;
    for (;;) {
      try {
        const answer = await this.#try(action, body, options);
        if (token !== null) this.#retries.recordSuccess(token);
        return answer;
      } catch (error) {
        token = options.abortSignal.aborted ? null : await this.#repeat(token, error);
        if (token === null) throw error;
      }
    }
  }

  /** Resolves after the wait that is due; to null when it is not to be repeated. */
  async #repeat(token: RetryToken | null, error: unknown): Promise<RetryToken | null> {
    if (!isSdkError(error)) return null;
    const isThrottled = isThrottlingError(error);
    if (!isThrottled && !isTransientError(error)) return null;
    const errorType = isThrottled ? 'THROTTLING' : 'TRANSIENT';
    try {
      const last = token ?? (await this.#retries.acquireInitialRetryToken('sqs'));
      return await this.#retries.refreshRetryTokenForRetry(last, { errorType });
    } catch {
      return null;
    }
  }

  async #try(action: string, body: string, options: WireOptions): Promise<JsonObject> {
    const { site, region } = await this.#resolved();
    const credentials = await this.#sdk.config.credentials();
    const { sessionToken } = credentials;
    const headers = {
      Host: site.host,
      'Content-Length': String(Buffer.byteLength(body)),
      'Content-Type': CONTENT_TYPE,
      'User-Agent': this.#userAgent,
      'X-Amz-Date': amzDate(Date.now() + this.#skewMs),
      'X-Amz-Target': `AmazonSQS.${action}`,
      ...(sessionToken === undefined ? {} : { 'X-Amz-Security-Token': sessionToken }),
    };
    const request = { service: 'sqs', region, method: 'POST', path: site.path, headers, body };
    const { Authorization } = aws4.sign(request, credentials).headers ?? {};
    const signed = { ...headers, Authorization: String(Authorization) };
    const answer = await site.post(signed, body, options.requestTimeout, options.abortSignal);
    const parsed = parsedOrNull(answer.text);
    if (answer.status === 200 && isObject(parsed)) return parsed;
    const mended = this.#mendClock(answer);
    throw new CallError(errorCode(answer, parsed), answer.status, mended);
  }

  /** A refusal may be for our clock: from then on it is signed by theirs. Returns whether that has changed. */
  #mendClock({ status, headers }: Answer): boolean {
    const skewMs = Date.parse(String(headers['date'])) - Date.now();
    if (status < 400 || status >= 500 || !(Math.abs(skewMs - this.#skewMs) >= MAX_SKEW_MS)) return false;
    this.#skewMs = skewMs;
    return true;
  }

  #resolved(): Promise<Place> {
    this.#place ??= resolvePlace(this.#sdk, this.#maxSockets).catch((error: unknown) => {
      this.#place = null;
      throw error;
    });
    return this.#place;
  }
}

/** An answer that is none, as the SDK's errors are shaped: its code, and no text, which might quote a body. */
class CallError extends Error {
  readonly $metadata: { readonly httpStatusCode: number; readonly clockSkewCorrected?: true };

  constructor(code: string, status: number, isClockMended = false) {
    super('');
    this.name = code;
    this.$metadata = { httpStatusCode: status, ...(isClockMended ? { clockSkewCorrected: true } : {}) };
  }
}

/** What the SDK would call: a command is let go as far as its client resolves that, and no further. */
async function resolvePlace(sdk: SQSClient, maxSockets: number): Promise<Place> {
  let address: SiteAddress | null = null;
  const command = new ReceiveMessageCommand({ QueueUrl: undefined });
  command.middlewareStack.add(
    () => (args) => {
      address = addressOf(args.request);
      return Promise.resolve({ response: null, output: { $metadata: {} } });
    },
    { step: 'finalizeRequest', priority: 'high' },
  );
  await sdk.send(command);
  if (address === null) throw new CallError('NoEndpoint', 0);
  return { site: new Site(address, maxSockets), region: await sdk.config.region() };
}

/** Of a request that the SDK has built. */
function addressOf(request: unknown): SiteAddress | null {
  if (!isObject(request)) return null;
  const { protocol, hostname, port, path } = request;
  if (typeof hostname !== 'string') return null;
  return {
    isTls: protocol !== 'http:',
    hostname,
    port: typeof port === 'number' ? port : null,
    path: typeof path === 'string' ? path : '/',
  };
}

/** By its `__type`, com.amazonaws.sqs#QueueDoesNotExist; by the header of the protocol before; or by its status. */
function errorCode({ status, headers }: Answer, body: unknown): string {
  if (status === 200) return UNREADABLE;
  const type = isObject(body) ? body['__type'] : undefined;
  if (typeof type === 'string') return type.slice(type.lastIndexOf('#') + 1);
  const [queryError] = [headers['x-amzn-query-error']].flat();
  return queryError?.split(';')[0] ?? `HTTP${status}`;
}

/** What was changed on its way is no message (MD5OfBody, Amazon SQS API Reference). */
function checkedMessage(message: AnsweredMessage): AnsweredMessage {
  const { Body: body = '', MD5OfBody: md5 } = message;
  if (hash('md5', body) !== md5) throw new CallError('MD5 mismatch', 200);
  return message;
}

/** Errors of sockets and ours are as the SDK's are, or lack what is asked for. */
function isSdkError(error: unknown): error is Parameters<typeof isTransientError>[0] {
  return error instanceof Error;
}

/** As SigV4 writes it: 20261122T015300Z. */
function amzDate(ms: number): string {
  const [date = '', time = ''] = new Date(ms).toISOString().split('T');
  return `${date.replaceAll('-', '')}T${time.slice(0, 8).replaceAll(':', '')}Z`;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
