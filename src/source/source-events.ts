import type { PipelineError } from '../errors.js';

/** What a source tells of itself: counts and errors only, nothing of any message. */
export type SourceEvent =
  /** One receive's messages; `redelivered` are those with a receive count above one, `bytes` their bodies. */
  | {
      readonly kind: 'received';
      readonly messages: number;
      readonly bytes: number;
      readonly redelivered: number;
    }
  | { readonly kind: 'deleted'; readonly messages: number }
  | { readonly kind: 'released'; readonly messages: number }
  /** A receive failed; the next one comes after `waitMs`. */
  | { readonly kind: 'waiting'; readonly error: PipelineError; readonly waitMs: number }
  /** Receipts whose visibility can't be kept any more: their messages come again. */
  | { readonly kind: 'receipts_lost'; readonly receipts: number }
  /** Extending visibility failed; it is tried again before the visibility runs out. */
  | { readonly kind: 'heartbeat_failed'; readonly error: PipelineError }
  /** Messages that could not be deleted, or not be released, and come again when their visibility runs out. */
  | { readonly kind: 'ack_abandoned'; readonly messages: number }
  | { readonly kind: 'release_failed'; readonly messages: number }
  /** Messages that claim to come from a dead-letter queue, but `dlq redrive` did not send them: they count as new. */
  | { readonly kind: 'origin_refused'; readonly messages: number };

/** Hears of a source's events. It must not throw. */
export type OnSourceEvent = (event: SourceEvent) => void;
