import { createHash } from 'node:crypto';

/**
 * SQS gives a message that comes back from a dead-letter queue a new id and a new SentTimestamp. `dlq redrive`
 * sends the first ones along in this message attribute, sealed, so that the ledger knows the record again.
 */
export const ORIGIN_ATTRIBUTE = 'maskline-origin';

/** Id and SentTimestamp (epoch ms) under which a message was first sent. */
export interface Origin {
  readonly messageId: string;
  readonly sentAt: number;
}

/** Seals and opens origins. Sealed, since whoever may send could otherwise make others' messages look loaded. */
export interface OriginSealer {
  /** Throws `key_unavailable`. */
  seal(origin: Origin, body: string): string;
  /** Null for anything that `seal` did not make for this very body. */
  open(text: string, body: string): Origin | null;
}

/** What an origin is bound to: a sealed origin is good for no other body. */
export function originPlace(body: string): string {
  return createHash('sha256').update(body, 'utf8').digest('hex');
}
