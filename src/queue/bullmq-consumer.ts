import { type Job, DelayedError, UnrecoverableError, WaitingError } from 'bullmq';
import { type Clock, backoffMs } from '../clock.js';
import { type PipelineError, asPipelineError } from '../errors.js';
import type { Service, StopMode } from '../lifecycle.js';
import { type AttemptSettings, type OnQueueEvent, storedText, verdictOn } from './attempts.js';
import { TimedOut, isConnectionLoss, queueError, within } from './bullmq-errors.js';
import type { JobWorker, Link, WorkerSettings } from './bullmq-link.js';
import { TOO_MANY_TAKEOVERS, workersDied } from './failed-jobs.js';
import type { SealedPayload } from './sealed.js';
import { type Takeover, readMark } from './takeover.js';

/** Timing of locks and takeovers. */
export interface LockSettings {
  readonly lockMs: number;
  readonly stalledMs: number;
}

/**
 * A batch whose worker was killed is taken over when its lock has run out and the next look at stalled jobs has come:
 * 15 s + 4 s, within the promised 20. A lock is renewed at half its time, so a process has to hang for 7 s, where
 * batches take milliseconds, before a live one is taken over; that is harmless, but work done twice.
 */
export const defaultLocks: LockSettings = { lockMs: 15_000, stalledMs: 4_000 };

/** Every takeover counts, also a deployment's kill -9: BullMQ's own 1 would fail a batch at its second. */
const MAX_TAKEOVERS = 10;

/** BullMQ keeps a count for each minute besides its totals; an hour of them is plenty. */
const METRIC_MINUTES = 60;

/** How long an idle worker blocks in one command; new jobs end it at once. */
const BLOCK_S = 5;

/** After a refusal (out of memory, starting up, no rights) BullMQ asks again at once, and at full speed. */
const PAUSE_MS = 500;

/** Between attempts to open a worker whose first contact with the server failed. */
const REOPEN_BASE_MS = 250;
const REOPEN_MAX_MS = 2_000;

/** With no handler running, closing is a few commands; when it takes longer the server is away. */
const CLOSE_LIMIT_MS = 3_000;
const FORCE_LIMIT_MS = 1_000;

/** What a consumer of a queue needs. */
export interface ConsumerOptions {
  readonly link: Link;
  readonly concurrency: number;
  readonly attempts: AttemptSettings;
  readonly locks: LockSettings;
  readonly clock: Clock;
  readonly report: OnQueueEvent;
  /** Begins to wait for the server's answer; see `QueueWatch`. */
  readonly fetch: () => () => void;
  /** Reads the job's data and works on it. */
  readonly handle: (
    batchId: string,
    data: unknown,
    signal: AbortSignal,
    takeover: Takeover | undefined,
  ) => Promise<void>;
}

/** A BullMQ worker that outlives its server's outages, from whichever state they find it in. */
export class BullConsumer implements Service {
  readonly #options: ConsumerOptions;
  readonly #stopping = new AbortController();
  readonly #hardStop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #worker: JobWorker | null = null;
  #pause: NodeJS.Timeout | null = null;
  /** Ends the wait for the server's answer. */
  #fetched: () => void = () => undefined;
  #soft: Promise<void> | null = null;
  #hard: Promise<void> | null = null;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#fetch();
    void this.#start();
  }

  /** Soft: takes nothing more and waits for the handlers. Hard: aborts their signal and leaves the jobs to takeover. */
  async stop(mode: StopMode = 'soft'): Promise<void> {
    this.#stopping.abort();
    this.#fetched();
    clearTimeout(this.#pause ?? undefined);
    if (mode === 'hard') this.#hard ??= this.#abandon();
    else this.#soft ??= this.#finish();
    await (this.#hard ?? this.#soft);
  }

  /**
   * BullMQ remembers a failed first contact for ever, so such a worker is thrown away and another one opened. Once
   * a worker is ready it reconnects by itself.
   */
  async #start(): Promise<void> {
    const { link, clock } = this.#options;
    for (let attempt = 1; !this.#stopping.signal.aborted; attempt += 1) {
      const worker = this.#open();
      this.#worker = worker;
      try {
        await worker.waitUntilReady();
        if (!this.#stopping.signal.aborted) void worker.run().catch((error: unknown) => this.#trouble(error));
        return;
      } catch (error) {
        this.#worker = null;
        void worker.close(true).catch(() => undefined);
        if (this.#stopping.signal.aborted) return;
        this.#report(queueError(link.backend, link.place, 'waiting for jobs', error));
        await clock.sleep(backoffMs(clock, attempt, REOPEN_BASE_MS, REOPEN_MAX_MS), this.#stopping.signal);
      }
    }
  }

  #open(): JobWorker {
    const { link, report } = this.#options;
    const worker = link.openWorker((job, token) => this.#track(this.#run(job, token)), this.#settings());
    worker.onAnswer = () => this.#fetch();
    worker.on('error', (error) => this.#trouble(error));
    worker.on('stalled', (batchId) => report({ kind: 'taken_over', batchId }));
    worker.on('failed', (job, error) => {
      if (error.message !== TOO_MANY_TAKEOVERS) return;
      report({
        kind: 'attempt_failed',
        batchId: job?.id ?? '',
        error: workersDied(MAX_TAKEOVERS + 1),
        attempt: job?.attemptsMade ?? 0,
        final: true,
      });
    });
    return worker;
  }

  #settings(): WorkerSettings {
    const { concurrency, attempts, locks, clock } = this.#options;
    return {
      concurrency,
      // Run by `#start`, once the server has been reached.
      autorun: false,
      lockDuration: locks.lockMs,
      stalledInterval: locks.stalledMs,
      maxStalledCount: MAX_TAKEOVERS,
      drainDelay: BLOCK_S,
      runRetryDelay: PAUSE_MS,
      // Without it BullMQ counts neither completed nor failed jobs.
      metrics: { maxDataPoints: METRIC_MINUTES },
      settings: {
        // BullMQ's own exponential back-off has no cap.
        backoffStrategy: (attempt) => Math.round(backoffMs(clock, attempt, attempts.baseMs, attempts.maxMs)),
      },
    };
  }

  async #track(work: Promise<void>): Promise<void> {
    this.#running.add(work);
    this.#fetched();
    try {
      await work;
    } finally {
      this.#running.delete(work);
      this.#fetch();
    }
  }

  /** While a handler is at work BullMQ may ask for no other job, whatever the concurrency; without any it must. */
  #fetch(): void {
    this.#fetched();
    if (this.#running.size === 0 && !this.#stopping.signal.aborted) this.#fetched = this.#options.fetch();
  }

  /** What this throws is kept by BullMQ, in the job and in the event stream: code and message only. */
  async #run(job: Job<SealedPayload, void>, token: string | undefined): Promise<void> {
    const { handle, attempts, clock, report } = this.#options;
    const batchId = job.id ?? '';
    try {
      await handle(batchId, job.data, this.#hardStop.signal, this.#takeoverOf(job));
    } catch (thrown) {
      // Cut short by us: the job stays as it is, and is taken over when its lock has run out.
      if (this.#hardStop.signal.aborted) throw new WaitingError();
      const error = asPipelineError(thrown);
      const verdict = verdictOn(error);
      const attempt = job.attemptsMade + 1;
      const final = verdict === 'fail' || (verdict === 'again' && attempt >= attempts.attempts);
      report({ kind: 'attempt_failed', batchId, error, attempt, final });
      const text = storedText(error);
      if (verdict === 'fail') throw new UnrecoverableError(text);
      if (verdict === 'again') throw new Error(text);
      await job.moveToDelayed(clock.now() + attempts.newerMs, token).catch(() => {
        throw new Error(text);
      });
      throw new DelayedError();
    }
  }

  /** BullMQ counts a batch as stalled when its lock has run out, whether its worker died, hung or was told to stop. */
  #takeoverOf(job: Job<SealedPayload, void>): Takeover | undefined {
    const { backend, place } = this.#options.link;
    if (job.stalledCounter === 0) return undefined;
    return {
      count: job.stalledCounter,
      mark: readMark(job.progress),
      note: async (mark) => {
        try {
          await job.updateProgress(mark);
        } catch (error) {
          throw queueError(backend, place, `noting where batch ${job.id} is`, error);
        }
      },
    };
  }

  /** An error that nobody awaits. A refusal comes back as fast as it is asked for, so the worker asks more slowly. */
  #trouble(error: unknown): void {
    const { link } = this.#options;
    this.#report(queueError(link.backend, link.place, 'processing jobs', error));
    const worker = this.#worker;
    if (!worker || this.#pause || this.#stopping.signal.aborted || isConnectionLoss(error)) return;
    void worker.pause(true).catch(() => undefined);
    this.#pause = setTimeout(() => {
      this.#pause = null;
      void worker.resume().catch(() => undefined);
    }, PAUSE_MS);
  }

  #report(error: PipelineError): void {
    this.#options.report({ kind: 'trouble', error });
  }

  async #finish(): Promise<void> {
    const worker = this.#worker;
    if (!worker) return;
    const closed = worker.close().catch((error: unknown) => this.#trouble(error));
    const settled = new AbortController();
    void closed.then(() => settled.abort());
    await Promise.race([closed, this.#closingHangs(settled.signal), aborted(this.#hardStop.signal)]);
    if (!settled.signal.aborted) await this.#abandon();
  }

  /** Resolves when no handler has been running for so long that closing would have ended if the server answered. */
  async #closingHangs(settled: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!settled.aborted) {
      await Promise.allSettled(this.#running);
      await clock.sleep(CLOSE_LIMIT_MS, settled);
      if (this.#running.size === 0) return;
    }
  }

  /** Cuts the connections first, so that nothing that a handler does from here on is taken for an outcome. */
  async #abandon(): Promise<void> {
    const worker = this.#worker;
    if (!worker) return this.#hardStop.abort();
    // Each of these alone: a soft stop that hangs (ioredis, told to disconnect while it reconnects, falls silent)
    // keeps `close` from getting to them.
    const ended = [
      worker.pause(true),
      worker.stopRenewing(),
      worker.getBackend().close(true),
      worker.close(true),
    ];
    this.#hardStop.abort();
    try {
      await within(FORCE_LIMIT_MS, Promise.all(ended));
    } catch (error) {
      if (!(error instanceof TimedOut)) this.#trouble(error);
      void worker
        .getBackend()
        .disconnect()
        .catch(() => undefined);
    }
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
}
