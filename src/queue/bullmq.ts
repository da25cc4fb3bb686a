import type { JobsOptions } from 'bullmq';
import type { Batch, MaskedBatch } from '../batch.js';
import type { Clock } from '../clock.js';
import { PipelineError } from '../errors.js';
import type { Service } from '../lifecycle.js';
import { type AttemptSettings, type OnQueueEvent, defaultAttempts } from './attempts.js';
import { type BoardQueue, JOB_NAME } from './board.js';
import { bullBoard } from './bullmq-board.js';
import { BullConsumer, type LockSettings, defaultLocks } from './bullmq-consumer.js';
import { type Backend, TimedOut, queueError, within } from './bullmq-errors.js';
import type { JobQueue, Link, LinkOptions, QueueServer } from './bullmq-link.js';
import { postgresLink } from './bullmq-postgres.js';
import { redisLink } from './bullmq-redis.js';
import {
  type FailedFilter,
  type FailedJob,
  type FailedJobs,
  type StoredFailure,
  failedJob,
  matches,
} from './failed-jobs.js';
import type { Codec } from './payload.js';
import type {
  Backlog,
  BatchHandler,
  BatchQueue,
  JobState,
  ProcessOptions,
  QueueMemory,
  QueueWatch,
  Sealer,
} from './queue.js';
import { openBatch, sealBatch } from './sealed.js';

/** A call is answered, or fails, within the sum of these. */
const READY_LIMIT_MS = 2_000;
const ANSWER_LIMIT_MS = 3_000;

/** Summaries of failed jobs asked for at once: a millisecond or so of the server's time. */
const SUMMARIES_PER_TRIP = 200;

/** An outage is told of this often, though every attempt to reconnect fails. */
const TROUBLE_EVERY_MS = 5_000;

/** Failed jobs that are kept for looking into. */
export interface KeepFailed {
  readonly count: number;
  /** In seconds. */
  readonly ageS: number;
}

/** What a queue on BullMQ needs. */
export interface BullQueueOptions<T> extends QueueServer {
  readonly backend: Backend;
  readonly prefix: string;
  /** `transform.<pipeline>` or `load.<pipeline>`. */
  readonly name: string;
  readonly codec: Codec<T>;
  readonly sealer: Sealer;
  readonly clock: Clock;
  readonly keepFailed: KeepFailed;
  readonly onEvent?: OnQueueEvent;
  readonly watch?: QueueWatch;
  /** Postgres only: makes or upgrades BullMQ's schema on first use. Default false. */
  readonly migrate?: boolean;
  readonly attempts?: AttemptSettings;
  readonly locks?: LockSettings;
}

/** Opens no connection yet. Throws `config_invalid` for a URL or prefix that can't be used. */
export function createBullQueue<T extends Batch | MaskedBatch>(options: BullQueueOptions<T>): BullQueue<T> {
  return new BullQueue(options);
}

/** Where a queue's schema is to be, and who is to own it. */
export type QueuePlace = Pick<BullQueueOptions<never>, 'url' | 'tls' | 'backend' | 'prefix'>;

/**
 * Makes or upgrades BullMQ's schema in Postgres; on Redis there is nothing to do. Several may run it at once. Throws
 * `postgres_unavailable`, `permission_denied`, or `schema_outdated` when the schema is of a newer version.
 */
export async function migrateQueue(place: QueuePlace): Promise<void> {
  if (place.backend === 'redis') return;
  const link = postgresLink({ ...place, name: 'migration', migrate: true, onError: () => undefined });
  const queue = link.openQueue();
  try {
    await queue.waitUntilReady();
  } catch (error) {
    throw queueError(link.backend, link.place, 'migrating the queue', error);
  } finally {
    await queue.close().catch(() => undefined);
  }
}

/** A batch queue on BullMQ, on Redis or on Postgres; what it stores is sealed. */
export class BullQueue<T extends Batch | MaskedBatch> implements BatchQueue<T>, FailedJobs<T> {
  readonly #options: BullQueueOptions<T>;
  readonly #link: Link;
  readonly #report: OnQueueEvent;
  readonly #jobOptions: JobsOptions;
  readonly #consumers = new Set<Service>();
  #queue: JobQueue | null = null;
  /** Why the connection is not there, when it isn't. */
  #trouble: Error | null = null;
  #closed: Promise<void> | null = null;

  constructor(options: BullQueueOptions<T>) {
    this.#options = options;
    this.#report = throttled(options.onEvent ?? (() => undefined), options.clock);
    const open: (how: LinkOptions) => Link = options.backend === 'redis' ? redisLink : postgresLink;
    this.#link = open({
      ...options,
      migrate: options.migrate ?? false,
      onError: (error) => {
        this.#trouble = error;
        this.#report({ kind: 'trouble', error: this.#wrap('connecting', error) });
      },
    });
    this.#jobOptions = {
      attempts: (options.attempts ?? defaultAttempts).attempts,
      // Any name but BullMQ's own two leads to the consumer's strategy, which has a cap.
      backoff: { type: 'capped' },
      // A batch that is done is in Postgres; its job would only take memory.
      removeOnComplete: true,
      removeOnFail: { count: options.keepFailed.count, age: options.keepFailed.ageS },
      // Neither logs nor stack traces are kept: both are places where values turn up.
      keepLogs: 0,
      stackTraceLimit: 0,
    };
  }

  async add(batch: T): Promise<void> {
    const { codec, sealer, name } = this.#options;
    const id = batch.batchId;
    const data = sealBatch(codec, sealer, name, batch);
    const options = { ...this.#jobOptions, jobId: id };
    await this.#call(`adding batch ${id} to ${name}`, async (queue) => {
      const [states] = await Promise.all([this.#link.states([id]), queue.add(JOB_NAME, data, options)]);
      if (states[0] !== 'failed') return;
      // BullMQ ignores an id that it knows, failed or not. A new job starts over, with all its attempts and takeovers.
      await queue.remove(id);
      await queue.add(JOB_NAME, data, options);
    });
  }

  process(handler: BatchHandler<T>, options: ProcessOptions): Service {
    const { codec, sealer, name, clock, attempts, locks, watch } = this.#options;
    const opened = (batchId: string, data: unknown): T => {
      try {
        return openBatch(codec, sealer, name, batchId, data);
      } catch (error) {
        options.onUnreadable?.(error);
        throw error;
      }
    };
    const consumer = new BullConsumer({
      link: this.#link,
      concurrency: options.concurrency,
      attempts: attempts ?? defaultAttempts,
      locks: locks ?? defaultLocks,
      clock,
      report: this.#report,
      fetch: watch?.fetch ?? unwatched,
      handle: (batchId, data, signal, takeover) => handler(opened(batchId, data), signal, takeover),
    });
    this.#consumers.add(consumer);
    return consumer;
  }

  states(batchIds: readonly string[]): Promise<readonly JobState[]> {
    return this.#call(`asking for ${batchIds.length} batches in ${this.#options.name}`, () =>
      this.#link.states(batchIds),
    );
  }

  backlog(): Promise<Backlog> {
    return this.#call(`counting ${this.#options.name}`, () => this.#link.backlog());
  }

  async failed(filter: FailedFilter): Promise<readonly FailedJob[]> {
    const { name } = this.#options;
    const since = filter.since ?? 0;
    const limit = filter.limit ?? Infinity;
    const ids = await this.#call(`listing what failed in ${name}`, () => this.#link.failed.ids(since));
    const found: FailedJob[] = [];
    for (let from = 0; from < ids.length && found.length < limit; from += SUMMARIES_PER_TRIP) {
      const jobs = await this.failedByIds(ids.slice(from, from + SUMMARIES_PER_TRIP));
      found.push(...jobs.filter((job) => matches(job, filter)));
    }
    return found.slice(0, limit);
  }

  async failedByIds(batchIds: readonly string[]): Promise<readonly FailedJob[]> {
    const doing = `looking at failed batches in ${this.#options.name}`;
    const stored = await this.#call(doing, () => this.#link.failed.summaries(batchIds));
    const byId = new Map<string, StoredFailure>(stored.map((one) => [one.id, one]));
    return batchIds.flatMap((id) => {
      const one = byId.get(id);
      return one ? [failedJob(one)] : [];
    });
  }

  async openFailed(batchId: string): Promise<T | null> {
    const { codec, sealer, name } = this.#options;
    const doing = `reading failed batch ${batchId} in ${name}`;
    const data = await this.#call(doing, () => this.#link.failed.data(batchId));
    return data === null ? null : openBatch(codec, sealer, name, batchId, data);
  }

  discardFailed(batchId: string): Promise<boolean> {
    return this.#call(`removing failed batch ${batchId} from ${this.#options.name}`, async (queue) => {
      const [state] = await this.#link.states([batchId]);
      return state === 'failed' && (await queue.remove(batchId)) > 0;
    });
  }

  /** How full the queue's memory is; null where it has no such limit, or does not tell. Throws as `add`. */
  memory(): Promise<QueueMemory | null> {
    return this.#call(`measuring ${this.#options.name}`, () => this.#link.memory());
  }

  /** This queue, as a dashboard may show it. */
  get board(): BoardQueue {
    return bullBoard(this.#options.name, (doing, work) => this.#call(doing, work));
  }

  /** BullMQ's own metrics of this queue, in the exposition format of Prometheus. Throws as `add`. */
  exposition(): Promise<string> {
    return this.#call(`measuring ${this.#options.name}`, (queue) => queue.exportPrometheusMetrics());
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop('hard')));
    const queue = this.#queue;
    this.#queue = null;
    if (queue) await within(READY_LIMIT_MS, queue.close()).catch(() => undefined);
    this.#link.close();
  }

  #call<R>(doing: string, work: (queue: JobQueue) => Promise<R>): Promise<R> {
    const { watch } = this.#options;
    return watch ? watch.call(() => this.#answer(doing, work)) : this.#answer(doing, work);
  }

  async #answer<R>(doing: string, work: (queue: JobQueue) => Promise<R>): Promise<R> {
    try {
      const queue = await this.#ready();
      return await within(ANSWER_LIMIT_MS, work(queue));
    } catch (error) {
      throw this.#wrap(doing, error);
    }
  }

  /**
   * The queue, once its server has answered: before that BullMQ would hold on to what is added for as long as the
   * outage lasts. BullMQ remembers a failed first contact for ever, so such a queue is thrown away.
   */
  async #ready(): Promise<JobQueue> {
    if (this.#closed) throw new PipelineError('canceled', `queue ${this.#options.name} is closed`);
    const queue = (this.#queue ??= this.#link.openQueue());
    try {
      await within(READY_LIMIT_MS, queue.waitUntilReady());
      this.#trouble = null;
      return queue;
    } catch (error) {
      if (error instanceof TimedOut) throw this.#trouble ?? error;
      if (this.#queue === queue) this.#queue = null;
      void queue.close().catch(() => undefined);
      throw error;
    }
  }

  #wrap(doing: string, error: unknown): PipelineError {
    return queueError(this.#link.backend, this.#link.place, doing, error);
  }
}

const unwatched = () => (): void => undefined;

function throttled(onEvent: OnQueueEvent, clock: Clock): OnQueueEvent {
  const lastAt = new Map<string, number>();
  return (event) => {
    if (event.kind === 'trouble') {
      const { code } = event.error;
      if (clock.now() - (lastAt.get(code) ?? -Infinity) < TROUBLE_EVERY_MS) return;
      lastAt.set(code, clock.now());
    }
    onEvent(event);
  };
}
