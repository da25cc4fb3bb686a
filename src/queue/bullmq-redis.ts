import { Queue, QueueEvents, createRedisBackend } from 'bullmq';
import { type ChainableCommander, Redis, type RedisOptions } from 'ioredis';
import { failedOnRedis } from './bullmq-failed-redis.js';
import {
  COMMAND_LIMIT_MS,
  CONNECT_LIMIT_MS,
  KEEP_ALIVE_MS,
  type Link,
  type LinkOptions,
  LockedWorker,
  STREAMS,
  placeOf,
} from './bullmq-link.js';
import { redisOptions } from './bullmq-redis-options.js';
import type { Backlog, JobState, QueueMemory } from './queue.js';

/** What a Redis without a limit is taken to have. */
const UNLIMITED_BYTES = 1024 ** 3;

/** A worker's longest blocking command lasts 10 s (BullMQ's cap); a socket silent for longer while we wait is dead. */
const SILENCE_LIMIT_MS = 15_000;

/** A producer waits for no answer longer than `COMMAND_LIMIT_MS`: a connection on which none comes is replaced. */
const PRODUCER_SILENCE_LIMIT_MS = 5_000;

/** Reconnecting is cheap, and work should go on within a second of the server's return; a crowd is spread by jitter. */
const RECONNECT_MAX_MS = 500;

/** A pipeline is answered as a whole; this many ids take Redis about a millisecond. */
const STATES_PER_TRIP = 1_000;

const commonRedisOptions = {
  connectTimeout: CONNECT_LIMIT_MS,
  keepAlive: KEEP_ALIVE_MS,
  retryStrategy: (times) => Math.min(50 * times, RECONNECT_MAX_MS) * (0.75 + Math.random() / 4),
  // After a failover a demoted primary goes on answering, READONLY; a new connection finds the new one. Before Redis 7
  // the word comes in the middle, when a script was refused.
  reconnectOnError: (error) => (error.message.includes('READONLY') ? 1 : false),
} satisfies RedisOptions;

const producerRedisOptions = {
  ...commonRedisOptions,
  // Fail fast: the caller holds the batch and decides whether to wait.
  enableOfflineQueue: false,
  maxRetriesPerRequest: 1,
  commandTimeout: COMMAND_LIMIT_MS,
  socketTimeout: PRODUCER_SILENCE_LIMIT_MS,
} satisfies RedisOptions;

const workerRedisOptions = {
  ...commonRedisOptions,
  // Workers have nobody to report to: they wait, and go on when the server is back.
  maxRetriesPerRequest: null,
  socketTimeout: SILENCE_LIMIT_MS,
} satisfies RedisOptions;

/** A queue on Redis or Valkey, or behind Sentinels. Opens no connection yet. Throws `config_invalid`. */
export function redisLink(options: LinkOptions): Link {
  const { prefix, name } = options;
  const address = redisOptions(options);
  let shared: Redis | null = null;
  const client = (): Redis => {
    if (shared) return shared;
    shared = new Redis({ ...address, ...producerRedisOptions });
    // Without a listener an 'error' would be printed, or end the process.
    shared.on('error', options.onError);
    return shared;
  };
  return {
    backend: 'redis',
    place: placeOf(options),
    openQueue: () => {
      const queue = new Queue(name, { connection: client(), prefix, streams: STREAMS }, createRedisBackend);
      // The client's errors once more; an 'error' that nobody hears would end the process.
      queue.on('error', () => undefined);
      return queue;
    },
    openWorker: (processor, settings) => {
      const connection = { ...address, ...workerRedisOptions };
      return new LockedWorker(name, processor, { ...settings, connection, prefix }, createRedisBackend);
    },
    openEvents: () => {
      const connection = { ...address, ...workerRedisOptions };
      return new QueueEvents(name, { connection, prefix }, createRedisBackend);
    },
    states: async (ids) => {
      const states: JobState[] = [];
      for (let from = 0; from < ids.length; from += STATES_PER_TRIP) {
        const some = ids.slice(from, from + STATES_PER_TRIP);
        states.push(...(await redisStates(client(), `${prefix}:${name}`, some)));
      }
      return states;
    },
    backlog: () => redisBacklog(client(), `${prefix}:${name}`),
    memory: () => redisMemory(client()),
    failed: failedOnRedis(client, `${prefix}:${name}`),
    close: () => shared?.disconnect(),
  };
}

/** The answers of a pipeline, in order; rejects with the first error. */
async function answersOf(pipeline: ChainableCommander): Promise<readonly unknown[]> {
  const answers = (await pipeline.exec()) ?? [];
  return answers.map(([error, answer]) => {
    if (error) throw error;
    return answer;
  });
}

/** A job exists as a hash of its own, and is in the set of failed ones or not; both are asked in constant time. */
async function redisStates(
  client: Redis,
  queueKey: string,
  ids: readonly string[],
): Promise<readonly JobState[]> {
  const pipeline = client.pipeline();
  for (const id of ids) pipeline.exists(`${queueKey}:${id}`).zscore(`${queueKey}:failed`, id);
  const answers = await answersOf(pipeline);
  return ids.map((_, index) => {
    if (answers[2 * index] !== 1) return 'absent';
    return answers[2 * index + 1] === null ? 'live' : 'failed';
  });
}

async function redisBacklog(client: Redis, queueKey: string): Promise<Backlog> {
  const pipeline = client.pipeline().llen(`${queueKey}:wait`).zcard(`${queueKey}:delayed`);
  pipeline.llen(`${queueKey}:active`).zcard(`${queueKey}:failed`);
  const [waiting = 0, delayed = 0, active = 0, failed = 0] = (await answersOf(pipeline)).map(Number);
  return { waiting: waiting + delayed, active, failed };
}

/** Null when an ACL, or a hosted Redis, keeps INFO to itself. */
async function redisMemory(client: Redis): Promise<QueueMemory | null> {
  let info: string;
  try {
    info = await client.info('memory');
  } catch (error) {
    if (error instanceof Error && /^(NOPERM|ERR unknown command)/.test(error.message)) return null;
    throw error;
  }
  const field = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? NaN);
  const usedBytes = field('used_memory');
  const limitBytes = field('maxmemory') || UNLIMITED_BYTES;
  return Number.isFinite(usedBytes) ? { usedBytes, limitBytes } : null;
}
