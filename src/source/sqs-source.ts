import type { Delivery, Receipt } from '../batch.js';
import type { Clock } from '../clock.js';
import type { Service, StopMode } from '../lifecycle.js';
import { InFlight } from './in-flight.js';
import type { OriginSealer } from './origin.js';
import type { Pointers } from './parts.js';
import { Polls } from './polls.js';
import type { QueueClient } from './queue-client.js';
import { Receivers } from './receivers.js';
import { Settling } from './settling.js';
import type { QueueDepth, ReceiveMode, Source } from './source.js';
import type { OnSourceEvent } from './source-events.js';
import { queueMissing } from './sqs-errors.js';
import type { Opening } from './unwrap.js';

/** How a queue is read. */
export interface SourceOptions {
  readonly client: QueueClient;
  readonly clock: Clock;
  readonly opening: Opening;
  /** Long polls under way at once. */
  readonly receivers: number;
  /** 0 to 20; at least 1 is used where a run must find the end of the queue. */
  readonly waitTimeS: number;
  /** The same for such runs, where it is to be shorter: they last so much longer than their last message. */
  readonly drainWaitTimeS?: number;
  /** How long a receive hides messages; the heartbeat renews it. */
  readonly visibilityTimeoutS: number;
  /** Messages held at once. */
  readonly inFlight: number;
  /** Bytes of their bodies, unpacked. One receive by each receiver may exceed it while the size of messages is unknown. */
  readonly inFlightBytes: number;
  readonly onEvent?: OnSourceEvent;
  /** Opens what `dlq redrive` sent along. */
  readonly origins?: Pick<OriginSealer, 'open'>;
  /** Follows messages that point to their records; absent: the message is the record. */
  readonly pointers?: Pointers;
  /** Waited for before each receive: how back-pressure reaches the queue. Resolves too when `signal` aborts. */
  readonly admit?: (signal: AbortSignal) => Promise<void>;
}

/** What a source holds at the moment. */
export interface Holding {
  readonly messages: number;
  readonly bytes: number;
}

/** A source that holds receipts, and can be asked how much it holds. */
export interface SqsSource extends Source, Service {
  readonly holding: Holding;
}

/**
 * A queue as a source. `stop` ends polls (what they still bring is released), waits for acks and releases under
 * way (hard: doesn't), and ends the heartbeat: what is still held then reappears by itself. The client stays open.
 */
export function createSource(options: SourceOptions): SqsSource {
  const { client, clock, visibilityTimeoutS, onEvent = () => undefined, admit = always } = options;
  const inFlight = new InFlight({
    client,
    clock,
    visibilityTimeoutS,
    maxMessages: options.inFlight,
    maxBytes: options.inFlightBytes,
    onEvent,
  });
  const settling = new Settling({ client, clock, inFlight, onEvent });
  const release = (receipts: readonly Receipt[]): Promise<void> => settling.release(receipts, () => 0);
  const polls = new Polls({ ...options, inFlight, onEvent, release });
  return {
    receive: (
      mode: ReceiveMode,
      signal: AbortSignal,
      halt: AbortSignal = signal,
    ): AsyncGenerator<readonly Delivery[], void, undefined> =>
      new Receivers(
        { drainWaitTimeS: options.waitTimeS, ...options, admit, polls, inFlight, onEvent, release },
        mode,
      ).run(signal, halt),
    ack: (receipts) => settling.ack(receipts),
    release: (receipts, delayMs) => settling.release(receipts, delayMs),
    depth: () => depthOf(client),
    stop: async (mode: StopMode = 'soft') => {
      await polls.stop(mode);
      await settling.stop(mode);
      await inFlight.stop();
    },
    get holding(): Holding {
      return { messages: inFlight.messages, bytes: inFlight.bytes };
    },
  };
}

const always = (): Promise<void> => Promise.resolve();

/** What a queue reports of itself. Throws `sqs_unavailable`, also where there is no such queue. */
export async function depthOf(client: Pick<QueueClient, 'attributes' | 'queue'>): Promise<QueueDepth> {
  const attributes = await client.attributes();
  if (attributes === null) throw queueMissing(client.queue);
  const { visible, inFlight, delayed } = attributes;
  return { visible, inFlight, delayed };
}
