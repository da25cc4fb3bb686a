// What processes ask of SQS, noted on the way; and time that need not be waited for.

import assert from 'node:assert/strict';
import { NotingSqsProxy } from './sqs-fault-proxy.js';
import type { Deployment, Stack } from './stack.js';

/** One message made invisible for so long, or visible at once by 0. */
export interface VisibilityChange {
  readonly handle: string;
  readonly seconds: number;
}

/** The emulator of a stack behind a proxy that notes calls and misbehaves on demand. */
export class NotedSqs {
  readonly proxy: NotingSqsProxy;
  readonly env: { readonly AWS_ENDPOINT_URL_SQS: string };
  readonly #stack: Stack;

  private constructor(stack: Stack, proxy: NotingSqsProxy, endpoint: string) {
    this.#stack = stack;
    this.proxy = proxy;
    this.env = { AWS_ENDPOINT_URL_SQS: endpoint };
  }

  /** To be stopped in `after`. */
  static async start(stack: Stack): Promise<NotedSqs> {
    const proxy = new NotingSqsProxy(stack.sqs.port);
    return new NotedSqs(stack, proxy, await proxy.start());
  }

  stop(): Promise<void> {
    return this.proxy.stop();
  }

  /** The changes of visibility that were asked for on a deployment's queue, in order. */
  changes({ queue }: Deployment): readonly VisibilityChange[] {
    return this.proxy.of('ChangeMessageVisibilityBatch').flatMap(({ input }) => {
      if (!String(input['QueueUrl']).endsWith(`/${queue}`)) return [];
      const entries = input['Entries'] as readonly { ReceiptHandle: string; VisibilityTimeout: number }[];
      return entries.map((entry) => ({ handle: entry.ReceiptHandle, seconds: entry.VisibilityTimeout }));
    });
  }

  /** Makes messages visible now that were released for later, as if that time had passed. */
  async passTime({ queue }: Deployment, changes: readonly VisibilityChange[]): Promise<void> {
    const { sqs } = this.#stack;
    const QueueUrl = await sqs.queueUrl(queue);
    for (const { handle } of changes) {
      const answer = await fetch(sqs.endpoint, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-amz-json-1.0',
          'x-amz-target': 'AmazonSQS.ChangeMessageVisibility',
        },
        body: JSON.stringify({
          QueueUrl,
          ReceiptHandle: handle,
          VisibilityTimeout: 0,
        }),
      });
      assert.equal(answer.status, 200, await answer.text());
    }
  }
}
