import { setMaxListeners } from 'node:events';
import type { Receipt } from '../batch.js';
import type { Clock } from '../clock.js';
import { type PipelineError, asPipelineError } from '../errors.js';
import type { Service, StopMode } from '../lifecycle.js';
import type { InFlight } from './in-flight.js';
import { ORIGIN_ATTRIBUTE, type Origin, type OriginSealer } from './origin.js';
import type { Received } from './parts.js';
import type { QueueClient, RawMessage } from './queue-client.js';
import type { OnSourceEvent } from './source-events.js';
import { NO_ATTRIBUTES, type OpenedMessage, type Opening, openMessage, prepareOpening } from './unwrap.js';

/** A soft stop lets polls of a second end by themselves: cutting one may strand what SQS has just handed out. */
const SOFT_STOP_GRACE_MS = 1_500;

/** What polls need. */
export interface PollsOptions {
  readonly client: Pick<QueueClient, 'receive'>;
  readonly clock: Clock;
  readonly inFlight: InFlight;
  readonly opening: Opening;
  readonly visibilityTimeoutS: number;
  readonly onEvent: OnSourceEvent;
  /** Opens what `dlq redrive` sent along; absent: such messages count as new. */
  readonly origins?: Pick<OriginSealer, 'open'>;
  /** What to do with messages that nobody waits for any more. Never rejects. */
  readonly release: (receipts: readonly Receipt[]) => Promise<void>;
}

/** How a poll ended. */
export type PollResult =
  | { readonly kind: 'received'; readonly deliveries: readonly Received[] }
  | { readonly kind: 'failed'; readonly error: PipelineError };

/** A long poll under way. */
export interface Poll {
  /** Never rejects. */
  readonly result: Promise<PollResult>;
  readonly startedAt: number;
}

/**
 * Long polls, which outlive the `receive` that began them: a run that ends leaves its polls to the next one, and
 * what arrives in between and is not taken over in time is released. So ending a run neither waits for a poll nor cuts
 * one.
 */
export class Polls implements Service {
  readonly #options: PollsOptions;
  readonly #parked = new Set<Poll>();
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  readonly #cut = new AbortController();

  constructor(options: PollsOptions) {
    this.#options = options;
    // Every poll listens; Node takes more than ten for a leak.
    setMaxListeners(0, this.#cut.signal, this.#closing.signal);
  }

  /** Begins a poll for what was reserved with `InFlight.reserve`. */
  begin(reserved: number, waitS: number): Poll {
    const poll = { result: this.#poll(reserved, waitS), startedAt: this.#options.clock.now() };
    this.#track(poll.result);
    return poll;
  }

  /** Leaves a poll to whoever receives next; messages that it brings wait so long for that. */
  park(poll: Poll, keepMs: number): void {
    this.#parked.add(poll);
    const orphan = async (): Promise<void> => {
      const result = await poll.result;
      const isFull = result.kind === 'received' && result.deliveries.length > 0;
      if (isFull && this.#parked.has(poll)) await this.#options.clock.sleep(keepMs, this.#closing.signal);
      if (!this.#parked.delete(poll) || !isFull) return;
      await this.#options.release(result.deliveries.map((delivery) => delivery.receipt));
    };
    this.#track(orphan());
  }

  /** How many polls were left, and wait to be taken over. */
  get parked(): number {
    return this.#parked.size;
  }

  /** Takes over a poll that was left. */
  adopt(): Poll | undefined {
    const [poll] = this.#parked;
    if (poll !== undefined) this.#parked.delete(poll);
    return poll;
  }

  /** Soft gives polls a moment to end; then they are cut. Resolves when what they brought has been released. */
  async stop(mode: StopMode = 'soft'): Promise<void> {
    this.#closing.abort();
    if (mode === 'soft') {
      const ended = new AbortController();
      const all = this.#settled().then(() => ended.abort());
      await this.#options.clock.sleep(SOFT_STOP_GRACE_MS, AbortSignal.any([ended.signal, this.#cut.signal]));
      this.#cut.abort();
      await all;
    } else {
      this.#cut.abort();
      await this.#settled();
    }
  }

  async #settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  #track(work: Promise<unknown>): void {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  async #poll(reserved: number, waitS: number): Promise<PollResult> {
    const { client, inFlight, visibilityTimeoutS: visibilityS, onEvent } = this.#options;
    try {
      const raw = await client.receive({ maxMessages: reserved, waitS, visibilityS }, this.#cut.signal);
      if (raw.length > 0) await prepareOpening(this.#options.opening);
      const deliveries = raw.map((message) => this.#delivery(message));
      inFlight.admit(
        reserved,
        deliveries.map((delivery) => delivery.receipt),
      );
      if (deliveries.length > 0) {
        const redelivered = deliveries.filter(({ receipt }) => receipt.receiveCount > 1).length;
        const bytes = deliveries.reduce((sum, { receipt }) => sum + receipt.bytes, 0);
        onEvent({ kind: 'received', messages: deliveries.length, bytes, redelivered });
      }
      return { kind: 'received', deliveries };
    } catch (error) {
      inFlight.admit(reserved, []);
      return { kind: 'failed', error: asPipelineError(error) };
    }
  }

  #delivery(message: RawMessage): Received {
    const { body, handle, receiveCount, groupId, sequenceNumber } = message;
    const { messageId, sentAt } = this.#originOf(message) ?? {
      messageId: message.id,
      sentAt: message.sentAt,
    };
    const attributes = ownAttributes(message);
    const receivedAt = this.#options.clock.now();
    const opened = openMessage(messageId, body, this.#options.opening);
    return {
      envelope: {
        messageId,
        body,
        sentAt,
        receivedAt,
        ...(groupId === undefined ? {} : { groupId }),
        ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
        attributes:
          opened.attributes === NO_ATTRIBUTES ? attributes : { ...opened.attributes, ...attributes },
      },
      records: opened.records,
      receipt: {
        messageId,
        handle,
        receiveCount,
        receivedAt,
        bytes: bytesOf(opened, attributes),
        // On a standard queue a group is a tenant, and says nothing about order.
        ...(groupId === undefined || sequenceNumber === undefined ? {} : { groupId }),
      },
      ...(opened.points === undefined ? {} : { points: opened.points }),
    };
  }

  /** Under which id and time a redriven message was first sent; null for all others. */
  #originOf({ body, attributes }: RawMessage): Origin | null {
    const sealed = attributes[ORIGIN_ATTRIBUTE];
    if (sealed === undefined) return null;
    const origin = this.#options.origins?.open(sealed, body) ?? null;
    if (origin === null) this.#options.onEvent({ kind: 'origin_refused', messages: 1 });
    return origin;
  }
}

/** Without what `dlq redrive` has added. */
function ownAttributes({ attributes }: RawMessage): RawMessage['attributes'] {
  if (attributes[ORIGIN_ATTRIBUTE] === undefined) return attributes;
  const { [ORIGIN_ATTRIBUTE]: _, ...own } = attributes;
  return own;
}

/** By these the Extended Client Library says how large the payload is that a message points to. */
const PAYLOAD_SIZES = ['ExtendedPayloadSize', 'SQSLargePayloadSize'];

/** What a message will take: also its payload, as far as the sender is to be believed. */
function bytesOf({ bytes, points }: OpenedMessage, attributes: RawMessage['attributes']): number {
  if (points?.kind !== 'payload') return bytes;
  const said = PAYLOAD_SIZES.map((name) => Number(attributes[name] ?? 0)).filter((size) => size > 0);
  return Math.max(bytes, Math.min(points.opening.maxUnpackedBytes, ...said));
}
