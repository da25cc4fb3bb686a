import type { Batch, Delivery, Envelope, InputRecord, MessageHead, Receipt } from '../batch.js';
import type { Clock } from '../clock.js';

/** When a batch is full. */
export interface BatchLimits {
  /** In messages; one that holds several records counts as so many. */
  readonly maxMessages: number;
  /** Of message bodies, unpacked. */
  readonly maxBytes: number;
  /** The longest that a batch waits for more after its first message. */
  readonly lingerMs: number;
}

/** What batches are formed for, and how large. */
export interface BatchingOptions extends BatchLimits {
  readonly runId: string;
  readonly pipeline: string;
  readonly clock: Clock;
  /** A batch that comes after a quiet time waits for hardly any more, so that single messages are not held up. */
  readonly prompt?: boolean;
  /** Once it aborts nothing lingers any more; the input decides when forming ends. */
  readonly signal?: AbortSignal;
}

/** Long enough for what several receivers bring at once. */
const PROMPT_MS = 20;

/** A batch, and what settles each of its messages: `receipts[i]` belongs to `batch.messages[i]`. */
export interface FormedBatch {
  readonly batch: Batch;
  readonly receipts: readonly Receipt[];
}

/** Messages that must be in one batch, in this order. */
interface Unit {
  readonly deliveries: Delivery[];
  /** As the limits of a batch count it. */
  count: number;
  bytes: number;
}

/** A batch that may still grow. */
interface OpenBatch {
  readonly deliveries: Delivery[];
  count: number;
  bytes: number;
  /** Resolves when the batch must wait no longer; never rejects. */
  readonly lingered: Promise<'lingered'>;
  /** Ends the timer behind `lingered`. */
  readonly cancel: () => void;
}

/**
 * Groups deliveries into batches by count, bytes and linger. All records of a message are in one batch, and what one
 * receive returned of a FIFO group stays together and in order, even where that exceeds a limit. Groups of one name of
 * several queues are in batches of their own. The rest is flushed when the input ends, also when it ends by an error,
 * which is thrown after that. To stop early, end the input: a consumer that breaks off loses sight of the messages not
 * yet yielded.
 */
export async function* formBatches(
  deliveries: AsyncIterable<readonly Delivery[]>,
  options: BatchingOptions,
): AsyncGenerator<FormedBatch, void, undefined> {
  const input = deliveries[Symbol.asyncIterator]();
  let pending: Promise<Arrival> | null = null;
  let open: OpenBatch | null = null;
  let openedAt = -Infinity;
  try {
    for (;;) {
      // One next() at a time: the same promise is awaited again after a linger.
      pending ??= arrival(input);
      const event: Arrival | 'lingered' = await (open === null
        ? pending
        : Promise.race([pending, open.lingered]));
      if (event === 'lingered' || event.kind === 'end') {
        if (open !== null) yield close(open, options);
        open = null;
        if (event === 'lingered') continue;
        pending = null;
        if (event.failure !== null) throw event.failure.error;
        return;
      }
      pending = null;
      for (const unit of unitsOf(event.deliveries)) {
        if (open !== null && !fits(open, unit, options)) {
          yield close(open, options);
          open = null;
        }
        if (open === null) {
          const now = options.clock.elapsed();
          const isQuiet = options.prompt === true && now - openedAt >= options.lingerMs;
          open = opened(options, isQuiet ? Math.min(PROMPT_MS, options.lingerMs) : options.lingerMs);
          openedAt = now;
        }
        open.deliveries.push(...unit.deliveries);
        open.count += unit.count;
        open.bytes += unit.bytes;
        if (isFull(open, options)) {
          yield close(open, options);
          open = null;
        }
      }
    }
  } finally {
    // A generator's return() waits for its pending next(), which may wait for a message: so it isn't awaited then.
    const ended = Promise.resolve(input.return?.()).catch(() => undefined);
    if (pending === null) await ended;
  }
}

type Arrival =
  | { readonly kind: 'deliveries'; readonly deliveries: readonly Delivery[] }
  | { readonly kind: 'end'; readonly failure: { readonly error: unknown } | null };

/** The input's next step as a value: a rejection that nobody awaits yet must not count as unhandled. */
async function arrival(input: AsyncIterator<readonly Delivery[]>): Promise<Arrival> {
  try {
    const next = await input.next();
    return next.done === true
      ? { kind: 'end', failure: null }
      : { kind: 'deliveries', deliveries: next.value };
  } catch (error) {
    return { kind: 'end', failure: { error } };
  }
}

function opened({ clock, signal }: BatchingOptions, lingerMs: number): OpenBatch {
  const timer = new AbortController();
  const cancel = (): void => {
    signal?.removeEventListener('abort', cancel);
    timer.abort();
  };
  signal?.addEventListener('abort', cancel);
  if (signal?.aborted) cancel();
  const lingered = clock.sleep(lingerMs, timer.signal).then(() => 'lingered' as const);
  return { deliveries: [], count: 0, bytes: 0, lingered, cancel };
}

/**
 * The deliveries of one receive as units. Only FIFO queues give sequence numbers: a group id alone, on a standard
 * queue, is a tenant for fairness and says nothing about order.
 */
function unitsOf(deliveries: readonly Delivery[]): Iterable<Unit> {
  const units: Unit[] = [];
  const byGroup = new Map<string, Unit>();
  for (const delivery of deliveries) {
    const { groupId, sequenceNumber } = delivery.envelope;
    const group = sequenceNumber === undefined ? undefined : groupId;
    const known = group === undefined ? undefined : byGroup.get(group);
    if (known !== undefined) {
      known.deliveries.push(delivery);
      known.count += countOf(delivery);
      known.bytes += delivery.receipt.bytes;
      continue;
    }
    const unit: Unit = {
      deliveries: [delivery],
      count: countOf(delivery),
      bytes: delivery.receipt.bytes,
    };
    units.push(unit);
    if (group !== undefined) byGroup.set(group, unit);
  }
  return units;
}

/** One without records has its share of a batch too. */
function countOf({ records }: Delivery): number {
  return Math.max(1, records.length);
}

function fits(open: OpenBatch, unit: Unit, options: BatchingOptions): boolean {
  const hasRoom =
    open.count + unit.count <= options.maxMessages && open.bytes + unit.bytes <= options.maxBytes;
  return hasRoom && !hasNamesake(open, unit);
}

/** In a batch a group is known by its name, and one of them must not hold the other. */
function hasNamesake(open: OpenBatch, { deliveries: [first] }: Unit): boolean {
  const { groupId, queue } = first?.receipt ?? {};
  if (groupId === undefined || queue === undefined) return false;
  return open.deliveries.some(({ receipt }) => receipt.groupId === groupId && receipt.queue !== queue);
}

function isFull(open: OpenBatch, options: BatchingOptions): boolean {
  return open.count >= options.maxMessages || open.bytes >= options.maxBytes;
}

function close(open: OpenBatch, options: BatchingOptions): FormedBatch {
  open.cancel();
  const messages: MessageHead[] = [];
  const records: InputRecord[] = [];
  const receipts: Receipt[] = [];
  for (const { envelope, records: held, receipt } of open.deliveries) {
    for (const record of held) records.push({ ...record, message: messages.length });
    messages.push(headOf(envelope));
    receipts.push(receipt);
  }
  const { runId, pipeline, clock } = options;
  return { batch: { batchId: clock.id(), runId, pipeline, messages, records }, receipts };
}

/** All but the body, which travels in the records. */
function headOf({
  messageId,
  sentAt,
  receivedAt,
  groupId,
  sequenceNumber,
  attributes,
}: Envelope): MessageHead {
  return {
    messageId,
    sentAt,
    receivedAt,
    ...(groupId === undefined ? {} : { groupId }),
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
    attributes,
  };
}
