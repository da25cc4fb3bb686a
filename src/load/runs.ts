import type { Counts, RunReport } from '../batch.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { isoTime } from './ledger.js';
import { asOutage } from './postgres-error.js';
import type { RunLog } from './sink.js';

/** A run as `runs list` prints it; times are ISO 8601 in UTC. */
export interface RunRow {
  readonly run_id: string;
  readonly pipeline: string;
  readonly trigger: string;
  readonly state: string;
  readonly owner: string | null;
  readonly started_at: string;
  readonly heartbeat_at: string;
  readonly finished_at: string | null;
  readonly received: number;
  readonly loaded: number;
  readonly duplicates: number;
  readonly quarantined: number;
  readonly released: number;
}

/** A batch of a run, as `runs show` prints it; times are ISO 8601 in UTC. */
export interface LoadRow {
  readonly batch_id: string;
  readonly run_id: string;
  readonly pipeline: string;
  readonly state: string;
  readonly held: readonly number[];
  readonly received: number;
  readonly loaded: number;
  readonly duplicates: number;
  readonly quarantined: number;
  readonly released: number;
  readonly bytes: number;
  readonly received_at: string;
  readonly loaded_at: string | null;
  readonly policy_sha256: string | null;
  readonly kids: readonly number[];
}

/** Which runs to list. */
export interface RunFilter {
  readonly pipelines?: readonly string[];
  readonly states?: readonly string[];
  /** Started at or after, in epoch ms. */
  readonly since?: number;
  readonly limit: number;
}

type Queries = Pick<PostgresPool, 'query'>;

/** The log of runs in `maskline.runs`. */
export function createRunLog(pool: Queries): RunLog {
  const write = (text: string, values: readonly unknown[]) => asOutage(() => pool.query(text, values));
  return {
    async open(run, owner) {
      // Again after an unknown outcome, it finds its own row and leaves it.
      await write(`${INSERT} on conflict (run_id) do nothing`, runValues(run, owner));
    },
    async heartbeat(runId, counts) {
      await write(
        `update maskline.runs
            set heartbeat_at = now(), received = $2, loaded = $3, duplicates = $4, quarantined = $5, released = $6
          where run_id = $1 and state = 'running'`,
        [runId, ...countValues(counts)],
      );
    },
    async close(run) {
      // Over an `abandoned` too: a report that comes late is still the true one.
      await write(
        `${INSERT}
         on conflict (run_id) do update
            set state = excluded.state, heartbeat_at = now(), finished_at = excluded.finished_at,
                received = excluded.received, loaded = excluded.loaded, duplicates = excluded.duplicates,
                quarantined = excluded.quarantined, released = excluded.released`,
        runValues(run, null),
      );
    },
    async abandonStale(pipeline, silentMs) {
      const { rowCount } = await write(
        `update maskline.runs set state = 'abandoned', finished_at = now()
          where pipeline = $1 and state = 'running' and heartbeat_at < now() - $2 * interval '1 millisecond'`,
        [pipeline, silentMs],
      );
      return rowCount ?? 0;
    },
  };
}

const INSERT = `
  insert into maskline.runs
    (run_id, pipeline, trigger, state, owner, started_at, finished_at,
     received, loaded, duplicates, quarantined, released)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`;

function runValues(run: RunReport, owner: string | null): readonly unknown[] {
  const { runId, pipeline, trigger, state, startedAt, finishedAt } = run;
  const finished = finishedAt === null ? null : isoTime(finishedAt);
  return [runId, pipeline, trigger, state, owner, isoTime(startedAt), finished, ...countValues(run)];
}

function countValues(counts: Counts): readonly number[] {
  return [counts.received, counts.loaded, counts.duplicates, counts.quarantined, counts.released];
}

/** A time as the commands print it. */
export function isoColumn(column: string, name = column): string {
  return `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${name}`;
}

// Counts beyond 2^53 don't occur; as float8 they come as numbers, where int8 would come as text.
const RUN_COLUMNS = `
  run_id, pipeline, trigger, state, owner,
  ${isoColumn('started_at')}, ${isoColumn('heartbeat_at')}, ${isoColumn('finished_at')},
  received::float8, loaded::float8, duplicates::float8, quarantined::float8, released::float8`;

/** The runs that the filter lets through, latest first. */
export async function listRuns(pool: Queries, filter: RunFilter): Promise<readonly RunRow[]> {
  const { rows } = await pool.query<RunRow>(
    `select ${RUN_COLUMNS} from maskline.runs as r
      where ($1::text[] is null or pipeline = any($1))
        and ($2::text[] is null or state = any($2))
        and ($3::timestamptz is null or r.started_at >= $3)
      order by r.started_at desc, run_id desc
      limit $4`,
    [
      filter.pipelines ?? null,
      filter.states ?? null,
      filter.since === undefined ? null : isoTime(filter.since),
      filter.limit,
    ],
  );
  return rows;
}

/** A batch's columns, of the table as `l`. */
const LOAD_COLUMNS = `
  batch_id, l.run_id, l.pipeline, l.state, held, l.received, l.loaded, l.duplicates, l.quarantined, l.released,
  bytes::float8, ${isoColumn('received_at')}, ${isoColumn('loaded_at')}, policy_sha256, kids`;

/**
 * A run and its batches, in the order of their receipt, by its id or the beginning of it; null when there is none.
 * Throws `not_found` when several begin so.
 */
export async function showRun(
  pool: Queries,
  runId: string,
): Promise<(RunRow & { readonly batches: readonly LoadRow[] }) | null> {
  // Compared as text: whatever a user types is not found, rather than no UUID.
  const { rows: runs } = await pool.query<RunRow>(
    `select ${RUN_COLUMNS} from maskline.runs where starts_with(run_id::text, lower($1)) limit 2`,
    [runId],
  );
  const [run, other] = runs;
  if (!run) return null;
  if (other) throw new PipelineError('not_found', 'several runs have ids that begin so: give more of the id');
  const { rows } = await pool.query<LoadRow>(
    `select ${LOAD_COLUMNS} from maskline.loads as l where run_id = $1
      order by l.received_at, batch_id`,
    [run.run_id],
  );
  return { ...run, batches: rows };
}

/** The fate of a batch, and when its run ended. */
export interface BatchFate extends LoadRow {
  readonly run_finished_at: string | null;
}

/** The fate of one batch; null when it has none, or none any more. */
export async function readFate(pool: Queries, batchId: string): Promise<BatchFate | null> {
  const { rows } = await pool.query<BatchFate>(
    `select ${LOAD_COLUMNS}, ${isoColumn('finished_at', 'run_finished_at')}
       from maskline.loads as l left join maskline.runs as r on r.run_id = l.run_id
      where batch_id::text = $1`,
    [batchId],
  );
  return rows[0] ?? null;
}

/** A batch by its id, which is a UUID; null when it has no fate, or none any more. */
export async function readLoad(pool: Queries, batchId: string): Promise<LoadRow | null> {
  const { rows } = await pool.query<LoadRow>(
    `select ${LOAD_COLUMNS} from maskline.loads as l where batch_id = $1::uuid`,
    [batchId],
  );
  return rows[0] ?? null;
}
