import type { SqsCall } from '../../src/proof/sqs-fault-proxy.js';

/** Counts how often SQS hands out each message, by what it answers. */
export class Receives {
  readonly #again = new Map<string, number>();
  #most = 0;

  /** The highest receive count that SQS has told of. */
  get most(): number {
    return this.#most;
  }

  /** Messages that were handed out more than once. */
  get again(): number {
    return this.#again.size;
  }

  /** Hears of an answer of SQS. */
  readonly note = ({ action }: SqsCall, answer: string): void => {
    if (action !== 'ReceiveMessage') return;
    for (const { id, count } of messagesIn(answer)) {
      this.#most = Math.max(this.#most, count);
      if (count > 1) this.#again.set(id, count);
    }
  };
}

function messagesIn(answer: string): readonly { readonly id: string; readonly count: number }[] {
  const parsed: unknown = JSON.parse(answer);
  const messages: unknown = memberOf(parsed, 'Messages');
  if (!Array.isArray(messages)) return [];
  return messages.map((message: unknown) => ({
    id: String(memberOf(message, 'MessageId')),
    count: Number(memberOf(memberOf(message, 'Attributes'), 'ApproximateReceiveCount')),
  }));
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}
