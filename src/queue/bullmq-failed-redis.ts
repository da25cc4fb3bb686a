import type { Redis } from 'ioredis';
import type { FailedLink } from './bullmq-link.js';
import { type StoredFailure, countOf, keyringOf } from './failed-jobs.js';

/**
 * Reads failed jobs but for their sealed bytes, which are nearly all of them: of a job's data only the beginning,
 * where `sealed.ts` puts the rest. KEYS: the failed ones, then the jobs; ARGV: the jobs' ids.
 */
const SUMMARIES = `
local rows = {}
for i, id in ipairs(ARGV) do
  local key = KEYS[i + 1]
  local data = redis.call('ZSCORE', KEYS[1], id) and redis.call('HGET', key, 'data')
  if data then
    local fields = redis.call('HMGET', key, 'failedReason', 'atm', 'stc', 'timestamp', 'processedOn', 'finishedOn')
    rows[#rows + 1] = { id, string.sub(data, 1, 256), #data, unpack(fields) }
  end
end
return rows`;

/** The failed jobs of a queue on Redis; `queueKey` is what all its keys begin with. */
export function failedOnRedis(client: () => Redis, queueKey: string): FailedLink {
  return {
    ids: (since) => failedIds(client(), queueKey, since),
    summaries: (ids) => summaries(client(), queueKey, ids),
    data: (id) => failedData(client(), queueKey, id),
  };
}

async function failedIds(client: Redis, queueKey: string, since: number): Promise<readonly string[]> {
  return client.zrange(`${queueKey}:failed`, '+inf', String(since), 'BYSCORE', 'REV');
}

async function summaries(
  client: Redis,
  queueKey: string,
  ids: readonly string[],
): Promise<readonly StoredFailure[]> {
  if (ids.length === 0) return [];
  const keys = [`${queueKey}:failed`, ...ids.map((id) => `${queueKey}:${id}`)];
  const rows: unknown = await client.eval(SUMMARIES, keys.length, ...keys, ...ids);
  return Array.isArray(rows) ? rows.map(readRow) : [];
}

async function failedData(client: Redis, queueKey: string, id: string): Promise<unknown> {
  const score = await client.zscore(`${queueKey}:failed`, id);
  const text = score === null ? null : await client.hget(`${queueKey}:${id}`, 'data');
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    // Without the cause: JSON.parse quotes its input. An empty object is found corrupt by who reads it.
    return {};
  }
}

function readRow(row: unknown): StoredFailure {
  const fields: readonly unknown[] = Array.isArray(row) ? row : [];
  const [id, head, size, reason, attempts, takeovers, added, started, failed] = fields;
  const member = (name: string): string | undefined =>
    new RegExp(`"${name}":"?([\\w-]+)"?[,}]`).exec(String(head))?.[1];
  return {
    id: String(id),
    payload: {
      version: countOf(member('v')),
      kid: countOf(member('kid')),
      keyring: keyringOf(member('keyring')),
      records: countOf(member('n')),
      bytes: countOf(member('bytes')),
    },
    queuedBytes: countOf(size) ?? 0,
    reason: typeof reason === 'string' ? reason : '',
    attempts: countOf(attempts) ?? 0,
    takeovers: countOf(takeovers) ?? 0,
    addedAt: countOf(added) ?? 0,
    startedAt: countOf(started),
    failedAt: countOf(failed) ?? 0,
  };
}
