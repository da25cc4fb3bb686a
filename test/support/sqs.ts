import { type SqsServer, startSqs } from '../../src/embedded/sqs.js';
import type { QueueClient } from '../../src/source/queue-client.js';
import { type SqsTransport, createSqsClient } from '../../src/source/sqs.js';
import { NotingSqsProxy } from './sqs-fault-proxy.js';

/** The emulator behind a proxy that can misbehave, and clients that are closed with it. */
export interface TestSqs {
  readonly server: SqsServer;
  readonly proxy: NotingSqsProxy;
  /** Of the proxy. */
  readonly endpoint: string;
  /** A queue of a name that no other test has; returns the name. */
  queue(attributes?: Readonly<{ [name: string]: string }>, suffix?: string): Promise<string>;
  client(queue: string, options?: { readonly receivers?: number }): QueueClient;
  stop(): Promise<void>;
}

/** Starts both on free ports. The emulator takes any credentials, but the SDK sends nothing without some. */
export async function startTestSqs(transport: SqsTransport = 'lean'): Promise<TestSqs> {
  process.env['AWS_ACCESS_KEY_ID'] ??= 'test';
  process.env['AWS_SECRET_ACCESS_KEY'] ??= 'test';
  const server = await startSqs();
  const proxy = new NotingSqsProxy(server.port);
  const endpoint = await proxy.start();
  const clients: QueueClient[] = [];
  let queues = 0;
  return {
    server,
    proxy,
    endpoint,
    queue: async (attributes = {}, suffix = '') => {
      queues += 1;
      const name = `queue-${queues}${suffix}`;
      await server.createQueue(name, attributes);
      return name;
    },
    client: (queue, { receivers = 8 } = {}) => {
      const client = createSqsClient({ queue, region: server.region, endpoint, receivers, transport });
      clients.push(client);
      return client;
    },
    stop: async () => {
      for (const client of clients) client.close();
      await proxy.stop();
      await server.stop();
    },
  };
}
