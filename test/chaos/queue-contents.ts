import { redisCommand } from '../../src/proof/redis-command.js';
import type { ProofStack } from '../../src/proof/stack.js';

/** What is in the server of the queues between the stages. */
export interface QueueContents {
  /**
   * Redis: keys that do not go by themselves, but for BullMQ's counts of jobs, which it makes in the first minutes and
   * cuts to an hour. Postgres: rows of the queue's tables.
   */
  readonly keys: number;
  /** Memory in use in Redis; null where the queues are in Postgres. */
  readonly bytes: number | null;
  /** The most attempts that any job has spent. */
  readonly mostAttempts: number;
}

/** Looks into the queues' server, past its proxy. */
export function queueContents({ redis, pool }: Pick<ProofStack, 'redis' | 'pool'>): Promise<QueueContents> {
  return redis ? inRedis(redis.port) : inPostgres(pool);
}

const COUNT_KEYS = `
  local keys = 0
  for _, key in ipairs(redis.call('KEYS', '*')) do
    if redis.call('TTL', key) == -1 and not string.find(key, ':metrics:') then keys = keys + 1 end
  end
  return keys`;
const USED_BYTES = "return tonumber(string.match(redis.call('INFO', 'memory'), 'used_memory:(%d+)'))";
/** BullMQ keeps a job as a hash, and in it as `atm` how many attempts have ended. */
const MOST_ATTEMPTS = `
  local most = 0
  for _, key in ipairs(redis.call('KEYS', '*')) do
    if redis.call('TYPE', key).ok == 'hash' then
      most = math.max(most, tonumber(redis.call('HGET', key, 'atm') or '0'))
    end
  end
  return most`;

async function inRedis(port: number): Promise<QueueContents> {
  const ask = async (script: string): Promise<number> =>
    Number(await redisCommand(port, 'EVAL', script, '0'));
  const [keys, bytes, mostAttempts] = await Promise.all([
    ask(COUNT_KEYS),
    ask(USED_BYTES),
    ask(MOST_ATTEMPTS),
  ]);
  return { keys, bytes, mostAttempts };
}

/** The tables that BullMQ writes to; its event table is cut to a fixed length now and then. */
const TABLES = [
  'job',
  'job_log',
  'meta',
  'metrics',
  'dedup',
  'dedup_next',
  'rate_limit',
  'scheduler',
] as const;

async function inPostgres(pool: ProofStack['pool']): Promise<QueueContents> {
  const counts = TABLES.map((table) => `(select count(*) from maskline_queue.${table})`);
  const { rows } = await pool.query<{ keys: number; attempts: number }>(
    `select (${counts.join(' + ')})::int as keys,
            coalesce((select max(attempts_made) from maskline_queue.job), 0)::int as attempts`,
  );
  return { keys: rows[0]?.keys ?? 0, bytes: null, mostAttempts: rows[0]?.attempts ?? 0 };
}
