// The face that both kinds of server show which BullMQ runs on.

import {
  type IQueueBackend,
  type Job,
  type JobProgress,
  type JobsOptions,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import { PipelineError } from '../errors.js';
import type { Backend } from './bullmq-errors.js';
import type { Backlog, JobState } from './queue.js';
import type { SealedPayload } from './sealed.js';

/** How a queue's server is reached. */
export interface LinkOptions {
  readonly url: string;
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
  /** Renews no locks any more; `close` does that too, unless it hangs. */
  stopRenewing(): Promise<void>;
  getBackend(): { close(force?: boolean): Promise<void>; disconnect(): Promise<void> };
}

/** What a worker calls for each job, with the token of its lock. */
export type JobProcessor = (job: Job<SealedPayload, void>, token?: string) => Promise<void>;

/** Settings of a worker that don't depend on the kind of server. */
export type WorkerSettings = Omit<WorkerOptions, 'connection' | 'prefix'>;

/** One queue on one server. */
export interface Link {
  readonly backend: Backend;
  /** Host and port, for messages. */
  readonly place: string;
  /** A queue that fails fast. One whose `waitUntilReady` has rejected is useless and must be opened anew. */
  openQueue(): JobQueue;
  /** A worker that outlives outages, not yet running. The same holds for its `waitUntilReady`. */
  openWorker(processor: JobProcessor, settings: WorkerSettings): JobWorker;
  /** The state of each id, in one round trip per thousand ids or so. Needs an open queue. */
  states(ids: readonly string[]): Promise<readonly JobState[]>;
  /** How many jobs there are, by state, in one round trip. Needs an open queue. */
  backlog(): Promise<Backlog>;
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
  stopRenewing(): Promise<void> {
    return this.lockManager.close();
  }
}

/** Host and port of a URL, which may hold a password. Throws `config_invalid`. */
export function placeOf(url: string): string {
  if (!URL.canParse(url)) throw new PipelineError('config_invalid', 'queue.url is not a URL');
  return new URL(url).host;
}

/** Events are for dashboards; we read none, and each would keep a job's id in memory. */
export const STREAMS = { events: { maxLen: 100 } };

/** A producer's command that takes longer is given up: its caller wants to know within seconds. */
export const COMMAND_LIMIT_MS = 3_000;
/** Likewise for a connection. */
export const CONNECT_LIMIT_MS = 3_000;

/** Dead peers are noticed by TCP within about this and a few probes. */
export const KEEP_ALIVE_MS = 5_000;
