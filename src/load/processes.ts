import type { ErrorCode } from '../errors.js';
import type { PostgresPool } from './connection.js';

/** How a process introduces itself. `id` is new at each start. */
export interface ProcessIdentity {
  readonly id: string;
  readonly role: string;
  /** Host and pid. */
  readonly owner: string;
  readonly version: string;
  readonly pipelines: readonly string[];
}

/** Why a pipeline is stopped in a process; `since` in epoch ms. */
export interface ProcessStop {
  readonly code: ErrorCode;
  readonly message: string;
  readonly since: number;
}

/** By the name of the pipeline. */
export type ProcessStops = Readonly<{ [pipeline: string]: ProcessStop }>;

/** A process on record; times in epoch ms and ms, by the clock of the database. */
export interface ProcessRecord extends Omit<ProcessIdentity, 'id'> {
  readonly startedAt: number;
  readonly seenAt: number;
  /** Pipelines that it has stopped, and is not at work on; they are among `pipelines` all the same. */
  readonly stopped: ProcessStops;
  /** Since it was seen. */
  readonly silentMs: number;
}

type Queries = Pick<PostgresPool, 'query'>;

/** Says that the process is alive: enters it, or renews `seen_at`. Needs `execute` only. Throws `postgres_unavailable`. */
export async function processSeen(pool: Queries, process: ProcessIdentity): Promise<void> {
  const { id, role, owner, version, pipelines } = process;
  await pool.query('select maskline.process_seen($1, $2, $3, $4, $5)', [id, role, owner, version, pipelines]);
}

/** Says which pipelines the process has stopped. Needs `execute` only. Throws `postgres_unavailable`. */
export async function processStops(pool: Queries, id: string, stops: ProcessStops): Promise<void> {
  await pool.query('select maskline.process_stops($1, $2)', [id, JSON.stringify(stops)]);
}

/** Takes the process off the record, at its end. Throws `postgres_unavailable`. */
export async function processGone(pool: Queries, id: string): Promise<void> {
  await pool.query('select maskline.process_gone($1)', [id]);
}

/** The processes seen within so many ms, by role and start. Throws `postgres_unavailable`. */
export async function listProcesses(pool: Queries, withinMs: number): Promise<readonly ProcessRecord[]> {
  const { rows } = await pool.query<
    Omit<ProcessIdentity, 'id'> & {
      stopped: ProcessStops;
      started_at: Date;
      seen_at: Date;
      silent_ms: number;
    }
  >(
    `select role, owner, version, pipelines, stopped, started_at, seen_at,
            (extract(epoch from now() - seen_at) * 1000)::float8 as silent_ms
       from maskline.processes
      where seen_at > now() - $1 * interval '1 millisecond' order by role, started_at, owner`,
    [withinMs],
  );
  return rows.map(({ started_at: startedAt, seen_at: seenAt, silent_ms: silentMs, ...rest }) => ({
    ...rest,
    startedAt: startedAt.getTime(),
    seenAt: seenAt.getTime(),
    silentMs,
  }));
}
