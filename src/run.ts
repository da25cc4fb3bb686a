import {
  type Batch,
  type Counts,
  type Fate,
  type MaskedBatch,
  type Receipt,
  type RunReport,
  type RunState,
  type Trigger,
  addCounts,
  noCounts,
} from './batch.js';
import type { HeldBatch } from './load/sink.js';
import { type PartLimits, PartedMessages } from './parted.js';

/** A batch that is out with the workers, and the receipts of its messages: receipt i is message i's. */
export interface Held extends HeldBatch {
  readonly receipts: readonly Receipt[];
  /** Since when it has been waiting, outages left out, by a clock that does not go back. */
  readonly heldAt: number;
}

/** When rejections are so many that the run must stop; ratio of quarantined to received. */
export interface BreakerLimits {
  readonly maxRejectedRatio: number;
  readonly minMessages: number;
  readonly maxRejected: number | null;
}

/** What a run must know. */
export interface RunOptions {
  readonly runId: string;
  readonly pipeline: string;
  readonly trigger: Trigger;
  readonly startedAt: number;
  readonly breaker?: BreakerLimits;
  /** Stops receiving once so many records were received. */
  readonly maxRecords?: number;
  /** How much may be under way of messages that come in parts; absent, they are not bounded. */
  readonly partLimits?: PartLimits;
  /** Whether a message that is released though its batch is committed fails the run, as under `fifo: block`. */
  readonly holdingFails?: boolean;
}

/** Receipts whose messages can be settled. */
export interface Due {
  readonly acked: readonly Receipt[];
  readonly released: readonly Receipt[];
}

/** Why a run stopped receiving before its queue was empty. `cut` is its planned end and no fault. */
export type StopReason = 'cut' | 'canceled' | 'breaker_open' | 'failed';

/**
 * One tick's, drain's or replay's work: what it holds, and what became of the rest. It lives in the ingester; its
 * report adds up once nothing is held.
 */
export class Run {
  readonly options: RunOptions;
  readonly #held = new Map<string, Held>();
  readonly #intake = new AbortController();
  readonly #halt = new AbortController();
  readonly #parted = new PartedMessages();
  #due: { acked: Receipt[]; released: Receipt[] } = { acked: [], released: [] };
  #settled: Counts = noCounts;
  #received = 0;
  #drained = false;
  #batchesReleased = 0;
  #groupsBlocked = false;
  #stopReason: StopReason | null = null;
  #tripped = false;

  constructor(options: RunOptions) {
    this.options = options;
  }

  /** Aborts when the run is to receive no more. */
  get intake(): AbortSignal {
    return this.#intake.signal;
  }

  /** Aborts when not even the rest of a message is to be received that comes in parts. */
  get halt(): AbortSignal {
    return this.#halt.signal;
  }

  /** True when nothing more will be received, nothing is held, and every receipt is handed out. */
  get finished(): boolean {
    const { acked, released } = this.#due;
    return this.#drained && this.#held.size === 0 && acked.length + released.length === 0;
  }

  /** Whether it came to its planned end before that of the queue. */
  get isCut(): boolean {
    return this.#stopReason === 'cut';
  }

  /** Whether this run's own rejections were too many. Another's may be why it was stopped as `breaker_open`. */
  get tripped(): boolean {
    return this.#tripped;
  }

  /** Batches without a known fate, oldest first. */
  get held(): readonly Held[] {
    return [...this.#held.values()];
  }

  /** Takes charge of a batch's receipts. Before the batch is added to any queue. */
  hold(batch: Batch | MaskedBatch, receipts: readonly Receipt[], now: number): void {
    const held = asHeld(batch);
    this.#held.set(batch.batchId, { ...held, receipts, heldAt: now });
    this.#parted.hold(batch.batchId, held.records, receipts);
    this.#received += held.records;
    if (this.options.maxRecords !== undefined && this.#received >= this.options.maxRecords) this.stop('cut');
  }

  /** Time in which no batch could get on, as in an outage, does not count as waiting. */
  excuse(ms: number): void {
    for (const [batchId, held] of this.#held) this.#held.set(batchId, { ...held, heldAt: held.heldAt + ms });
  }

  /** Waits while more is held of messages that come in parts than may be; not once the run halts, or `signal` aborts. */
  async room(signal: AbortSignal): Promise<void> {
    const { partLimits } = this.options;
    if (partLimits) await this.#parted.room(partLimits, AbortSignal.any([signal, this.halt]));
  }

  /** Says what became of a batch: its messages are due, but for those of which other parts have no fate yet. */
  settle(fate: Fate): void {
    const held = this.#held.get(fate.batchId);
    if (!held) return;
    this.#held.delete(fate.batchId);
    const left = new Set(fate.held);
    for (const [index, receipt] of held.receipts.entries()) {
      const outcome = this.#parted.settle(receipt, fate.state === 'released' || left.has(index));
      if (outcome !== 'open') this.#due[outcome].push(receipt);
    }
    this.#parted.free(fate.batchId);
    this.#settled = addCounts(this.#settled, fate);
    if (fate.state === 'released') this.#batchesReleased += 1;
    if (fate.held.length > 0 && this.options.holdingFails === true) this.#groupsBlocked = true;
    if (this.#rejectsTooMany()) {
      this.#tripped = true;
      this.stop('breaker_open');
    }
  }

  /** Hands out the receipts that are due, each once: exactly one caller spends it. */
  takeDue(): Due {
    const due = this.#due;
    this.#due = { acked: [], released: [] };
    return due;
  }

  /** Stops receiving; the first reason stays, but for `cut`, which any other replaces. */
  stop(reason: StopReason): void {
    if (this.#stopReason === null || this.#stopReason === 'cut') this.#stopReason = reason;
    this.#intake.abort();
    if (reason === 'failed' || reason === 'breaker_open') this.#halt.abort();
  }

  /** Says that no further batch will be held. A message whose last part has not come is to be received again. */
  drained(): void {
    this.#drained = true;
    this.#due.released.push(...this.#parted.breakOff());
  }

  /** The report so far; final once `finished`. What is still held then was abandoned. */
  report(finishedAt: number | null): RunReport {
    const { runId, pipeline, trigger, startedAt } = this.options;
    const state = finishedAt === null ? 'running' : this.#finalState();
    return {
      runId,
      pipeline,
      trigger,
      state,
      startedAt,
      finishedAt,
      ...this.#settled,
      received: this.#received,
    };
  }

  #finalState(): RunState {
    if (this.#stopReason !== null && this.#stopReason !== 'cut') return this.#stopReason;
    return this.#batchesReleased > 0 || this.#groupsBlocked || this.#held.size > 0 ? 'failed' : 'succeeded';
  }

  #rejectsTooMany(): boolean {
    const limits = this.options.breaker;
    if (!limits) return false;
    const { received, quarantined } = this.#settled;
    if (limits.maxRejected !== null && quarantined > limits.maxRejected) return true;
    return received >= limits.minMessages && quarantined / received > limits.maxRejectedRatio;
  }
}

function asHeld(batch: Batch | MaskedBatch): HeldBatch {
  const { batchId, runId, pipeline } = batch;
  const isMasked = 'keys' in batch;
  return {
    batchId,
    runId,
    pipeline,
    records: isMasked ? batch.keys.length + batch.rejections.length : batch.records.length,
    receivedAt: isMasked
      ? batch.receivedAt
      : Math.min(...batch.messages.map((message) => message.receivedAt)),
  };
}
