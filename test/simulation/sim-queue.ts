import type { Batch, MaskedBatch } from '../../src/batch.js';
import { backoffMs } from '../../src/clock.js';
import { PipelineError, asPipelineError } from '../../src/errors.js';
import type { Service, StopMode } from '../../src/lifecycle.js';
import { type AttemptSettings, verdictOn } from '../../src/queue/attempts.js';
import type { BatchQueue, JobState } from '../../src/queue/queue.js';
import { Bell } from '../../src/bell.js';
import type { Faults } from './faults.js';
import type { Host } from './host.js';
import type { Outage } from './outage.js';
import type { Benign, Planted } from './planted.js';
import type { Scheduler } from './scheduler.js';

/** As the real queues have it: a worker that is silent for so long loses its job, which is noticed so often. */
const LOCK_MS = 15_000;
const STALLED_LOOK_MS = 4_000;
const MAX_TAKEOVERS = 10;
/** So soon may a live worker be taken over from: within the time that a batch takes. */
const TAKEOVER_MS = 150;
/** A worker that could not ask for work asks again after this. */
const PAUSE_MS = 500;

interface Job<T> {
  readonly batch: T;
  /** `stuck`: nobody is ever given it, as when an operator has paused the queue. */
  state: 'waiting' | 'delayed' | 'active' | 'failed' | 'stuck';
  attempts: number;
  takeovers: number;
  /** Whose work on it counts: others hold an older token. */
  token: number;
  host: Host | null;
  /** From when on its worker does not renew the lock, though it lives. */
  droppedAt: number;
}

interface Claimed<T> {
  readonly job: Job<T>;
  readonly token: number;
}

/** What a queue is part of. */
export interface SimQueueOptions {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly faults: Faults;
  readonly outage: Outage;
  readonly attempts: AttemptSettings;
  /** Jobs may get stuck for good: ingesters wait no longer for a batch than is reasonable. */
  readonly mayStick: boolean;
  readonly planted: Planted | Benign | null;
}

/**
 * A model of a BullMQ queue: jobs with locks that run out, workers that are taken over from while they live, failed
 * jobs that are kept, and a server that forgets everything or wakes up in its own past.
 */
export class SimQueue<T extends Batch | MaskedBatch> {
  readonly #options: SimQueueOptions;
  readonly #bell = new Bell();
  #jobs = new Map<string, Job<T>>();
  #saved: ReadonlyMap<string, Job<T>> | null = null;
  #tokens = 0;
  #offers = 0;
  #looking = false;

  constructor(options: SimQueueOptions) {
    this.#options = options;
  }

  /** True when there is nothing left to work on. */
  get isIdle(): boolean {
    return [...this.#jobs.values()].every(({ state }) => state === 'failed' || state === 'stuck');
  }

  /** FLUSHALL. */
  wipe(): void {
    this.#jobs.clear();
  }

  /** What a restart from an older snapshot would bring back. */
  save(): void {
    this.#saved = new Map([...this.#jobs].map(([id, job]) => [id, { ...job }]));
  }

  /** Goes back to what was saved; false when nothing was. Jobs that were done since are there again. */
  rewind(): boolean {
    if (this.#saved === null) return false;
    const now = this.#options.scheduler.now();
    this.#jobs = new Map([...this.#saved].map(([id, job]) => [id, { ...job, token: -1, droppedAt: now }]));
    for (const job of this.#jobs.values()) if (job.state === 'delayed') job.state = 'waiting';
    this.#saved = null;
    this.#offer();
    this.#watch();
    return true;
  }

  /** The queue, as one process reaches it. */
  at(host: Host): BatchQueue<T> {
    return {
      add: (batch) => this.#call(host, 'add', () => this.#add(batch)),
      process: (handler, { concurrency }) => this.#process(host, handler, concurrency),
      states: (ids) => this.#call(host, 'states', () => ids.map((id) => this.#stateOf(id)), true),
      backlog: () =>
        this.#call(host, 'backlog', () => ({
          waiting: this.#count('waiting') + this.#count('delayed'),
          active: this.#count('active'),
          failed: this.#count('failed'),
        })),
      close: async () => undefined,
    };
  }

  /** There may be something to work on. */
  #offer(): void {
    this.#offers += 1;
    this.#bell.ring();
  }

  #count(state: Job<T>['state']): number {
    return [...this.#jobs.values()].filter((job) => job.state === state).length;
  }

  #call<R>(host: Host, what: string, effect: () => R, poll = false): Promise<R> {
    const { name, outage } = this.#options;
    const lost = (): PipelineError => new PipelineError('redis_unavailable', 'Redis did not answer');
    return host.call({ name: `${name}.${what}`, poll, lost, effect: () => outage.through(effect) });
  }

  #add(batch: T): void {
    const { faults, mayStick } = this.#options;
    if (faults.strikes('add_refused', batch.batchId))
      throw new PipelineError('unexpected', 'the queue refuses the batch');
    const known = this.#jobs.get(batch.batchId);
    if (known && (known.state !== 'failed' || this.#options.planted === 'swallowed_id')) return;
    this.#jobs.set(batch.batchId, {
      batch,
      state: mayStick && faults.strikes('job_stuck', batch.batchId) ? 'stuck' : 'waiting',
      attempts: 0,
      takeovers: 0,
      token: 0,
      host: null,
      droppedAt: Infinity,
    });
    this.#offer();
  }

  #stateOf(batchId: string): JobState {
    const { planted } = this.#options;
    const job = this.#jobs.get(batchId);
    if (!job) return planted === 'wipe_unseen' ? 'live' : 'absent';
    return job.state === 'failed' && planted !== 'swallowed_id' ? 'failed' : 'live';
  }

  #process(
    host: Host,
    handler: (batch: T, signal: AbortSignal) => Promise<void>,
    concurrency: number,
  ): Service {
    const stopping = new AbortController();
    const hard = new AbortController();
    const slots = Array.from({ length: concurrency }, () =>
      this.#slot(host, handler, stopping.signal, hard.signal),
    );
    const aborted = new Promise((resolve) => hard.signal.addEventListener('abort', resolve));
    return {
      stop: async (mode: StopMode = 'soft') => {
        stopping.abort();
        if (mode === 'hard') hard.abort();
        await Promise.race([Promise.all(slots), aborted]);
      },
    };
  }

  async #slot(
    host: Host,
    handler: (batch: T, signal: AbortSignal) => Promise<void>,
    stopping: AbortSignal,
    hard: AbortSignal,
  ): Promise<void> {
    while (!stopping.aborted) {
      const claimed = await this.#claim(host).catch(() => 'away' as const);
      if (claimed === 'away') await host.clock.sleep(PAUSE_MS, stopping);
      else if ('seen' in claimed) {
        // What came while the answer was on its way must not be missed.
        if (claimed.seen === this.#offers) await this.#bell.wait(stopping);
      } else await this.#work(host, claimed, handler, hard);
    }
  }

  #claim(host: Host): Promise<Claimed<T> | { readonly seen: number }> {
    return this.#call(host, 'claim', () => {
      const job = [...this.#jobs.values()].find((candidate) => candidate.state === 'waiting');
      if (!job) return { seen: this.#offers };
      this.#tokens += 1;
      Object.assign(job, {
        state: 'active',
        token: this.#tokens,
        host,
        droppedAt: this.#options.scheduler.now(),
      });
      this.#watch();
      if (this.#options.faults.strikes('takeover_of_a_live_worker', job.batch.batchId))
        this.#takeOverSoon(job);
      return { job, token: this.#tokens };
    });
  }

  async #work(
    host: Host,
    { job, token }: Claimed<T>,
    handler: (batch: T, signal: AbortSignal) => Promise<void>,
    hard: AbortSignal,
  ): Promise<void> {
    const { scheduler } = this.#options;
    // Only a worker that knows of its job renews the lock.
    if (job.token === token) job.droppedAt = Infinity;
    const error = await this.#attempt(job.batch, handler, hard);
    // Cut short: the job stays as it is until its lock has run out. So it does when this can't be told.
    if (!hard.aborted) {
      const told = this.#call(host, 'finish', () => this.#finish(job, token, error));
      await told.catch(() => undefined);
    }
    if (job.token === token) job.droppedAt = scheduler.now();
  }

  async #attempt(
    batch: T,
    handler: (batch: T, signal: AbortSignal) => Promise<void>,
    hard: AbortSignal,
  ): Promise<PipelineError | null> {
    const { faults } = this.#options;
    try {
      if (faults.strikes('payload_unreadable', batch.batchId))
        throw new PipelineError('payload_corrupt', 'the payload is not authentic');
      if (faults.strikes('payload_newer', batch.batchId))
        throw new PipelineError('payload_newer', 'the payload is of version 9');
      await handler(batch, hard);
      return null;
    } catch (thrown) {
      return asPipelineError(thrown);
    }
  }

  #finish(job: Job<T>, token: number, error: PipelineError | null): void {
    const { scheduler, attempts } = this.#options;
    const { batchId } = job.batch;
    // The lock was lost, or the job is gone: this outcome is nobody's.
    if (this.#jobs.get(batchId) !== job || job.token !== token || job.state !== 'active') return;
    if (error === null) {
      this.#jobs.delete(batchId);
      return;
    }
    const verdict = verdictOn(error);
    if (verdict !== 'put_back') job.attempts += 1;
    if (verdict === 'fail' || job.attempts >= attempts.attempts) {
      job.state = 'failed';
      return;
    }
    job.state = 'delayed';
    const { baseMs, maxMs, newerMs } = attempts;
    const waitMs = verdict === 'put_back' ? newerMs : backoffMs(scheduler, job.attempts, baseMs, maxMs);
    void scheduler.sleep(waitMs).then(() => {
      if (job.state !== 'delayed') return;
      job.state = 'waiting';
      this.#offer();
    });
  }

  /** Looks for stalled jobs while any is active. */
  #watch(): void {
    if (this.#looking) return;
    this.#looking = true;
    void this.#look();
  }

  async #look(): Promise<void> {
    const { scheduler } = this.#options;
    while (this.#count('active') > 0) {
      await scheduler.sleep(STALLED_LOOK_MS);
      for (const job of this.#jobs.values()) {
        const lastRenewedAt = Math.min(job.host?.lastRanAt ?? 0, job.droppedAt);
        if (job.state === 'active' && scheduler.now() - lastRenewedAt > LOCK_MS) this.#stalled(job);
      }
    }
    this.#looking = false;
  }

  /** A worker that lives, and is busy with the job, is taken for dead. */
  #takeOverSoon(job: Job<T>): void {
    const { scheduler } = this.#options;
    void scheduler.sleep(scheduler.dice.between(0, TAKEOVER_MS)).then(() => {
      if (job.state === 'active') this.#stalled(job);
    });
  }

  #stalled(job: Job<T>): void {
    job.takeovers += 1;
    job.state = job.takeovers > MAX_TAKEOVERS ? 'failed' : 'waiting';
    job.token = -1;
    this.#offer();
  }
}
