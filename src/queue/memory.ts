import type { Batch, MaskedBatch } from '../batch.js';
import { type Clock, backoffMs } from '../clock.js';
import { PipelineError, asPipelineError } from '../errors.js';
import type { Service, StopMode } from '../lifecycle.js';
import {
  type AttemptSettings,
  type OnQueueEvent,
  defaultAttempts,
  storedText,
  verdictOn,
} from './attempts.js';
import { type FailedFilter, type FailedJob, type FailedJobs, failedJob, matches } from './failed-jobs.js';
import type { Backlog, BatchQueue, JobState } from './queue.js';

/** What a queue in memory needs. */
export interface MemoryQueueOptions {
  readonly clock: Clock;
  readonly attempts?: AttemptSettings;
  /** How many failed batches are remembered, and for how many seconds. */
  readonly keepFailed?: { readonly count: number; readonly ageS: number };
  readonly onEvent?: OnQueueEvent;
}

interface Entry<T> {
  batch: T;
  state: 'waiting' | 'delayed' | 'active' | 'failed';
  attemptsMade: number;
  readonly addedAt: number;
  startedAt: number | null;
  failedAt: number;
  reason: string;
}

interface Consumer<T> extends Service {
  readonly handler: (batch: T, signal: AbortSignal) => Promise<void>;
  readonly concurrency: number;
  readonly hardStop: AbortController;
  readonly running: Map<Entry<T>, Promise<void>>;
  stopped: boolean;
}

const KEEP_FAILED = { count: 1_000, ageS: 7 * 24 * 3_600 };

/**
 * A batch queue within one process, under the contract of the real ones. Nothing outlives the process: SQS is the
 * buffer. All waiting is done by the clock, so that a simulation can own it.
 */
export class MemoryQueue<T extends Batch | MaskedBatch> implements BatchQueue<T>, FailedJobs<T> {
  readonly #clock: Clock;
  readonly #attempts: AttemptSettings;
  readonly #keepFailed: { readonly count: number; readonly ageS: number };
  readonly #report: OnQueueEvent;
  readonly #entries = new Map<string, Entry<T>>();
  /** In order of arrival; ids that are no longer waiting are skipped. */
  readonly #waiting: string[] = [];
  readonly #consumers = new Set<Consumer<T>>();
  readonly #closing = new AbortController();

  constructor(options: MemoryQueueOptions) {
    this.#clock = options.clock;
    this.#attempts = options.attempts ?? defaultAttempts;
    this.#keepFailed = options.keepFailed ?? KEEP_FAILED;
    this.#report = options.onEvent ?? (() => undefined);
  }

  async add(batch: T): Promise<void> {
    this.#requireOpen();
    const known = this.#entries.get(batch.batchId);
    if (known && known.state !== 'failed') return;
    const addedAt = this.#clock.now();
    const untried = { attemptsMade: 0, addedAt, startedAt: null, failedAt: 0, reason: '' };
    this.#entries.set(batch.batchId, { batch, state: 'waiting', ...untried });
    this.#offer(batch.batchId);
  }

  process(
    handler: (batch: T, signal: AbortSignal) => Promise<void>,
    options: { readonly concurrency: number },
  ): Service {
    this.#requireOpen();
    const consumer: Consumer<T> = {
      handler,
      concurrency: options.concurrency,
      hardStop: new AbortController(),
      running: new Map(),
      stopped: false,
      stop: (mode) => this.#stop(consumer, mode ?? 'soft'),
    };
    this.#consumers.add(consumer);
    this.#dispatch();
    return consumer;
  }

  async states(batchIds: readonly string[]): Promise<readonly JobState[]> {
    this.#requireOpen();
    this.#forgetOldFailures();
    return batchIds.map((id) => {
      const entry = this.#entries.get(id);
      if (!entry) return 'absent';
      return entry.state === 'failed' ? 'failed' : 'live';
    });
  }

  async backlog(): Promise<Backlog> {
    this.#requireOpen();
    this.#forgetOldFailures();
    const states = [...this.#entries.values()].map((entry) => entry.state);
    const active = states.filter((state) => state === 'active').length;
    const failed = states.filter((state) => state === 'failed').length;
    return { waiting: states.length - active - failed, active, failed };
  }

  async failed(filter: FailedFilter): Promise<readonly FailedJob[]> {
    this.#requireOpen();
    this.#forgetOldFailures();
    const newestFirst = [...this.#entries.values()].filter((entry) => entry.state === 'failed').toReversed();
    const jobs = newestFirst.map(asFailedJob).filter((job) => matches(job, filter));
    return jobs.slice(0, filter.limit ?? Infinity);
  }

  async failedByIds(batchIds: readonly string[]): Promise<readonly FailedJob[]> {
    const jobs = new Map<string, FailedJob>();
    for (const job of await this.failed({ codes: [], since: null, limit: null })) jobs.set(job.batchId, job);
    return batchIds.flatMap((id) => jobs.get(id) ?? []);
  }

  async openFailed(batchId: string): Promise<T | null> {
    const [job] = await this.failedByIds([batchId]);
    return job ? (this.#entries.get(batchId)?.batch ?? null) : null;
  }

  async discardFailed(batchId: string): Promise<boolean> {
    const [job] = await this.failedByIds([batchId]);
    return job !== undefined && this.#entries.delete(batchId);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop('hard')));
  }

  #requireOpen(): void {
    if (this.#closing.signal.aborted) throw new PipelineError('canceled', 'the queue is closed');
  }

  #offer(batchId: string): void {
    this.#waiting.push(batchId);
    this.#dispatch();
  }

  #dispatch(): void {
    for (const consumer of this.#consumers) {
      while (!consumer.stopped && consumer.running.size < consumer.concurrency) {
        const next = this.#take();
        if (!next) return;
        const work = this.#run(consumer, next);
        consumer.running.set(next, work);
        void work.then(() => {
          consumer.running.delete(next);
          this.#dispatch();
        });
      }
    }
  }

  #take(): Entry<T> | null {
    for (let id = this.#waiting.shift(); id !== undefined; id = this.#waiting.shift()) {
      const entry = this.#entries.get(id);
      if (entry?.state !== 'waiting') continue;
      entry.state = 'active';
      entry.startedAt = this.#clock.now();
      return entry;
    }
    return null;
  }

  /** Never rejects. */
  async #run(consumer: Consumer<T>, entry: Entry<T>): Promise<void> {
    const { batchId } = entry.batch;
    const outcome = await outcomeOf(consumer, entry.batch);
    // A hard stop has given the batch back meanwhile, and another consumer may have it.
    if (consumer.hardStop.signal.aborted) return;
    if (outcome === null) {
      this.#entries.delete(batchId);
      return;
    }
    const verdict = verdictOn(outcome);
    const attempt = entry.attemptsMade + 1;
    const final = verdict === 'fail' || (verdict === 'again' && attempt >= this.#attempts.attempts);
    this.#report({ kind: 'attempt_failed', batchId, error: outcome, attempt, final });
    if (verdict === 'put_back') return this.#delay(entry, this.#attempts.newerMs);
    entry.attemptsMade = attempt;
    if (!final) {
      const { baseMs, maxMs } = this.#attempts;
      return this.#delay(entry, backoffMs(this.#clock, entry.attemptsMade, baseMs, maxMs));
    }
    entry.state = 'failed';
    entry.failedAt = this.#clock.now();
    entry.reason = storedText(outcome);
    // The newest failure is the last entry, so that the oldest are found first.
    this.#entries.delete(batchId);
    this.#entries.set(batchId, entry);
  }

  #giveBack(entry: Entry<T>): void {
    if (entry.state !== 'active') return;
    entry.state = 'waiting';
    this.#offer(entry.batch.batchId);
  }

  #delay(entry: Entry<T>, ms: number): void {
    entry.state = 'delayed';
    void this.#clock.sleep(ms, this.#closing.signal).then(() => {
      if (this.#closing.signal.aborted || this.#entries.get(entry.batch.batchId) !== entry) return;
      entry.state = 'waiting';
      this.#offer(entry.batch.batchId);
    });
  }

  #forgetOldFailures(): void {
    const failed = [...this.#entries.values()].filter((entry) => entry.state === 'failed');
    const oldest = this.#clock.now() - this.#keepFailed.ageS * 1_000;
    const surplus = failed.length - this.#keepFailed.count;
    failed.forEach((entry, index) => {
      if (index < surplus || entry.failedAt < oldest) this.#entries.delete(entry.batch.batchId);
    });
  }

  async #stop(consumer: Consumer<T>, mode: StopMode): Promise<void> {
    consumer.stopped = true;
    if (mode === 'hard' && !consumer.hardStop.signal.aborted) {
      consumer.hardStop.abort();
      for (const entry of consumer.running.keys()) this.#giveBack(entry);
    }
    while (consumer.running.size > 0 && !consumer.hardStop.signal.aborted) {
      await Promise.race([Promise.all(consumer.running.values()), aborted(consumer.hardStop.signal)]);
    }
    this.#consumers.delete(consumer);
  }
}

function asFailedJob<T extends Batch | MaskedBatch>(entry: Entry<T>): FailedJob {
  const { batch, attemptsMade: attempts, addedAt, startedAt, failedAt, reason } = entry;
  const records = 'records' in batch ? batch.records.length : batch.keys.length + batch.rejections.length;
  const payload = { version: null, kid: null, keyring: null, records, bytes: null };
  const times = { addedAt, startedAt, failedAt };
  return failedJob({ id: batch.batchId, payload, queuedBytes: 0, reason, attempts, takeovers: 0, ...times });
}

async function outcomeOf<T>(consumer: Consumer<T>, batch: T): Promise<PipelineError | null> {
  // Not within the call of `add` that found this consumer idle.
  await Promise.resolve();
  try {
    await consumer.handler(batch, consumer.hardStop.signal);
    return null;
  } catch (error) {
    return asPipelineError(error);
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
