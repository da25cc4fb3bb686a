import { setMaxListeners } from 'node:events';
import type { Delivery, Receipt } from '../batch.js';
import { type Clock, backoffMs } from '../clock.js';
import { type PipelineError, asPipelineError } from '../errors.js';
import { actionFor } from '../policy.js';
import { Bell } from '../bell.js';
import { HandOver } from './hand-over.js';
import type { InFlight } from './in-flight.js';
import { type Pointers, type Received, partsOf, streamsOf } from './parts.js';
import type { Poll, PollResult, Polls } from './polls.js';
import { MAX_ENTRIES, type QueueClient } from './queue-client.js';
import type { ReceiveMode } from './source.js';
import type { OnSourceEvent } from './source-events.js';
import { atOnce } from './together.js';

/** An empty poll proves something only if it waited this long: short polls ask a sample of SQS's servers. */
const MIN_EMPTY_POLL_S = 1;
/** An empty answer before this part of the wait is over says nothing: one message may wake all who poll. */
const EARLY_PART = 0.5;
/** However soon empty answers come, the next call is so far from the last. */
const MIN_EMPTY_MS = 200;
/** What a poll brings within so long was there before it: those that ask can't keep up with the queue. */
const PROMPT_MS = 100;
/** While SQS is away one receiver asks again, after pauses that double from and up to these. */
const OUTAGE_BASE_MS = 500;
const OUTAGE_MAX_MS = 20_000;

/**
 * What arrives after a run has stopped receiving waits so long for the next run: after a continuous one there is one as
 * soon as it is written down. Each release costs a message one of the receives that its queue allows.
 */
const KEEP_MS: { readonly [mode in ReceiveMode]: number } = { until_empty: 0, continuous: 10_000 };

/** What receivers need. */
export interface ReceiversOptions {
  readonly client: Pick<QueueClient, 'attributes'>;
  readonly clock: Clock;
  readonly polls: Polls;
  readonly inFlight: InFlight;
  readonly receivers: number;
  readonly waitTimeS: number;
  /** The same where a run must find the end of the queue. */
  readonly drainWaitTimeS: number;
  readonly onEvent: OnSourceEvent;
  readonly pointers?: Pointers;
  /** Waited for before each poll, and before each part of a message that comes in parts. */
  readonly admit: (signal: AbortSignal) => Promise<void>;
  /** Never rejects. */
  readonly release: (receipts: readonly Receipt[]) => Promise<void>;
}

/**
 * Several receivers at one queue, for the length of one `Source.receive`. Single use. To find the end of a queue all of
 * them ask; without an end to find, one waits for messages, and wakes others when there is more than it can take.
 */
export class Receivers {
  readonly #options: ReceiversOptions;
  readonly #mode: ReceiveMode;
  readonly #waitS: number;
  readonly #end = new AbortController();
  /** Ends also what is read of messages that come in parts. */
  readonly #halt = new AbortController();
  readonly #interrupts = new Set<() => void>();
  readonly #handOver = new HandOver();
  /** Receivers that read what messages point to: they ask for no others meanwhile. */
  readonly #reading = new Set<number>();
  /** Rings for the receivers: an arrival, or the end of an outage. */
  readonly #changed = new Bell();
  /** Receivers whose last poll was empty and began after the last arrival. */
  readonly #empty = new Set<number>();
  /** Under `continuous`: receivers that are not needed for now. */
  readonly #resting = new Set<number>();
  #arrivals = 0;
  #running = 0;
  /** The one receiver that asks while SQS is away. */
  #prober: number | null = null;
  #failures = 0;
  #fatal: PipelineError | null = null;

  constructor(options: ReceiversOptions, mode: ReceiveMode) {
    this.#options = options;
    // Every receiver listens; Node takes more than ten for a leak.
    setMaxListeners(0, this.#end.signal, this.#halt.signal);
    this.#mode = mode;
    const { waitTimeS, drainWaitTimeS } = options;
    this.#waitS = mode === 'until_empty' ? Math.max(MIN_EMPTY_POLL_S, drainWaitTimeS) : waitTimeS;
  }

  /** See `Source.receive`: what was received before `signal` aborts is still yielded; a break releases the rest. */
  async *run(signal: AbortSignal, halt: AbortSignal): AsyncGenerator<readonly Delivery[], void, undefined> {
    const end = (): void => this.#finish();
    const cut = (): void => this.#cut();
    signal.addEventListener('abort', end);
    halt.addEventListener('abort', cut);
    if (signal.aborted) end();
    if (halt.aborted) cut();
    // As many as the run before was at work with; their polls are waiting for them.
    const needed = this.#mode === 'continuous' ? Math.max(1, this.#options.polls.parked) : Infinity;
    for (let me = needed; me < this.#options.receivers; me += 1) this.#resting.add(me);
    const loops = Array.from({ length: this.#options.receivers }, (_, me) => this.#loop(me));
    try {
      yield* this.#handOver.take(() => this.#running > 0);
      if (this.#fatal !== null) throw this.#fatal;
    } finally {
      signal.removeEventListener('abort', end);
      halt.removeEventListener('abort', cut);
      cut();
      await Promise.all(loops);
      await this.#options.release(this.#handOver.left);
    }
  }

  #finish(): void {
    this.#end.abort();
    for (const interrupt of this.#interrupts) interrupt();
    this.#interrupts.clear();
  }

  #cut(): void {
    this.#halt.abort();
    this.#finish();
  }

  async #loop(me: number): Promise<void> {
    this.#running += 1;
    try {
      while (!this.#end.signal.aborted) await this.#step(me);
    } catch (error) {
      this.#fatal ??= asPipelineError(error);
      this.#cut();
    } finally {
      this.#running -= 1;
      this.#handOver.ring();
    }
  }

  /** One poll, and what follows from it. */
  async #step(me: number): Promise<void> {
    const { polls, inFlight, clock, admit, pointers } = this.#options;
    const mustWait = (): boolean =>
      this.#empty.has(me) || this.#resting.has(me) || (this.#prober !== null && this.#prober !== me);
    if (mustWait()) return this.#changed.wait(this.#end.signal);
    const adopted = polls.adopt();
    let poll = adopted;
    if (poll === undefined) {
      await admit(this.#end.signal);
      await pointers?.ready(this.#end.signal);
      const reserved = await inFlight.reserve(this.#end.signal);
      if (reserved === 0) return;
      if (this.#end.signal.aborted || mustWait()) return inFlight.admit(reserved, []);
      poll = polls.begin(reserved, this.#waitS);
    }
    const arrivalsBefore = this.#arrivals;
    const result = await this.#resultOf(poll);
    if (result === 'ended') return polls.park(poll, KEEP_MS[this.#mode]);
    if (result.kind === 'failed') return this.#failed(me, result.error);
    this.#recovered();
    const tookMs = clock.now() - poll.startedAt;
    if (result.deliveries.length > 0) {
      if (tookMs < PROMPT_MS || result.deliveries.length >= MAX_ENTRIES) this.#wakeAnother();
      return this.#hand(me, result.deliveries);
    }
    if (tookMs < MIN_EMPTY_MS) return clock.sleep(MIN_EMPTY_MS - tookMs, this.#end.signal);
    const waitedLong = tookMs >= this.#waitS * 1_000 * EARLY_PART;
    const countsAsEmpty = waitedLong && adopted === undefined && arrivalsBefore === this.#arrivals;
    if (this.#mode === 'until_empty' && countsAsEmpty) await this.#sawEmpty(me);
    const awake = this.#options.receivers - this.#resting.size - this.#reading.size;
    if (this.#mode === 'continuous' && waitedLong && awake > 1) this.#resting.add(me);
  }

  #wakeAnother(): void {
    const [one] = this.#resting;
    if (one === undefined) return;
    this.#resting.delete(one);
    this.#changed.ring();
  }

  /** The poll's result, or `ended` as soon as receiving ends. */
  #resultOf(poll: Poll): Promise<PollResult | 'ended'> {
    return new Promise((resolve) => {
      const interrupt = (): void => resolve('ended');
      this.#interrupts.add(interrupt);
      void poll.result.then((result) => {
        // Interrupted before, it is parked by now and belongs to another.
        this.#interrupts.delete(interrupt);
        resolve(result);
      });
    });
  }

  /** Hands over what one receive returned: first what messages hold, then what the others point to. */
  async #hand(me: number, received: readonly Received[]): Promise<void> {
    const { pointers, release } = this.#options;
    if (pointers === undefined) return this.#offer(received, this.#end.signal);
    const halt = this.#halt.signal;
    const kept = new Map(received.map(({ receipt }) => [receipt.handle, receipt]));
    try {
      const fetched = await Promise.all(received.map((message) => pointers.fetch(message, halt)));
      const streams = streamsOf(fetched, pointers, halt);
      const messages = atOnce(fetched, (message) => streams.has(message));
      const whole = messages.filter((message) => !streams.has(message));
      for (const { receipt } of whole) kept.delete(receipt.handle);
      if (whole.length > 0) await this.#offer(whole, this.#end.signal);
      for (const message of messages) {
        const pieces = streams.get(message);
        if (pieces === undefined) continue;
        if (!this.#reading.has(me)) this.#wakeAnother();
        this.#reading.add(me);
        for await (const part of partsOf(message, pieces, halt)) {
          kept.delete(message.receipt.handle);
          await this.#offer([part], halt);
          await this.#options.admit(halt);
        }
      }
    } catch (error) {
      if (!halt.aborted) throw error;
    } finally {
      this.#reading.delete(me);
      await release([...kept.values()]);
    }
  }

  #offer(deliveries: readonly Delivery[], signal: AbortSignal): Promise<void> {
    this.#arrivals += 1;
    this.#empty.clear();
    this.#changed.ring();
    return this.#handOver.offer(deliveries, signal);
  }

  /** The last receiver to find nothing asks the queue, while the others wait: no poll is under way by then. */
  async #sawEmpty(me: number): Promise<void> {
    this.#empty.add(me);
    if (this.#empty.size < this.#options.receivers) return;
    const arrivals = this.#arrivals;
    let empty: boolean;
    try {
      empty = await this.#queueIsEmpty();
    } catch (error) {
      this.#empty.clear();
      return this.#failed(me, asPipelineError(error));
    }
    if (empty && arrivals === this.#arrivals) return this.#finish();
    this.#empty.clear();
    this.#changed.ring();
  }

  async #queueIsEmpty(): Promise<boolean> {
    const attributes = await this.#options.client.attributes();
    if (attributes === null || attributes.visible === 0) return true;
    // What a FIFO queue counts as visible, but hands to nobody, waits behind messages that another consumer holds.
    return attributes.fifo && attributes.inFlight > 0 && this.#options.inFlight.messages === 0;
  }

  /** Waits out an outage: one receiver goes on asking, the others stand by. Throws what only people can mend. */
  async #failed(me: number, error: PipelineError): Promise<void> {
    if (this.#end.signal.aborted) return;
    // The source was stopped under a run that is still receiving.
    if (error.code === 'canceled') return this.#finish();
    if (actionFor(error) === 'stop') throw error;
    this.#prober ??= me;
    if (this.#prober !== me) return;
    const { clock, onEvent } = this.#options;
    this.#failures += 1;
    const waitMs = backoffMs(clock, this.#failures, OUTAGE_BASE_MS, OUTAGE_MAX_MS);
    onEvent({ kind: 'waiting', error, waitMs });
    await clock.sleep(waitMs, this.#end.signal);
  }

  #recovered(): void {
    if (this.#prober === null) return;
    this.#prober = null;
    this.#failures = 0;
    this.#changed.ring();
  }
}
