// FIFO groups: their rows are written in the order of their messages, and under `fifo: block` nothing of a group goes
// before a record that could not be loaded.

import type { ClientBase } from 'pg';
import type { Blocking, MaskedBatch, RecordKey, RejectionCode } from '../batch.js';
import { knownRecords } from './ledger.js';

/** Whether a FIFO group goes on past a rejected record, or waits for it. */
export type FifoMode = 'skip' | 'block';

/** Where a group ends for now. */
interface Stop extends Blocking {
  /** Index of the message from which on the group's messages are held. */
  readonly message: number;
}

/** The groups of a batch that are held, and from which of their messages on. */
export class Stops {
  readonly #groups: readonly (number | null)[];
  readonly #stops = new Map<number, Stop>();

  constructor(batch: Pick<MaskedBatch, 'groups'>) {
    this.#groups = batch.groups ?? [];
  }

  /** One for each group that is held. */
  get blocking(): readonly Blocking[] {
    return [...this.#stops.values()].map(({ messageId, code }) => ({ messageId, code }));
  }

  /** Holds a record's message and what comes after it in its group; false when it is in none. */
  add({ message, messageId }: RecordKey, code: RejectionCode): boolean {
    const group = this.#groups[message] ?? null;
    if (group === null) return false;
    const before = this.#stops.get(group);
    if (before === undefined || message < before.message)
      this.#stops.set(group, { message, messageId, code });
    return true;
  }

  isHeld(message: number): boolean {
    const group = this.#groups[message] ?? null;
    const stop = group === null ? undefined : this.#stops.get(group);
    return stop !== undefined && message >= stop.message;
  }

  /** Indexes of the messages that are held. */
  get held(): readonly number[] {
    return this.#stops.size === 0 ? [] : [...this.#groups.keys()].filter((message) => this.isHeld(message));
  }
}

/**
 * Holds the groups of the batch's rejected records. One that another batch has settled is a duplicate like any other:
 * its group has gone past it.
 */
export async function holdRejected(client: ClientBase, batch: MaskedBatch, stops: Stops): Promise<void> {
  const { rejections, groups = [] } = batch;
  const grouped = rejections.filter(({ message }) => (groups[message] ?? null) !== null);
  if (grouped.length === 0) return;
  const known = await knownRecords(client, batch, grouped);
  for (const [index, rejection] of grouped.entries())
    if (!known.has(index)) stops.add(rejection, rejection.code);
}

/**
 * When each row's message was sent, in epoch ms, as far as that decides between rows of one key: within a group the
 * order of the batch does, whatever the clocks of SQS's servers say.
 */
export function timesInOrder({ keys, groups = [] }: Pick<MaskedBatch, 'keys' | 'groups'>): readonly number[] {
  const latest = new Map<number, number>();
  return keys.map(({ sentAt, message }) => {
    const group = groups[message] ?? null;
    if (group === null) return sentAt;
    const time = Math.max(sentAt, latest.get(group) ?? sentAt);
    latest.set(group, time);
    return time;
  });
}
