import type { PostgresPool } from './connection.js';
import { isoTime } from './ledger.js';

/** What is kept of a pipeline's schedule; times in epoch ms. */
export interface ScheduleState {
  readonly pipeline: string;
  readonly pausedAt: number | null;
  readonly reason: string | null;
  readonly lastStartedAt: number | null;
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
  /** Records a start, empty ticks too; an earlier time than the recorded one changes nothing. */
  started(pipeline: string, at: number): Promise<void>;
  pause(pipeline: string, reason: string | null): Promise<void>;
  /** Ends a pause and closes the breaker. */
  resume(pipeline: string): Promise<void>;
  /** Closed when there is no row. */
  breaker(pipeline: string): Promise<BreakerState>;
  /** An open breaker keeps its first reason. */
  openBreaker(pipeline: string, reason: string): Promise<void>;
}

/** The schedules and breakers of the database. */
export function createScheduleLog(pool: Queries): ScheduleLog {
  return {
    read: (pipeline) => readSchedule(pool, pipeline),
    lastStartedAt: async (pipeline) => (await readSchedule(pool, pipeline)).lastStartedAt,
    async started(pipeline, at) {
      await pool.query(
        `insert into maskline.schedules as s (pipeline, last_started_at) values ($1, $2)
         on conflict (pipeline) do update
            set last_started_at = greatest(s.last_started_at, excluded.last_started_at)`,
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
           update maskline.schedules set paused_at = null, reason = null where pipeline = $1)
         update maskline.breaker set state = 'closed', since = now(), reason = null
          where pipeline = $1 and state = 'open'`,
        [pipeline],
      );
    },
    breaker: (pipeline) => readBreaker(pool, pipeline),
    async openBreaker(pipeline, reason) {
      await pool.query(
        `insert into maskline.breaker as b (pipeline, state, reason) values ($1, 'open', $2)
         on conflict (pipeline) do update
            set state = 'open', since = now(), reason = excluded.reason where b.state = 'closed'`,
        [pipeline, reason],
      );
    },
  };
}

async function readSchedule(pool: Queries, pipeline: string): Promise<ScheduleState> {
  const { rows } = await pool.query<{
    paused_at: Date | null;
    reason: string | null;
    last_started_at: Date | null;
  }>('select paused_at, reason, last_started_at from maskline.schedules where pipeline = $1', [pipeline]);
  const row = rows[0];
  return {
    pipeline,
    pausedAt: row?.paused_at?.getTime() ?? null,
    reason: row?.reason ?? null,
    lastStartedAt: row?.last_started_at?.getTime() ?? null,
  };
}

async function readBreaker(pool: Queries, pipeline: string): Promise<BreakerState> {
  const { rows } = await pool.query<{ state: 'closed' | 'open'; since: Date; reason: string | null }>(
    'select state, since, reason from maskline.breaker where pipeline = $1',
    [pipeline],
  );
  const row = rows[0];
  return {
    pipeline,
    state: row?.state ?? 'closed',
    since: row?.since.getTime() ?? 0,
    reason: row?.reason ?? null,
  };
}
