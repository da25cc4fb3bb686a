import { Redis } from 'ioredis';
import { parseRedisUrl } from '../address/redis-url.js';
import { type Clock, systemClock } from '../clock.js';
import { PipelineError } from '../errors.js';
import { queueError, within } from './bullmq-errors.js';
import { type QueueServer, placeOf } from './bullmq-link.js';
import { redisOptions } from './bullmq-redis-options.js';
import { handshakeError, wayToSpeak } from './redis-probe.js';

/** What a Redis is like, as far as it lets itself be asked. */
export interface RedisReport {
  readonly version: string | null;
  readonly maxmemoryPolicy: string | null;
  /** In bytes; 0 is without limit. */
  readonly maxmemory: number | null;
  readonly usedMemory: number | null;
  readonly appendOnly: boolean | null;
  /** False for a replica, which takes no writes. */
  readonly isPrimary: boolean | null;
  /** How far its clock is ahead of ours. */
  readonly aheadMs: number | null;
}

/** What a Redis is like that a queue can live in. */
export interface RedisCheck extends RedisReport {
  /** What could not be found out, or is no error but worth knowing. */
  readonly warnings: readonly string[];
}

/** BullMQ's recommended minimum; older ones lack commands that it uses (LPOS, LMOVE, SET GET). */
export const MIN_REDIS_VERSION = '6.2';

const LIMIT_MS = 3_000;
const DOING = 'checking the queue';

/**
 * Whether a queue can live in this Redis (or Valkey). Does not wait for one that is away. Throws
 * `redis_unavailable`, `permission_denied`, or `queue_unfit` when it may evict keys or is too old.
 */
export async function checkRedis(server: QueueServer): Promise<RedisCheck> {
  return judge(placeOf(server), await describeRedis(server));
}

/** What that Redis (or Valkey) is like, unjudged. Throws `redis_unavailable`, `permission_denied`, `config_invalid`. */
export async function describeRedis(
  server: QueueServer,
  clock: Pick<Clock, 'now'> = systemClock,
): Promise<RedisReport> {
  const place = placeOf(server);
  const redis = new Redis({
    ...redisOptions(server),
    lazyConnect: true,
    enableReadyCheck: false,
    connectTimeout: LIMIT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    sentinelRetryStrategy: () => null,
  });
  // The connection's own error says why; what `connect` rejects with says only that it is closed.
  let reason: Error | null = null;
  redis.on('error', (error: Error) => {
    reason ??= error;
  });
  try {
    return await within(LIMIT_MS, ask(redis, clock));
  } catch (error) {
    const failure = queueError(
      'redis',
      place,
      DOING,
      error instanceof PipelineError ? error : (reason ?? error),
    );
    if (failure.code !== 'redis_unavailable') throw failure;
    throw (await misunderstanding(server, place)) ?? failure;
  } finally {
    redis.disconnect();
  }
}

/** That TLS is asked for where there is none, or the other way, or does not come about; null when it is an outage. */
async function misunderstanding(server: QueueServer, place: string): Promise<PipelineError | null> {
  const { sentinels } = server;
  const address = parseRedisUrl(server.url);
  const { isEncrypted } = sentinels ? { isEncrypted: sentinels.tls } : address;
  const options = redisOptions(server);
  const tls = sentinels ? options.sentinelTLS : options.tls;
  const [clear, encrypted] = sentinels
    ? ['queue.sentinel.tls: false', 'queue.sentinel.tls: true']
    : ['redis:// in queue.url', 'rediss:// in queue.url'];
  const who = sentinels ? 'a Sentinel of Redis' : 'Redis';
  for (const { host, port } of sentinels ? sentinels.hosts : [address]) {
    const way = await wayToSpeak(host, port);
    if (way === null) continue;
    if (way === 'clear' && isEncrypted) {
      return misunderstood(`${who} at ${place} speaks no TLS: turn it on there, or write ${clear}`);
    }
    if (way === 'tls' && !isEncrypted)
      return misunderstood(`${who} at ${place} speaks TLS: write ${encrypted}`);
    const refusal = tls ? await handshakeError(host, port, tls) : null;
    const failure = refusal && queueError('redis', place, DOING, refusal);
    return failure?.code === 'config_invalid' ? failure : null;
  }
  return null;
}

function misunderstood(what: string): PipelineError {
  return new PipelineError('config_invalid', `${DOING}: ${what}`);
}

async function ask(redis: Redis, clock: Pick<Clock, 'now'>): Promise<RedisReport> {
  await redis.connect();
  await redis.ping();
  const askedAt = clock.now();
  const time = await unlessDenied(redis.time());
  const answeredAt = clock.now();
  const info = fieldsOf((await unlessDenied(redis.info())) ?? '');
  const told = info.get('maxmemory_policy');
  // A right that opens every setting, passwords included, is asked for only where INFO does not tell.
  const asked = told === undefined ? await unlessDenied(redis.config('GET', 'maxmemory-policy')) : null;
  const role = info.get('role');
  return {
    version: info.get('redis_version') ?? null,
    maxmemoryPolicy: told ?? (Array.isArray(asked) ? (asked[1] ?? null) : null),
    maxmemory: count(info.get('maxmemory')),
    usedMemory: count(info.get('used_memory')),
    appendOnly: flag(info.get('aof_enabled')),
    isPrimary: role === undefined ? null : role === 'master',
    aheadMs: time === null ? null : epochMs(time) - (askedAt + answeredAt) / 2,
  };
}

/** TIME answers seconds and microseconds. */
function epochMs([seconds, microseconds]: readonly (number | string)[]): number {
  return Number(seconds) * 1_000 + Number(microseconds) / 1_000;
}

function fieldsOf(info: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const line of info.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** Null when an ACL, or a hosted Redis that renames its commands, doesn't let us ask. */
async function unlessDenied<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Error && /^(NOPERM|ERR unknown command)/.test(error.message)) return null;
    throw error;
  }
}

function judge(place: string, report: RedisReport): RedisCheck {
  const warnings: string[] = [];
  const { maxmemoryPolicy: policy, version, appendOnly } = report;
  if (policy === null) {
    warnings.push(`can't ask Redis at ${place} for its maxmemory-policy; make sure that it is noeviction`);
  } else if (policy !== 'noeviction') {
    const message =
      `Redis at ${place} has the maxmemory-policy ${policy}, which may drop jobs: set it to noeviction ` +
      '(redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf)';
    throw new PipelineError('queue_unfit', message);
  }
  if (version === null) {
    warnings.push(`can't ask Redis at ${place} for its version; ${MIN_REDIS_VERSION} or newer is needed`);
  } else if (isTooOld(version)) {
    const message = `Redis at ${place} is version ${version}; ${MIN_REDIS_VERSION} or newer is needed`;
    throw new PipelineError('queue_unfit', message);
  }
  if (appendOnly === false) {
    warnings.push(
      `Redis at ${place} keeps no append-only file: after its restart, batches come back from SQS`,
    );
  }
  return { ...report, warnings };
}

/** Whether BullMQ needs a newer one. */
export function isTooOld(version: string): boolean {
  return version.localeCompare(MIN_REDIS_VERSION, 'en', { numeric: true }) < 0;
}

function count(value: string | undefined): number | null {
  return value === undefined ? null : Number(value);
}

function flag(value: string | undefined): boolean | null {
  return value === undefined ? null : value === '1';
}
