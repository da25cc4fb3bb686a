import { MAX_ENTRIES, type QueueClient } from './queue-client.js';

/** A dead-letter queue of which only some queues' messages are received. */
export interface DeadLetters {
  readonly client: QueueClient;
  /** Makes visible again what other queues have put there and was received with the rest. Never rejects. */
  giveBack(): Promise<void>;
}

/**
 * The dead letters of those queues: their dead-letter queue may be that of others too, whose pipelines have their own
 * masks and ledger. What nobody can tell the origin of, sent there by hand, counts as theirs.
 */
export function deadLettersOf(queueArns: readonly string[], client: QueueClient): DeadLetters {
  const foreign: string[] = [];
  return {
    client: {
      queue: client.queue,
      receive: async (options, signal) => {
        const messages = await client.receive(options, signal);
        const isOwn = ({ deadLetterSource }: (typeof messages)[number]): boolean =>
          deadLetterSource === undefined || queueArns.includes(deadLetterSource);
        for (const message of messages) if (!isOwn(message)) foreign.push(message.handle);
        return messages.filter(isOwn);
      },
      deleteBatch: (handles) => client.deleteBatch(handles),
      changeVisibilityBatch: (changes) => client.changeVisibilityBatch(changes),
      attributes: () => client.attributes(),
      close: () => client.close(),
    },
    giveBack: async () => {
      // Not before the end, or the next receive would meet them again.
      while (foreign.length > 0) {
        const changes = foreign.splice(0, MAX_ENTRIES).map((handle) => ({ handle, seconds: 0 }));
        // Otherwise they are visible again by themselves, only later.
        await client.changeVisibilityBatch(changes).catch(() => undefined);
      }
    },
  };
}
