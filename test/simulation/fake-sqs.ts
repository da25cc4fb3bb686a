import type { Clock } from '../../src/clock.js';
import { PipelineError } from '../../src/errors.js';
import type {
  EntryResult,
  PollOptions,
  QueueAttributes,
  QueueClient,
  RawMessage,
  VisibilityChange,
} from '../../src/source/queue-client.js';

/** The longest that a message stays invisible after a receive. */
const LIMIT_MS = 12 * 3_600_000;

/** A call to the fake, as its hooks see it. */
export type FakeCall = 'receive' | 'delete' | 'change' | 'attributes';

/** Where a fake misbehaves. Each may be set, and reset, at any time. */
export interface FakeFaults {
  /** Thrown before the call has any effect. */
  before?: (call: FakeCall) => PipelineError | null;
  /** Thrown after the call has had its effect: the answer is lost. */
  after?: (call: FakeCall) => PipelineError | null;
  /** The result of one entry of a batch call, instead of doing it. */
  entry?: (call: FakeCall, handle: string) => EntryResult | null;
  /** True: this message is handed out, and stays visible for another receive. */
  duplicate?: (messageId: string) => boolean;
  /** True: this receive does not see the message, though it is visible: a receive asks a sample of the servers. */
  overlook?: (messageId: string) => boolean;
}

/** How the queue is set up. */
export interface FakeSqsOptions {
  readonly clock: Clock;
  readonly fifo?: boolean;
  /** Receives after which a message goes to the dead letters instead. */
  readonly maxReceiveCount?: number;
  /** False: there is no such queue until `create` is called. */
  readonly exists?: boolean;
  /** FIFO messages of a group that one receive may return. AWS: ten; some emulators: one. */
  readonly perGroup?: number;
}

interface Stored {
  readonly id: string;
  readonly body: string;
  readonly sentAt: number;
  readonly sequence: number;
  readonly groupId: string | undefined;
  readonly attributes: Readonly<{ [name: string]: string }>;
  receiveCount: number;
  visibleAt: number;
  /** The handle of the newest receive; older ones are stale. */
  handle: string | null;
  receivedAt: number;
}

/** A message to send. */
export interface FakeMessage {
  readonly body: string;
  readonly groupId?: string;
  readonly attributes?: Readonly<{ [name: string]: string }>;
  readonly delayMs?: number;
}

/**
 * One SQS queue in memory, as a QueueClient: visibility, receive counts, stale receipts, FIFO groups and redrive
 * behave as the SQS documentation says. Everything is a function of the clock and of the calls.
 */
export class FakeSqs implements QueueClient {
  readonly queue = 'fake';
  readonly faults: FakeFaults = {};
  /** Ids in the dead-letter queue, in the order of their arrival. */
  readonly deadLetters: string[] = [];
  /** Ids of deleted messages, in the order of their deletion. */
  readonly deleted: string[] = [];
  /** How often each call was made. */
  readonly calls: { [call in FakeCall]: number } = { receive: 0, delete: 0, change: 0, attributes: 0 };
  /** Ids handed out, delivery by delivery. */
  readonly handedOut: string[] = [];
  readonly #options: FakeSqsOptions;
  readonly #messages: Stored[] = [];
  /** Aborts when something may have become visible, or a receive was cut; null while nobody waits. */
  #news: AbortController | null = null;
  readonly #heard = new WeakSet<AbortSignal>();
  #exists: boolean;
  #sequence = 0;
  #handles = 0;

  constructor(options: FakeSqsOptions) {
    this.#options = options;
    this.#exists = options.exists ?? true;
  }

  get isFifo(): boolean {
    return this.#options.fifo === true;
  }

  /** Brings the queue into being. */
  create(): void {
    this.#exists = true;
  }

  /** Puts messages into the queue and returns their ids. */
  send(...messages: readonly FakeMessage[]): readonly string[] {
    const now = this.#options.clock.now();
    const ids = messages.map(({ body, groupId, attributes = {}, delayMs = 0 }) => {
      this.#sequence += 1;
      const id = `message-${this.#sequence}`;
      this.#messages.push({
        id,
        body,
        sentAt: now,
        sequence: this.#sequence,
        groupId,
        attributes,
        receiveCount: 0,
        visibleAt: now + delayMs,
        handle: null,
        receivedAt: 0,
      });
      return id;
    });
    this.#changed();
    return ids;
  }

  /** Messages that are neither deleted nor dead letters. */
  get left(): readonly string[] {
    return this.#messages.map((message) => message.id);
  }

  get isEmpty(): boolean {
    return this.#messages.length === 0;
  }

  /** Those that a receive could return now, FIFO order apart. */
  get visible(): readonly string[] {
    const now = this.#options.clock.now();
    return this.#messages.filter((message) => message.visibleAt <= now).map((message) => message.id);
  }

  async receive(
    { maxMessages, waitS, visibilityS }: PollOptions,
    signal: AbortSignal,
  ): Promise<readonly RawMessage[]> {
    this.#enter('receive');
    const { clock } = this.#options;
    const end = clock.now() + waitS * 1_000;
    for (;;) {
      if (signal.aborted) throw new PipelineError('canceled', 'receive was cut');
      const taken = this.#take(maxMessages, visibilityS);
      if (taken.length > 0 || clock.now() >= end) {
        this.#leave('receive');
        return taken;
      }
      await this.#nextChange(end, signal);
    }
  }

  async deleteBatch(handles: readonly string[]): Promise<readonly EntryResult[]> {
    this.#enter('delete');
    const results = handles.map((handle) => this.faults.entry?.('delete', handle) ?? this.#delete(handle));
    this.#leave('delete');
    return results;
  }

  async changeVisibilityBatch(changes: readonly VisibilityChange[]): Promise<readonly EntryResult[]> {
    this.#enter('change');
    const results = changes.map(
      (change) => this.faults.entry?.('change', change.handle) ?? this.#change(change),
    );
    this.#leave('change');
    this.#changed();
    return results;
  }

  async attributes(): Promise<QueueAttributes | null> {
    this.#enter('attributes');
    if (!this.#exists) return null;
    const now = this.#options.clock.now();
    const visible = this.visible.length;
    const delayed = this.#messages.filter(
      (message) => message.visibleAt > now && message.handle === null,
    ).length;
    const { maxReceiveCount, fifo = false } = this.#options;
    return {
      arn: 'arn:aws:sqs:us-east-1:000000000000:fake',
      visible,
      inFlight: this.#messages.length - visible - delayed,
      delayed,
      fifo,
      visibilityTimeoutS: 30,
      retentionS: 345_600,
      redrive:
        maxReceiveCount === undefined
          ? null
          : { deadLetterArn: 'arn:aws:sqs:us-east-1:000000000000:fake-dlq', maxReceiveCount },
    };
  }

  close(): void {
    // Nothing is open.
  }

  #enter(call: FakeCall): void {
    this.calls[call] += 1;
    const fault = this.faults.before?.(call) ?? null;
    if (fault !== null) throw fault;
    if (!this.#exists && call !== 'attributes')
      throw new PipelineError('sqs_unavailable', 'queue fake does not exist');
  }

  #leave(call: FakeCall): void {
    const fault = this.faults.after?.(call) ?? null;
    if (fault !== null) throw fault;
  }

  #take(maxMessages: number, visibilityS: number): RawMessage[] {
    const { clock, fifo = false, maxReceiveCount = Infinity, perGroup = 10 } = this.#options;
    const now = clock.now();
    // A group with a message in flight hands out nothing more.
    const locked = new Set<string | undefined>();
    if (fifo) for (const message of this.#messages) if (message.visibleAt > now) locked.add(message.groupId);
    const fromGroup = new Map<string | undefined, number>();
    const taken: RawMessage[] = [];
    for (const message of [...this.#messages]) {
      if (taken.length === maxMessages) break;
      if (message.visibleAt > now || (fifo && locked.has(message.groupId))) continue;
      const already = fromGroup.get(message.groupId) ?? 0;
      if (fifo && already >= perGroup) continue;
      if (this.faults.overlook?.(message.id) === true) {
        // What comes after it in its group is then not to be had either.
        locked.add(message.groupId);
        continue;
      }
      if (message.receiveCount >= maxReceiveCount) {
        this.#messages.splice(this.#messages.indexOf(message), 1);
        this.deadLetters.push(message.id);
        continue;
      }
      fromGroup.set(message.groupId, already + 1);
      taken.push(this.#handOut(message, now, visibilityS));
    }
    return taken;
  }

  #handOut(message: Stored, now: number, visibilityS: number): RawMessage {
    this.#handles += 1;
    const handle = `handle-${this.#handles}`;
    message.handle = handle;
    message.receivedAt = now;
    message.receiveCount += 1;
    message.visibleAt = this.faults.duplicate?.(message.id) === true ? now : now + visibilityS * 1_000;
    this.handedOut.push(message.id);
    const { id, body, sentAt, receiveCount, groupId, attributes, sequence } = message;
    const sequenceNumber = this.#options.fifo ? String(sequence).padStart(20, '0') : undefined;
    return {
      id,
      body,
      handle,
      sentAt,
      receiveCount,
      ...(groupId === undefined ? {} : { groupId }),
      ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
      attributes,
    };
  }

  #delete(handle: string): EntryResult {
    const message = this.#messages.find((stored) => stored.handle === handle);
    // SQS reports success for a stale receipt, and deletes nothing.
    if (message === undefined) return 'done';
    if (this.#options.fifo && message.visibleAt <= this.#options.clock.now()) return 'gone';
    this.#messages.splice(this.#messages.indexOf(message), 1);
    this.deleted.push(message.id);
    this.#changed();
    return 'done';
  }

  #change({ handle, seconds }: VisibilityChange): EntryResult {
    const now = this.#options.clock.now();
    const message = this.#messages.find((stored) => stored.handle === handle);
    if (message === undefined || message.visibleAt <= now) return 'gone';
    if (now + seconds * 1_000 > message.receivedAt + LIMIT_MS) return 'gone';
    message.visibleAt = now + seconds * 1_000;
    return 'done';
  }

  /** Waits until something may have become visible. */
  async #nextChange(end: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const now = clock.now();
    let until = end;
    for (const { visibleAt } of this.#messages) if (visibleAt > now && visibleAt < until) until = visibleAt;
    if (!this.#heard.has(signal)) {
      this.#heard.add(signal);
      signal.addEventListener('abort', () => this.#changed(), { once: true });
    }
    this.#news ??= new AbortController();
    await clock.sleep(until - now, this.#news.signal);
  }

  #changed(): void {
    const news = this.#news;
    this.#news = null;
    // A reason of our own: the default one is an error, and costs as much as all the rest.
    news?.abort('changed');
  }
}
