import type { FailedLink } from './bullmq-link.js';
import { type StoredFailure, countOf, keyringOf } from './failed-jobs.js';

/** One statement in the schema of BullMQ's tables. */
export type JobQuery = <Row>(sql: string, values: readonly unknown[]) => Promise<readonly Row[]>;

interface FailureRow {
  readonly id: string;
  readonly v: string | null;
  readonly kid: string | null;
  readonly keyring: string | null;
  readonly n: string | null;
  readonly bytes: string | null;
  readonly queued: number;
  readonly reason: string | null;
  readonly attempts: number;
  readonly takeovers: number;
  readonly added: number;
  readonly started: number | null;
  readonly failed: number;
}

/** Everything but the sealed bytes, which are nearly all of a job. */
const SUMMARIES = `
  SELECT id, data->>'v' AS v, data->>'kid' AS kid, data->>'keyring' AS keyring, data->>'n' AS n, data->>'bytes' AS bytes,
         octet_length(data::text) AS queued, failed_reason AS reason,
         attempts_made AS attempts, stalled_count AS takeovers,
         added_at_ms::float8 AS added, processed_at_ms::float8 AS started, finished_at_ms::float8 AS failed
    FROM job WHERE queue = $1 AND state = 'failed' AND id = ANY ($2::text[])`;

/** The failed jobs of a queue on Postgres. */
export function failedOnPostgres(query: JobQuery, queue: string): FailedLink {
  return {
    ids: (since) => failedIds(query, queue, since),
    summaries: (ids) => summaries(query, queue, ids),
    data: (id) => failedData(query, queue, id),
  };
}

async function failedIds(query: JobQuery, queue: string, since: number): Promise<readonly string[]> {
  const sql = `SELECT id FROM job WHERE queue = $1 AND state = 'failed' AND finished_at_ms >= $2
                ORDER BY finished_at_ms DESC, id DESC`;
  const rows = await query<{ id: string }>(sql, [queue, since]);
  return rows.map(({ id }) => id);
}

async function summaries(
  query: JobQuery,
  queue: string,
  ids: readonly string[],
): Promise<readonly StoredFailure[]> {
  const rows = await query<FailureRow>(SUMMARIES, [queue, ids]);
  return rows.map((row) => ({
    id: row.id,
    payload: {
      version: countOf(row.v),
      kid: countOf(row.kid),
      keyring: keyringOf(row.keyring),
      records: countOf(row.n),
      bytes: countOf(row.bytes),
    },
    queuedBytes: row.queued,
    reason: row.reason ?? '',
    attempts: row.attempts,
    takeovers: row.takeovers,
    addedAt: row.added,
    startedAt: row.started,
    failedAt: row.failed,
  }));
}

async function failedData(query: JobQuery, queue: string, id: string): Promise<unknown> {
  const sql = `SELECT data FROM job WHERE queue = $1 AND id = $2 AND state = 'failed'`;
  const [row] = await query<{ data: unknown }>(sql, [queue, id]);
  return row?.data ?? null;
}
