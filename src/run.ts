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

/** A batch that is out with the workers, and the receipts that settle its messages: receipt i is message i's. */
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
  #settled: Counts = noCounts;
  #received = 0;
  #drained = false;
  #batchesReleased = 0;
  #stopReason: StopReason | null = null;
  #tripped = false;

  constructor(options: RunOptions) {
    this.options = options;
  }

  /** Aborts when the run is to receive no more. */
  get intake(): AbortSignal {
    return this.#intake.signal;
  }

  /** True when nothing more will be received and nothing is held. */
  get finished(): boolean {
    return this.#drained && this.#held.size === 0;
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
    this.#received += held.records;
    if (this.options.maxRecords !== undefined && this.#received >= this.options.maxRecords) this.stop('cut');
  }

  /** Time in which no batch could get on, as in an outage, does not count as waiting. */
  excuse(ms: number): void {
    for (const [batchId, held] of this.#held) this.#held.set(batchId, { ...held, heldAt: held.heldAt + ms });
  }

  /** Hands out the receipts of a batch whose fate is known, once: exactly one caller spends them. */
  take(fate: Fate): Held | undefined {
    const held = this.#held.get(fate.batchId);
    if (!held) return undefined;
    this.#held.delete(fate.batchId);
    this.#settled = addCounts(this.#settled, fate);
    if (fate.state === 'released') this.#batchesReleased += 1;
    if (this.#rejectsTooMany()) {
      this.#tripped = true;
      this.stop('breaker_open');
    }
    return held;
  }

  /** Stops receiving; the first reason stays, but for `cut`, which any other replaces. */
  stop(reason: StopReason): void {
    if (this.#stopReason === null || this.#stopReason === 'cut') this.#stopReason = reason;
    this.#intake.abort();
  }

  /** Says that no further batch will be held. */
  drained(): void {
    this.#drained = true;
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
    return this.#batchesReleased > 0 || this.#held.size > 0 ? 'failed' : 'succeeded';
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
