import type { PostgresPool } from './connection.js';

/** What was committed within one minute, in records; `at` is its beginning, in epoch ms. */
export interface Minute {
  readonly at: number;
  readonly loaded: number;
  readonly duplicates: number;
  readonly quarantined: number;
}

/** How fast a pipeline is. */
export interface Throughput {
  /** The minutes of the last hour in which something was committed, oldest first. */
  readonly minutes: readonly Minute[];
  /** Records of the batches that were formed within the last minute and have a fate. */
  readonly receivedLastMinute: number;
  /** Records that were settled within the last minute. */
  readonly settledLastMinute: number;
}

/** A key that batches were masked under, and when one of these was last committed; ISO 8601. */
export interface KidUse {
  readonly kid: number;
  readonly last_at: string;
}

type Queries = Pick<PostgresPool, 'query'>;

/** How long before its commit a batch may have been formed to be counted: one that waited longer is an exception. */
const FORMED_WITHIN = "interval '2 hours'";
/** So many of the latest batches tell which keys are in use. */
const BATCHES_ASKED = 1_000;

interface MinuteRow {
  readonly pipeline: string;
  readonly at: number;
  readonly loaded: number;
  readonly duplicates: number;
  readonly quarantined: number;
  readonly received_now: number;
  readonly settled_now: number;
}

/** Of each pipeline, in the order of the names: a range of the primary key of `maskline.loads`. Throws `postgres_unavailable`. */
export async function readThroughput(
  pool: Queries,
  pipelines: readonly string[],
): Promise<readonly Throughput[]> {
  const { rows } = await pool.query<MinuteRow>(
    `select pipeline, extract(epoch from date_trunc('minute', loaded_at))::float8 * 1000 as at,
            sum(loaded)::float8 as loaded, sum(duplicates)::float8 as duplicates,
            sum(quarantined)::float8 as quarantined,
            coalesce(sum(received) filter (where received_at > now() - interval '1 minute'), 0)::float8 as received_now,
            coalesce(sum(received) filter (where loaded_at > now() - interval '1 minute'), 0)::float8 as settled_now
       from maskline.loads
      where batch_id >= maskline.first_id_at(now() - ${FORMED_WITHIN})
        and pipeline = any ($1::text[]) and state = 'committed'
        and loaded_at >= date_trunc('minute', now()) - interval '59 minutes'
      group by pipeline, date_trunc('minute', loaded_at)
      order by pipeline, at`,
    [pipelines],
  );
  return pipelines.map((pipeline) => {
    const own = rows.filter((row) => row.pipeline === pipeline);
    return {
      minutes: own.map(({ at, loaded, duplicates, quarantined }) => ({
        ...{ at, loaded, duplicates, quarantined },
      })),
      receivedLastMinute: own.reduce((sum, row) => sum + row.received_now, 0),
      settledLastMinute: own.reduce((sum, row) => sum + row.settled_now, 0),
    };
  });
}

/** The keys of the latest batches, by kid. Throws `postgres_unavailable`. */
export async function readKidUses(pool: Queries): Promise<readonly KidUse[]> {
  const { rows } = await pool.query<{ kid: number; last_at: Date }>(
    `select kid, max(loaded_at) as last_at
       from (select kids, loaded_at from maskline.loads where state = 'committed'
              order by batch_id desc limit ${BATCHES_ASKED}) as latest, unnest(kids) as kid
      group by kid order by kid`,
  );
  return rows.map(({ kid, last_at }) => ({ kid, last_at: last_at.toISOString() }));
}
