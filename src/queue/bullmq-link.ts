// The two kinds of server that BullMQ runs on, behind one face.

import {
  type IQueueBackend,
  type Job,
  type JobProgress,
  type JobsOptions,
  Queue,
  Worker,
  type WorkerOptions,
  createPostgresBackend,
  createRedisBackend,
} from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import { PipelineError } from '../errors.js';
import type { Backend } from './bullmq-errors.js';
import type { JobState } from './queue.js';
import type { SealedPayload } from './sealed.js';

/** How a queue's server is reached. */
export interface LinkOptions {
  readonly url: string;
  readonly backend: Backend;
  /** Redis: of every key. Postgres: the queue's tables live in the schema `<prefix>_queue`. */
  readonly prefix: string;
  /** The queue's name. */
  readonly name: string;
  /** Postgres: makes or upgrades BullMQ's schema on first use. */
  readonly migrate: boolean;
  /** Hears of errors of connections that nobody is waiting for. */
  readonly onError: (error: unknown) => void;
}

/** What we use of a BullMQ queue. */
export interface JobQueue {
  add(name: string, data: SealedPayload, options: JobsOptions): Promise<unknown>;
  remove(id: string): Promise<number>;
  getJobCounts(...states: ('wait' | 'delayed' | 'active' | 'failed')[]): Promise<{ [state: string]: number }>;
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
export type JobProcessor = (job: Job<SealedPayload, void, string>, token?: string) => Promise<void>;

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
  /** Drops the connection that the queues share. */
  close(): void;
}

/** Opens no connection yet. Throws `config_invalid` for a URL or prefix that can't be used. */
export function createLink(options: LinkOptions): Link {
  return options.backend === 'redis' ? redisLink(options) : postgresLink(options);
}

/** Host and port of a URL, which may hold a password. Throws `config_invalid`. */
export function placeOf(url: string): string {
  if (!URL.canParse(url)) throw new PipelineError('config_invalid', 'queue.url is not a URL');
  return new URL(url).host;
}

/** Events are for dashboards; we read none, and each would keep a job's id in memory. */
const STREAMS = { events: { maxLen: 100 } };

/** A producer's command that takes longer is given up: its caller wants to know within seconds. */
const COMMAND_LIMIT_MS = 3_000;
const CONNECT_LIMIT_MS = 3_000;

/** Dead peers are noticed by TCP within about this and a few probes. */
const KEEP_ALIVE_MS = 5_000;

/** A worker's longest blocking command lasts 10 s (BullMQ's cap); a socket silent for longer while we wait is dead. */
const SILENCE_LIMIT_MS = 15_000;

/** Reconnecting is cheap, and work should go on within a second of the server's return; a crowd is spread by jitter. */
const RECONNECT_MAX_MS = 500;

const STATES_PER_TRIP = 1_000;

const commonRedisOptions = {
  connectTimeout: CONNECT_LIMIT_MS,
  keepAlive: KEEP_ALIVE_MS,
  retryStrategy: (times) => Math.min(50 * times, RECONNECT_MAX_MS) * (0.75 + Math.random() / 4),
  // After a failover a demoted primary goes on answering, READONLY; a new connection finds the new one.
  reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 1 : false),
} satisfies RedisOptions;

const producerRedisOptions = {
  ...commonRedisOptions,
  // Fail fast: the caller holds the batch and decides whether to wait.
  enableOfflineQueue: false,
  maxRetriesPerRequest: 1,
  commandTimeout: COMMAND_LIMIT_MS,
} satisfies RedisOptions;

const workerRedisOptions = {
  ...commonRedisOptions,
  // Workers have nobody to report to: they wait, and go on when the server is back.
  maxRetriesPerRequest: null,
  socketTimeout: SILENCE_LIMIT_MS,
} satisfies RedisOptions;

class LockedWorker<B extends IQueueBackend, C> extends Worker<
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

function redisLink(options: LinkOptions): Link {
  const { url, prefix, name } = options;
  let shared: Redis | null = null;
  const client = (): Redis => {
    if (shared) return shared;
    shared = new Redis(url, producerRedisOptions);
    // Without a listener an 'error' would be printed, or end the process.
    shared.on('error', options.onError);
    return shared;
  };
  return {
    backend: 'redis',
    place: placeOf(url),
    openQueue: () => {
      const queue = new Queue(name, { connection: client(), prefix, streams: STREAMS }, createRedisBackend);
      // The client's errors once more; an 'error' that nobody hears would end the process.
      queue.on('error', () => undefined);
      return queue;
    },
    openWorker: (processor, settings) => {
      const connection = { ...workerRedisOptions, url };
      return new LockedWorker(name, processor, { ...settings, connection, prefix }, createRedisBackend);
    },
    states: async (ids) => {
      const states: JobState[] = [];
      for (let from = 0; from < ids.length; from += STATES_PER_TRIP) {
        states.push(
          ...(await redisStates(client(), `${prefix}:${name}`, ids.slice(from, from + STATES_PER_TRIP))),
        );
      }
      return states;
    },
    close: () => shared?.disconnect(),
  };
}

/** A job exists as a hash of its own, and is in the set of failed ones or not; both are asked in constant time. */
async function redisStates(
  client: Redis,
  queueKey: string,
  ids: readonly string[],
): Promise<readonly JobState[]> {
  const pipeline = client.pipeline();
  for (const id of ids) pipeline.exists(`${queueKey}:${id}`).zscore(`${queueKey}:failed`, id);
  const answers = ((await pipeline.exec()) ?? []).map(([error, answer]) => {
    if (error) throw error;
    return answer;
  });
  return ids.map((_, index) => {
    if (answers[2 * index] !== 1) return 'absent';
    return answers[2 * index + 1] === null ? 'live' : 'failed';
  });
}

/** One connection adds and asks; a second is there when an answer takes its time. */
const PRODUCER_CONNECTIONS = 2;
/** Taking, finishing and renewing overlap; what is more than this waits its turn. */
const WORKER_CONNECTIONS = 4;
/** A worker's statements carry whole batches and may wait for locks. */
const STATEMENT_LIMIT_MS = 15_000;

function postgresLink(options: LinkOptions): Link {
  const { url, prefix, name } = options;
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,50}$/.test(prefix)) {
    const message = 'queue.prefix must be letters, digits and underscores when the queue is on Postgres';
    throw new PipelineError('config_invalid', message);
  }
  const common = {
    connectionString: url,
    schema: `${prefix}_queue`,
    migrate: options.migrate,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    application_name: `maskline ${name}`,
  };
  const connection = { ...common, max: PRODUCER_CONNECTIONS, query_timeout: COMMAND_LIMIT_MS };
  const open = () => new Queue(name, { connection, streams: STREAMS }, createPostgresBackend);
  let latest: ReturnType<typeof open> | null = null;
  return {
    backend: 'postgres',
    place: placeOf(url),
    openQueue: () => {
      latest = open();
      latest.on('error', options.onError);
      return latest;
    },
    openWorker: (processor, settings) => {
      const own = { ...common, max: WORKER_CONNECTIONS, query_timeout: STATEMENT_LIMIT_MS };
      return new LockedWorker(name, processor, { ...settings, connection: own }, createPostgresBackend);
    },
    states: async (ids) => {
      const sql = 'SELECT id, state::text AS state FROM job WHERE queue = $1 AND id = ANY ($2::text[])';
      const pool = latest?.getBackend().connection.pool;
      const found = await pool?.query<{ id: string; state: string }>(sql, [name, ids]);
      const states = new Map(found?.rows.map((row) => [row.id, row.state]));
      return ids.map((id) => {
        if (!states.has(id)) return 'absent';
        return states.get(id) === 'failed' ? 'failed' : 'live';
      });
    },
    close: () => undefined,
  };
}
