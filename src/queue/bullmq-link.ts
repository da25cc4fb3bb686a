// The face that both kinds of server show which BullMQ runs on.

import {
  type IQueueBackend,
  type Job,
  type JobProgress,
  type JobsOptions,
  type Metrics,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import type { TlsFiles } from '../address/tls.js';
import { PipelineError } from '../errors.js';
import type { BoardState, RawJob } from './board.js';
import type { Backend } from './bullmq-errors.js';
import type { StoredFailure } from './failed-jobs.js';
import type { Backlog, JobState, QueueMemory } from './queue.js';
import type { SealedPayload } from './sealed.js';

/** The Sentinels that know which server of a Redis is the primary. */
export interface Sentinels {
  /** What they call the primary. */
  readonly name: string;
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  /** At the Sentinels themselves, as `password`. */
  readonly username: string | null;
  readonly password: string | null;
  /** Whether they are reached over TLS. */
  readonly tls: boolean;
}

/** How a queue's server is reached. */
export interface QueueServer {
  /** redis://, rediss:// or postgres://, with user and password. With Sentinels its host is not used. */
  readonly url: string;
  readonly tls?: TlsFiles | null;
  readonly sentinels?: Sentinels | null;
}

/** How a link is opened. */
export interface LinkOptions extends QueueServer {
  /** Redis: of every key. Postgres: the queue's tables live in the schema `<prefix>_queue`. */
  readonly prefix: string;
  /** The queue's name. */
  readonly name: string;
  /** Postgres: makes or upgrades BullMQ's schema on first use. */
  readonly migrate: boolean;
  /** Hears of errors of connections that nobody is waiting for. */
  readonly onError: (error: Error) => void;
}

/** What we use of a BullMQ queue. */
export interface JobQueue {
  add(name: string, data: SealedPayload, options: JobsOptions): Promise<unknown>;
  remove(id: string): Promise<number>;
  exportPrometheusMetrics(): Promise<string>;
  getJobCounts(...states: BoardState[]): Promise<Readonly<{ [state: string]: number }>>;
  getJobs(states: BoardState[], start: number, end: number): Promise<readonly (RawJob | undefined)[]>;
  getJob(id: string): Promise<(RawJob & { getState(): Promise<string> }) | undefined>;
  getMetrics(how: 'completed' | 'failed'): Promise<Metrics>;
  isPaused(): Promise<boolean>;
  waitUntilReady(): Promise<unknown>;
  close(): Promise<void>;
}

/** What we use of a BullMQ worker. */
export interface JobWorker {
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'stalled', listener: (jobId: string) => void): unknown;
  on(event: 'failed', listener: (job: Job<SealedPayload> | undefined, error: Error) => void): unknown;
  waitUntilReady(): Promise<unknown>;
  run(): Promise<void>;
  pause(doNotWaitActive?: boolean): Promise<void>;
  resume(): Promise<void>;
  close(force?: boolean): Promise<void>;
  /** Called whenever the server has answered what it was asked for the next job, be it that there is none. */
  onAnswer: () => void;
  /** Renews no locks any more; `close` does that too, unless it hangs. */
  stopRenewing(): Promise<void>;
  getBackend(): { close(force?: boolean): Promise<void>; disconnect(): Promise<void> };
}

/** What we use of BullMQ's events of a queue. */
export interface JobEvents {
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'added' | 'completed', listener: (args: { readonly jobId: string }) => void): unknown;
  waitUntilReady(): Promise<unknown>;
  close(): Promise<void>;
}

/** What a worker calls for each job, with the token of its lock. */
export type JobProcessor = (job: Job<SealedPayload, void>, token?: string) => Promise<void>;

/** Settings of a worker that don't depend on the kind of server. */
export type WorkerSettings = Omit<WorkerOptions, 'connection' | 'prefix'>;

/** The failed jobs of one queue. */
export interface FailedLink {
  /** Those that failed at or after `since` (epoch ms), newest first. */
  ids(since: number): Promise<readonly string[]>;
  /** What is kept of those of the ids that have failed, but for their sealed bytes; in any order. */
  summaries(ids: readonly string[]): Promise<readonly StoredFailure[]>;
  /** The whole data of a failed job; null when there is none. */
  data(id: string): Promise<unknown>;
}

/** One queue on one server. */
export interface Link {
  readonly backend: Backend;
  /** Where its server is, for messages. */
  readonly place: string;
  /** A queue that fails fast. One whose `waitUntilReady` has rejected is useless and must be opened anew. */
  openQueue(): JobQueue;
  /** A worker that outlives outages, not yet running. The same holds for its `waitUntilReady`. */
  openWorker(processor: JobProcessor, settings: WorkerSettings): JobWorker;
  /** What happens in the queue from now on, for who looks: its stream is short, and who is slow misses some. */
  openEvents(): JobEvents;
  /** The state of each id, in one round trip per thousand ids or so. Needs an open queue. */
  states(ids: readonly string[]): Promise<readonly JobState[]>;
  /** How many jobs there are, by state, in one round trip. Needs an open queue. */
  backlog(): Promise<Backlog>;
  /** How full its memory is; null where there is no such limit, or it may not be asked for. Needs an open queue. */
  memory(): Promise<QueueMemory | null>;
  /** The failed jobs. Needs an open queue. */
  readonly failed: FailedLink;
  /** Drops the connection that the queues share. */
  close(): void;
}

/** A BullMQ worker that can be told to let go of its locks. */
export class LockedWorker<B extends IQueueBackend, C> extends Worker<
  SealedPayload,
  void,
  string,
  B,
  JobProgress,
  C
> {
  onAnswer: () => void = () => undefined;

  stopRenewing(): Promise<void> {
    return this.lockManager.close();
  }

  /** Every answer comes by here: to a fetch, and to the end of a job, which fetches the next. */
  protected override nextJobFromJobData(
    ...answer: Parameters<Worker<SealedPayload, void, string, B, JobProgress, C>['nextJobFromJobData']>
  ): ReturnType<Worker<SealedPayload, void, string, B, JobProgress, C>['nextJobFromJobData']> {
    this.onAnswer();
    return super.nextJobFromJobData(...answer);
  }
}

/** Host and port of a server's URL, which may hold a password; or its Sentinels. Throws `config_invalid`. */
export function placeOf({ url, sentinels }: QueueServer): string {
  if (!URL.canParse(url)) throw new PipelineError('config_invalid', 'queue.url is not a URL');
  if (!sentinels) return new URL(url).host;
  return `${sentinels.name} (Sentinels ${sentinels.hosts.map(({ host, port }) => `${host}:${port}`).join(', ')})`;
}

/** Events are for dashboards; we read none, and each would keep a job's id in memory. */
export const STREAMS = { events: { maxLen: 100 } };

/** A producer's command that takes longer is given up: its caller wants to know within seconds. */
export const COMMAND_LIMIT_MS = 3_000;
/** Likewise for a connection. */
export const CONNECT_LIMIT_MS = 3_000;

/** Dead peers are noticed by TCP within about this and a few probes. */
export const KEEP_ALIVE_MS = 5_000;
