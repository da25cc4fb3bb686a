import type { Delivery, InputRecord } from '../batch.js';
import { PipelineError } from '../errors.js';
import type { Points } from './unwrap.js';

/** So many records of a message, in their order; a batch takes it whole. */
export type Piece = readonly Omit<InputRecord, 'message'>[];

/** A message as it was received, and what it points to, if anything. */
export interface Received extends Delivery {
  readonly points?: Points;
}

/** Follows messages that point to their records instead of holding them. */
export interface Pointers {
  /** Resolves when nothing is known that would keep it from following, or when `signal` aborts. */
  ready(signal: AbortSignal): Promise<void>;
  /** The message with the body that it points to, if so it does. Outages are waited out; throws `canceled` at `halt`. */
  fetch(message: Received, halt: AbortSignal): Promise<Received>;
  /**
   * What a message points to, piece by piece; null for a message that holds its records itself. Outages are waited
   * out. The end of the pieces is the end of the message: when `halt` aborts, it throws `canceled` instead.
   */
  follow(message: Received, halt: AbortSignal): AsyncIterable<Piece> | null;
}

/** Those of the messages that point to their records, and these. */
export function streamsOf(
  messages: readonly Received[],
  pointers: Pointers,
  halt: AbortSignal,
): ReadonlyMap<Received, AsyncIterable<Piece>> {
  const streams = new Map<Received, AsyncIterable<Piece>>();
  for (const message of messages) {
    const pieces = pointers.follow(message, halt);
    if (pieces !== null) streams.set(message, pieces);
  }
  return streams;
}

/**
 * The parts of a message: deliveries whose receipts say whether more follow. Each is withheld until the next is known,
 * and is the last one only if the pieces ended by themselves. Throws what they throw, and `canceled`.
 */
export async function* partsOf(
  delivery: Delivery,
  pieces: AsyncIterable<Piece>,
  halt: AbortSignal,
): AsyncGenerator<Delivery, void, undefined> {
  let records: Piece | null = null;
  for await (const piece of pieces) {
    if (records !== null) yield partOf(delivery, records, true);
    records = piece;
  }
  if (halt.aborted) throw new PipelineError('canceled', 'reading a message was cut');
  yield partOf(delivery, records ?? [], false);
}

function partOf(delivery: Delivery, records: Piece, more: boolean): Delivery {
  const bytes = records.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
  const { envelope, receipt } = delivery;
  return { envelope, records, receipt: { ...receipt, bytes, ...(more ? { more } : {}) } };
}
