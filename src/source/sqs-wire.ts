import {
  ChangeMessageVisibilityBatchCommand,
  type ChangeMessageVisibilityBatchCommandInput,
  DeleteMessageBatchCommand,
  type DeleteMessageBatchCommandInput,
  ReceiveMessageCommand,
  type ReceiveMessageCommandInput,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import type { AnsweredMessage, BatchAnswer } from './sqs-answers.js';

/** How one call is cut, and after how many milliseconds without an answer it has failed. */
export interface WireOptions {
  readonly abortSignal: AbortSignal;
  readonly requestTimeout: number;
}

/**
 * The three calls that every message has its share of, over one set of connections. Each rejects with what
 * `sqsError` can read, when the retries of the client that it was made from are used up.
 */
export interface SqsWire {
  receive(input: ReceiveMessageCommandInput, options: WireOptions): Promise<readonly AnsweredMessage[]>;
  deleteBatch(input: DeleteMessageBatchCommandInput, options: WireOptions): Promise<BatchAnswer>;
  changeVisibilityBatch(
    input: ChangeMessageVisibilityBatchCommandInput,
    options: WireOptions,
  ): Promise<BatchAnswer>;
  /** Closes its connections, also those in use. Safe twice. */
  close(): void;
}

/** The SDK as it comes. Its client is closed with it. */
export function sdkWire(sdk: SQSClient): SqsWire {
  return {
    receive: async (input, options) => {
      const { Messages: messages = [] } = await sdk.send(new ReceiveMessageCommand(input), options);
      return messages;
    },
    deleteBatch: (input, options) => sdk.send(new DeleteMessageBatchCommand(input), options),
    changeVisibilityBatch: (input, options) =>
      sdk.send(new ChangeMessageVisibilityBatchCommand(input), options),
    close: () => sdk.destroy(),
  };
}
