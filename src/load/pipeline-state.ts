import type { Counts, RunState, Trigger } from '../batch.js';
import type { PostgresPool } from './connection.js';

/** A run, as far as an overview tells of it. Times in epoch ms. */
export interface LatestRun extends Counts {
  readonly runId: string;
  readonly trigger: Trigger;
  readonly state: RunState;
  readonly startedAt: number;
  readonly finishedAt: number | null;
}

/** What the database knows of a pipeline's doings; times in epoch ms. */
export interface PipelineState {
  /** The one that began last. */
  readonly latestRun: LatestRun | null;
  /** A run whose owner is alive is under way. */
  readonly isRunning: boolean;
  /** When the oldest message of the batch that was loaded last was sent; null when none was within the hour. */
  readonly latestSentAt: number | null;
  readonly quarantine: OpenQuarantine;
}

/** Entries that were not replayed. */
export interface OpenQuarantine {
  readonly open: number;
  readonly codes: Readonly<{ [code: string]: number }>;
  /** There are more, older ones that were not counted. */
  readonly capped: boolean;
}

type Queries = Pick<PostgresPool, 'query'>;

/** Counting stops here: an overview must be cheap, however much has piled up. */
const MAX_COUNTED = 10_000;
/** An owner beats every 5 s. */
const ALIVE_WITHIN = "interval '30 seconds'";

/** The state of each pipeline, in the order of the names. Throws `postgres_unavailable`. */
export async function readPipelineStates(
  pool: Queries,
  pipelines: readonly string[],
): Promise<readonly PipelineState[]> {
  const [runs, activities, quarantines] = await Promise.all([
    readLatestRuns(pool, pipelines),
    readActivities(pool, pipelines),
    countOpenQuarantine(pool, pipelines),
  ]);
  return pipelines.map((pipeline) => ({
    latestRun: runs.get(pipeline) ?? null,
    isRunning: activities.get(pipeline)?.running ?? false,
    latestSentAt: activities.get(pipeline)?.sent_at?.getTime() ?? null,
    quarantine: quarantines.get(pipeline) ?? { open: 0, codes: {}, capped: false },
  }));
}

interface RunRow extends Counts {
  readonly pipeline: string;
  readonly run_id: string;
  readonly trigger: Trigger;
  readonly state: RunState;
  readonly started_at: Date;
  readonly finished_at: Date | null;
}

async function readLatestRuns(
  pool: Queries,
  pipelines: readonly string[],
): Promise<ReadonlyMap<string, LatestRun>> {
  const { rows } = await pool.query<RunRow>(
    `select r.pipeline, r.run_id, r.trigger, r.state, r.started_at, r.finished_at, r.received::float8,
            r.loaded::float8, r.duplicates::float8, r.quarantined::float8, r.released::float8
       from unnest($1::text[]) as t (pipeline)
      cross join lateral (
        select * from maskline.runs where pipeline = t.pipeline order by started_at desc limit 1) as r`,
    [pipelines],
  );
  return new Map(
    rows.map(({ pipeline, run_id: runId, started_at, finished_at, ...rest }) => [
      pipeline,
      { ...rest, runId, startedAt: started_at.getTime(), finishedAt: finished_at?.getTime() ?? null },
    ]),
  );
}

interface Activity {
  readonly pipeline: string;
  readonly running: boolean;
  readonly sent_at: Date | null;
}

async function readActivities(
  pool: Queries,
  pipelines: readonly string[],
): Promise<ReadonlyMap<string, Activity>> {
  const { rows } = await pool.query<Activity>(
    `select t.pipeline,
            exists (select from maskline.runs r
                     where r.pipeline = t.pipeline and r.state = 'running'
                       and r.heartbeat_at > now() - ${ALIVE_WITHIN}) as running,
            (select l.oldest_sent_at from maskline.loads l
              where l.pipeline = t.pipeline and l.state = 'committed'
                and l.batch_id >= maskline.first_id_at(now() - interval '1 hour')
              order by l.batch_id desc limit 1) as sent_at
       from unnest($1::text[]) as t (pipeline)`,
    [pipelines],
  );
  return new Map(rows.map((row) => [row.pipeline, row]));
}

async function countOpenQuarantine(
  pool: Queries,
  pipelines: readonly string[],
): Promise<ReadonlyMap<string, OpenQuarantine>> {
  const { rows } = await pool.query<{ pipeline: string; code: string; n: number }>(
    `select t.pipeline, q.code, count(*)::int as n
       from unnest($1::text[]) as t (pipeline)
      cross join lateral (
        select code from maskline.quarantine
         where pipeline = t.pipeline and replayed_at is null
         order by quarantined_at desc limit ${MAX_COUNTED + 1}) as q
      group by t.pipeline, q.code
      order by t.pipeline, n desc, q.code`,
    [pipelines],
  );
  const counted = new Map<string, OpenQuarantine>();
  for (const { pipeline, code, n } of rows) {
    const { open, codes } = counted.get(pipeline) ?? { open: 0, codes: {} };
    counted.set(pipeline, { open: open + n, codes: { ...codes, [code]: n }, capped: open + n > MAX_COUNTED });
  }
  return counted;
}
