import { BaseAdapter } from '@bull-board/api/dist/queueAdapters/base.js';
import type {
  JobCleanStatus,
  JobCounts,
  JobStatus,
  MetricsType,
  QueueJob,
  QueueJobJson,
  QueueMetrics,
  Status,
} from '@bull-board/api/typings/app';
import { PipelineError } from '../../errors.js';
import type { BoardActions } from './board-actions.js';
import type { BoardJob, BoardQueue, BoardState } from '../../queue/board.js';

/** In the order of the board's tabs. */
const STATES: readonly BoardState[] = ['active', 'waiting', 'delayed', 'failed', 'completed'];

/** Said in place of a payload that is none of ours. */
const WITHHELD = 'withheld: not a payload of maskline';

/**
 * One of our queues for Bull Board. It is built on what a dashboard may show (`BoardQueue`), so a field that Bull Board
 * learns to show one day is empty here until somebody has thought of it. Whatever acts throws, but for what
 * `BoardActions` does.
 */
export class QueueAdapter extends BaseAdapter {
  readonly #queue: BoardQueue;
  readonly #actions: BoardActions | null;

  /** Without `actions` it can only look. */
  constructor(queue: BoardQueue, actions: BoardActions | null) {
    super('bullmq', { readOnlyMode: actions === null, allowRetries: actions !== null, delimiter: '.' });
    this.#queue = queue;
    this.#actions = actions;
  }

  getName(): string {
    return this.#queue.name;
  }

  async getJob(id: string): Promise<QueueJob | null> {
    const job = await this.#queue.job(id);
    return job ? shown(job, job.state, this.#actions) : null;
  }

  async getJobs(statuses: JobStatus[], start = 0, end = start): Promise<QueueJob[]> {
    const states = STATES.filter((state) => statuses.includes(state));
    const jobs = await this.#queue.jobs(states, start, end);
    return jobs.map((job) => shown(job, 'unknown', this.#actions));
  }

  async getJobCounts(): Promise<JobCounts> {
    return {
      ...{ latest: 0, 'waiting-children': 0, prioritized: 0, paused: 0 },
      ...(await this.#queue.counts()),
    };
  }

  async getMetrics(type: MetricsType): Promise<QueueMetrics> {
    const { total, perMinute, at } = await this.#queue.finished(type);
    const meta = { count: total, prevTS: at, prevCount: total };
    return { meta, data: [...perMinute], count: perMinute.length };
  }

  getJobStatuses(): JobStatus[] {
    return [...STATES];
  }

  getStatuses(): Status[] {
    return ['latest', ...STATES];
  }

  isPaused(): Promise<boolean> {
    return this.#queue.isPaused();
  }

  /** Log lines are never shown; ours write none. */
  getJobLogs(): Promise<string[]> {
    return Promise.resolve([]);
  }

  /** Batches have no children; asked of a queue that calls itself BullMQ's. */
  getQueueQualifiedName(): string {
    return this.#queue.name;
  }

  /** None: see `getQueueQualifiedName`. */
  getFlowProducer(): Promise<null> {
    return Promise.resolve(null);
  }

  getRedisInfo(): Promise<null> {
    return Promise.resolve(null);
  }

  getGlobalConcurrency(): Promise<null> {
    return Promise.resolve(null);
  }

  getJobSchedulers(): Promise<[]> {
    return Promise.resolve([]);
  }

  getJobSchedulersCount(): Promise<number> {
    return Promise.resolve(0);
  }

  /** Of failed jobs only: all others are on their way. */
  async clean(status: JobCleanStatus): Promise<void> {
    if (this.#actions === null || status !== 'failed') return refuse();
    await this.#actions.discardAll();
  }

  addJob = refuse;
  empty = refuse;
  obliterate = refuse;
  pause = refuse;
  promoteAll = refuse;
  removeJobScheduler = refuse;
  resume = refuse;
  runJobSchedulerNow = refuse;
  setGlobalConcurrency = refuse;
  updateJobScheduler = refuse;
}

function refuse(): Promise<never> {
  return Promise.reject(
    new PipelineError(
      'usage',
      'nothing but failed jobs is touched from here, and by admin.allow_actions only: see `maskline failed --help`',
    ),
  );
}

function shown(job: BoardJob, state: BoardState | 'unknown', actions: BoardActions | null): QueueJob {
  return {
    opts: {},
    toJSON: () => json(job),
    getState: () => Promise.resolve(state),
    promote: refuse,
    // What is not failed any more is not found by whoever carries it out.
    remove: () => actions?.discard(job.id) ?? refuse(),
    retry: () => actions?.retry(job.id) ?? refuse(),
  };
}

function json(job: BoardJob): QueueJobJson {
  return {
    id: job.id,
    name: job.name,
    data: job.payload ?? WITHHELD,
    opts: { attempts: job.attempts },
    progress: 0,
    attemptsMade: job.attemptsMade,
    stalledCounter: job.takeovers,
    timestamp: job.addedAt,
    processedOn: job.startedAt,
    finishedOn: job.finishedAt,
    delay: job.delayMs,
    failedReason: job.failure ?? '',
    stacktrace: [],
    returnvalue: null,
  };
}
