import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { isoTime } from './ledger.js';

/** What is kept of a pipeline's schedule; times in epoch ms. */
export interface ScheduleState {
  readonly pipeline: string;
  readonly pausedAt: number | null;
  readonly reason: string | null;
  readonly lastStartedAt: number | null;
  /** When the latest tick that ended well began, also one that found nothing. */
  readonly lastSucceededAt: number | null;
  /** When the latest pause ended, or the breaker was closed. */
  readonly resumedAt: number | null;
  /** Which process drains an exclusive pipeline just now. */
  readonly turnOf: string | null;
}

/** Whether a pipeline's breaker is open, since when (epoch ms) and why. */
export interface BreakerState {
  readonly pipeline: string;
  readonly state: 'closed' | 'open';
  readonly since: number;
  readonly reason: string | null;
}

type Queries = Pick<PostgresPool, 'query'>;

/** When a pipeline last started, and whether it may: `maskline.schedules` and `maskline.breaker`. */
export interface ScheduleLog {
  /** The pipeline's schedule; never started and not paused when there is no row. Throws `postgres_unavailable`. */
  read(pipeline: string): Promise<ScheduleState>;
  /** Epoch ms; null when it has never started. */
  lastStartedAt(pipeline: string): Promise<number | null>;
  /**
   * Records a start, empty ticks too; an earlier time than the recorded one changes nothing, and nothing starts while
   * it is paused.
   */
  started(pipeline: string, at: number): Promise<void>;
  /** Records that a tick which began at that time ended well; an earlier time changes nothing. */
  succeeded(pipeline: string, at: number): Promise<void>;
  pause(pipeline: string, reason: string | null): Promise<void>;
  /** Ends a pause and closes the breaker. */
  resume(pipeline: string): Promise<void>;
  /** Asks for a run now, of whichever ingester sees it first. */
  requestRun(pipeline: string): Promise<void>;
  /** Takes the request for a run, if there is one that no other ingester has taken; not while it is paused. */
  takeRunRequest(pipeline: string): Promise<boolean>;
  /** Closed when there is no row. */
  breaker(pipeline: string): Promise<BreakerState>;
  /** An open breaker keeps its first reason. */
  openBreaker(pipeline: string, reason: string): Promise<void>;
  /** Schedule and breaker of each pipeline, in the order of the names. */
  readAll(pipelines: readonly string[]): Promise<readonly Steering[]>;
}

/** What decides whether a pipeline runs. */
export interface Steering {
  readonly schedule: ScheduleState;
  readonly breaker: BreakerState;
}

/** The schedules and breakers of the database. */
export function createScheduleLog(pool: Queries): ScheduleLog {
  return {
    read: async (pipeline) => (await readSteering(pool, pipeline)).schedule,
    lastStartedAt: async (pipeline) => (await readSteering(pool, pipeline)).schedule.lastStartedAt,
    async started(pipeline, at) {
      await pool.query(
        `insert into maskline.schedules as s (pipeline, last_started_at) values ($1, $2)
         on conflict (pipeline) do update
            set last_started_at = greatest(s.last_started_at, excluded.last_started_at)
          where s.paused_at is null`,
        [pipeline, isoTime(at)],
      );
    },
    async succeeded(pipeline, at) {
      await pool.query(
        `insert into maskline.schedules as s (pipeline, last_succeeded_at) values ($1, $2)
         on conflict (pipeline) do update
            set last_succeeded_at = greatest(s.last_succeeded_at, excluded.last_succeeded_at)`,
        [pipeline, isoTime(at)],
      );
    },
    async pause(pipeline, reason) {
      await pool.query(
        `insert into maskline.schedules as s (pipeline, paused_at, reason) values ($1, now(), $2)
         on conflict (pipeline) do update
            set paused_at = coalesce(s.paused_at, excluded.paused_at), reason = excluded.reason`,
        [pipeline, reason],
      );
    },
    async resume(pipeline) {
      await pool.query(
        `with resumed as (
           insert into maskline.schedules as s (pipeline, resumed_at) values ($1, now())
           on conflict (pipeline) do update set paused_at = null, reason = null, resumed_at = now())
         update maskline.breaker set state = 'closed', since = now(), reason = null
          where pipeline = $1 and state = 'open'`,
        [pipeline],
      );
    },
    ...runRequests(pool),
    breaker: async (pipeline) => (await readSteering(pool, pipeline)).breaker,
    async openBreaker(pipeline, reason) {
      await pool.query(
        `insert into maskline.breaker as b (pipeline, state, reason) values ($1, 'open', $2)
         on conflict (pipeline) do update
            set state = 'open', since = now(), reason = excluded.reason where b.state = 'closed'`,
        [pipeline, reason],
      );
    },
    readAll: (pipelines) => readSteerings(pool, pipelines),
  };
}

/** What somebody wants who is not an ingester, kept until one takes it. */
function runRequests(pool: Queries): Pick<ScheduleLog, 'requestRun' | 'takeRunRequest'> {
  return {
    async requestRun(pipeline) {
      await pool.query(
        `insert into maskline.schedules as s (pipeline, run_requested_at) values ($1, now())
         on conflict (pipeline) do update set run_requested_at = excluded.run_requested_at`,
        [pipeline],
      );
    },
    async takeRunRequest(pipeline) {
      const { rowCount } = await pool.query(
        `update maskline.schedules set run_requested_at = null
          where pipeline = $1 and run_requested_at is not null and paused_at is null`,
        [pipeline],
      );
      return rowCount === 1;
    },
  };
}

interface SteeringRow {
  readonly pipeline: string;
  readonly paused_at: Date | null;
  readonly reason: string | null;
  readonly last_started_at: Date | null;
  readonly last_succeeded_at: Date | null;
  readonly resumed_at: Date | null;
  readonly turn_of: string | null;
  readonly state: 'closed' | 'open' | null;
  readonly since: Date | null;
  readonly breaker_reason: string | null;
}

async function readSteerings(pool: Queries, pipelines: readonly string[]): Promise<readonly Steering[]> {
  const { rows } = await pool.query<SteeringRow>(
    `select t.pipeline, s.paused_at, s.reason, s.last_started_at, s.last_succeeded_at, s.resumed_at,
            case when s.lease_until > clock_timestamp() then s.lease_owner end as turn_of,
            b.state, b.since, b.reason as breaker_reason
       from unnest($1::text[]) with ordinality as t (pipeline, n)
       left join maskline.schedules s using (pipeline)
       left join maskline.breaker b using (pipeline)
      order by t.n`,
    [pipelines],
  );
  return rows.map(steeringOf);
}

function steeringOf(row: SteeringRow): Steering {
  const { pipeline } = row;
  return {
    schedule: {
      pipeline,
      pausedAt: row.paused_at?.getTime() ?? null,
      reason: row.reason,
      lastStartedAt: row.last_started_at?.getTime() ?? null,
      lastSucceededAt: row.last_succeeded_at?.getTime() ?? null,
      resumedAt: row.resumed_at?.getTime() ?? null,
      turnOf: row.turn_of,
    },
    breaker: {
      pipeline,
      state: row.state ?? 'closed',
      since: row.since?.getTime() ?? 0,
      reason: row.breaker_reason,
    },
  };
}

async function readSteering(pool: Queries, pipeline: string): Promise<Steering> {
  const [steering] = await readSteerings(pool, [pipeline]);
  if (!steering) throw new PipelineError('unexpected', `Postgres gave no row for pipeline ${pipeline}`);
  return steering;
}
