import { type Hash as NodeHash, createHash } from 'node:crypto';
import { GetQueueUrlCommand, SQSClient, type SQSClientConfig } from '@aws-sdk/client-sqs';
import { queueAddress } from './queue-address.js';
import { saysMissing, sqsError } from './sqs-errors.js';

/** Longer than any handshake takes; an endpoint that is not there is noticed by then. */
export const CONNECT_TIMEOUT_MS = 5_000;

/** Where a queue is. A null endpoint leaves it to the SDK's own resolution. */
export interface SqsPlace {
  readonly region: string;
  readonly endpoint: string | null;
}

/** Where that queue is: what its address says goes before what is configured, but for a configured endpoint. */
export function sqsPlace(queue: string, configured: SqsPlace): SqsPlace {
  const address = queueAddress(queue);
  return {
    region: address.region ?? configured.region,
    endpoint: configured.endpoint ?? address.endpoint,
  };
}

/** The URL of a queue, which is asked for unless the address is one; null: there is no such queue. */
export async function findQueueUrl(
  sdk: SQSClient,
  queue: string,
  options: { readonly abortSignal?: AbortSignal } = {},
): Promise<string | null> {
  const { url, name, account } = queueAddress(queue);
  if (url !== null) return url;
  const owner = account === null ? {} : { QueueOwnerAWSAccountId: account };
  try {
    const { QueueUrl } = await sdk.send(new GetQueueUrlCommand({ QueueName: name, ...owner }), options);
    return QueueUrl ?? null;
  } catch (error) {
    if (saysMissing(error)) return null;
    throw sqsError(error, 'GetQueueUrl', queue);
  }
}

/** A client of the SDK, set up as every call of ours wants it. */
export function sdkClient(
  { region, endpoint }: SqsPlace,
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
      // That one is for the beginning of an answer; this is for one that begins and never ends.
      socketTimeout: requestTimeout,
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
