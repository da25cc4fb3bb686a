/** A message as ReceiveMessage answers, as far as it is read or changed here. */
interface Received {
  MessageId: string;
  readonly Body: string;
  readonly MessageAttributes?: Readonly<{ [name: string]: unknown }>;
  Attributes?: { [name: string]: string };
}

/** A message that was handed out, and all that is needed to hand it out again. */
interface Remembered {
  readonly body: string;
  readonly messageAttributes: Readonly<{ [name: string]: unknown }>;
  readonly attributes: Readonly<{ [name: string]: string }>;
  received: number;
}

/** What another delivery of a message is sent as. */
export interface Copy {
  readonly body: string;
  readonly messageAttributes: Readonly<{ [name: string]: unknown }>;
  readonly groupId: string | null;
}

/** System attributes that SQS keeps from one delivery of a message to the next. */
const KEPT_ATTRIBUTES = [
  'SentTimestamp',
  'SequenceNumber',
  'MessageDeduplicationId',
  'ApproximateFirstReceiveTimestamp',
];

/**
 * Makes a message come again after it was deleted, as SQS may: it is sent anew, and wherever the copy is handed
 * out, it goes by the id and the timestamps of the original. So visibility, counts, deletes and dead letters of
 * the second delivery are the emulator's own. Of each queue the most recent `limit` messages are remembered.
 */
export class Redelivery {
  readonly #limit: number;
  readonly #queues = new Map<string, Map<string, Remembered>>();
  /** What copies go by, by their ids: it must outlast that the original is forgotten. */
  readonly #originals = new Map<string, { readonly id: string; readonly message: Remembered }>();
  #sending = Promise.resolve();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Ids of the queue's messages that can be redelivered, oldest first. */
  remembered(queueUrl: string): readonly string[] {
    return [...(this.#queues.get(queueUrl)?.keys() ?? [])];
  }

  /** What to send so that the message comes again; null when it was not handed out, or too long ago. */
  copyOf(queueUrl: string, messageId: string): Copy | null {
    const message = this.#queues.get(queueUrl)?.get(messageId);
    if (message === undefined) return null;
    const { body, messageAttributes, attributes } = message;
    return { body, messageAttributes, groupId: attributes['MessageGroupId'] ?? null };
  }

  /** Sends copies. What is received meanwhile must wait for `settled`: a copy may arrive before its alias is known. */
  async sending(work: () => Promise<void>): Promise<void> {
    const done = this.#sending.then(work);
    this.#sending = done.catch(() => undefined);
    await done;
  }

  /** Resolves when no copies are being sent. Never rejects. */
  settled(): Promise<void> {
    return this.#sending;
  }

  /** Says that a message is a copy of another. Within `sending`. */
  alias(queueUrl: string, copyId: string, originalId: string): void {
    const message = this.#queues.get(queueUrl)?.get(originalId);
    if (message !== undefined) this.#originals.set(copyId, { id: originalId, message });
  }

  /** The answer to a ReceiveMessage, with copies under the names of their originals; notes what it hands out. */
  rewrite(queueUrl: string, answer: string): string {
    const parsed: unknown = JSON.parse(answer);
    if (!holdsMessages(parsed)) return answer;
    const queue = this.#queues.get(queueUrl) ?? new Map<string, Remembered>();
    this.#queues.set(queueUrl, queue);
    for (const message of parsed.Messages) {
      const original = this.#originals.get(message.MessageId);
      if (original === undefined) this.#remember(queue, message);
      else disguise(message, original.id, original.message);
    }
    return JSON.stringify(parsed);
  }

  #remember(queue: Map<string, Remembered>, message: Received): void {
    const {
      MessageId: id,
      Body: body,
      MessageAttributes: messageAttributes = {},
      Attributes: attributes = {},
    } = message;
    const received = (queue.get(id)?.received ?? 0) + 1;
    queue.delete(id);
    queue.set(id, { body, messageAttributes, attributes, received });
    if (queue.size <= this.#limit) return;
    const [oldest] = queue.keys();
    if (oldest !== undefined) queue.delete(oldest);
  }
}

/** The emulator's own answer, from within this process: its shape is not in doubt, only whether it is empty. */
function holdsMessages(answer: unknown): answer is { readonly Messages: Received[] } {
  return (
    typeof answer === 'object' && answer !== null && 'Messages' in answer && Array.isArray(answer.Messages)
  );
}

function disguise(message: Received, originalId: string, original: Remembered): void {
  message.MessageId = originalId;
  original.received += 1;
  if (message.Attributes === undefined) return;
  for (const name of KEPT_ATTRIBUTES) {
    const kept = original.attributes[name];
    if (kept !== undefined && name in message.Attributes) message.Attributes[name] = kept;
  }
  if ('ApproximateReceiveCount' in message.Attributes) {
    message.Attributes['ApproximateReceiveCount'] = String(original.received);
  }
}
