import type { Envelope } from '../batch.js';
import { PipelineError } from '../errors.js';
import { MAX_ENTRIES, type QueueClient, type RawMessage } from '../source/queue-client.js';

/** Messages that were looked at and given back. */
export interface QueueSample {
  readonly envelopes: readonly Envelope[];
  /** Messages that could not be made visible at once: they reappear when their visibility timeout ends. */
  readonly stillHidden: number;
  /** Messages whose next receive is their last, or which the redrive policy moves then. */
  readonly lastReceive: number;
}

/** How long what was received stays hidden should this process die before it gives it back. */
export const HIDDEN_S = 30;
/** Of so few receives, one for a look is too many. */
const FEW_RECEIVES = 3;
const WAIT_S = 1;
/** A poll may come back empty though there are messages, since SQS asks only some of its servers. */
const EMPTY_POLLS = 2;

/**
 * Receives up to `count` messages, deletes none and makes all visible again at once. Each has then been received once
 * more. Throws `source_unfit` when the redrive policy allows few receives, unless told that this is all right, and
 * `sqs_unavailable`.
 */
export async function sampleQueue(
  client: QueueClient,
  count: number,
  isAllowed: boolean,
  now: () => number,
): Promise<QueueSample> {
  const attributes = await client.attributes();
  const most = attributes?.redrive?.maxReceiveCount ?? Number.POSITIVE_INFINITY;
  if (most <= FEW_RECEIVES && !isAllowed) {
    throw new PipelineError(
      'source_unfit',
      `queue ${client.queue} moves messages to its dead-letter queue after ${most} receives, and a look is one of them: ` +
        'say --yes to look in spite of it, or give a file with --sample',
    );
  }
  const messages: RawMessage[] = [];
  let stillHidden = 0;
  try {
    await receiveInto(messages, client, count);
  } finally {
    stillHidden = await giveBack(client, messages);
  }
  return {
    envelopes: messages.map((message) => envelopeOf(message, now())),
    stillHidden,
    lastReceive: messages.filter(({ receiveCount }) => receiveCount >= most).length,
  };
}

async function receiveInto(messages: RawMessage[], client: QueueClient, count: number): Promise<void> {
  const never = new AbortController().signal;
  const seen = new Set<string>();
  let empty = 0;
  while (messages.length < count && empty < EMPTY_POLLS) {
    const maxMessages = Math.min(MAX_ENTRIES, count - messages.length);
    const received = await client.receive({ maxMessages, waitS: WAIT_S, visibilityS: HIDDEN_S }, never);
    empty = received.length === 0 ? empty + 1 : 0;
    // What took so long that the first messages are visible again ends here.
    if (received.some(({ id }) => seen.has(id))) empty = EMPTY_POLLS;
    for (const { id } of received) seen.add(id);
    messages.push(...received);
  }
}

/** Returns how many could not be made visible. Never throws: it also runs when receiving has failed. */
async function giveBack(client: QueueClient, messages: readonly RawMessage[]): Promise<number> {
  let failed = 0;
  for (let from = 0; from < messages.length; from += MAX_ENTRIES) {
    const part = messages.slice(from, from + MAX_ENTRIES);
    const changes = part.map(({ handle }) => ({ handle, seconds: 0 }));
    const results = await client
      .changeVisibilityBatch(changes)
      .catch(() => part.map(() => 'failed' as const));
    failed += results.filter((result) => result === 'failed').length;
  }
  return failed;
}

function envelopeOf(message: RawMessage, receivedAt: number): Envelope {
  const { id, body, sentAt, attributes, groupId, sequenceNumber } = message;
  return {
    messageId: id,
    body,
    sentAt,
    receivedAt,
    attributes,
    ...(groupId === undefined ? {} : { groupId }),
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
  };
}
