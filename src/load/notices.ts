import type { PostgresPool } from './connection.js';
import { isoTime } from './ledger.js';

/** Whether something that needs a person is the case of a pipeline, since when (epoch ms); null: it is not. */
export interface Observation {
  readonly pipeline: string;
  readonly kind: string;
  readonly since: number | null;
}

/** Something to be told, or that it is over, which the caller has for half a minute. */
export interface DueNotice {
  readonly pipeline: string;
  readonly kind: string;
  /** Of this time that it is the case: the same when it is told again, and at its end. */
  readonly id: string;
  readonly isOver: boolean;
  readonly since: Date;
  /** This one included. */
  readonly attempts: number;
}

type Queries = Pick<PostgresPool, 'query'>;

/** Longer than a request may take. */
const CLAIM = "interval '30 seconds'";
/** Told at once; the others wait for the next look. */
const MAX_DUE = 10;

/** The kinds of each pipeline that are on record, told or not. Throws `postgres_unavailable`. */
export async function knownNotices(pool: Queries): Promise<readonly Pick<DueNotice, 'pipeline' | 'kind'>[]> {
  const { rows } = await pool.query<Pick<DueNotice, 'pipeline' | 'kind'>>(
    `select pipeline, kind from maskline.notices where state <> 'to_end'`,
  );
  return rows;
}

/**
 * Takes note of what is the case: what is new is to be told, what is no longer is to be told as over, and what was over
 * before anybody was told of it is forgotten. Safe when several do it at once. Throws `postgres_unavailable`.
 */
export async function noteObservations(pool: Queries, observations: readonly Observation[]): Promise<void> {
  const on = observations.filter(({ since }) => since !== null);
  const off = observations.filter(({ since }) => since === null);
  if (on.length > 0) {
    // Sorted, or two processes deadlock. What comes back before its end was told has never ended.
    await pool.query(
      `insert into maskline.notices as n (pipeline, kind, state, since)
       select t.pipeline, t.kind, 'to_tell', t.since
         from unnest($1::text[], $2::text[], $3::timestamptz[]) as t (pipeline, kind, since) order by 1, 2
       on conflict (pipeline, kind) do update set state = 'told', attempts = 0 where n.state = 'to_end'`,
      [...columnsOf(on), on.map(({ since }) => isoTime(since ?? 0))],
    );
  }
  if (off.length === 0) return;
  // One that was tried may have been heard.
  await pool.query(
    `with over as (
       select n.pipeline, n.kind, n.state = 'to_tell' and n.attempts = 0 as unheard
         from maskline.notices n join unnest($1::text[], $2::text[]) as t (pipeline, kind) using (pipeline, kind)
        where n.state <> 'to_end' order by 1, 2 for update of n),
     forgotten as (
       delete from maskline.notices n using over o
        where (n.pipeline, n.kind) = (o.pipeline, o.kind) and o.unheard)
     update maskline.notices n set state = 'to_end', attempts = 0, due_at = now() from over o
      where (n.pipeline, n.kind) = (o.pipeline, o.kind) and not o.unheard`,
    columnsOf(off),
  );
}

/** Takes what is to be told now; whoever else looks leaves it alone for a while. Throws `postgres_unavailable`. */
export async function takeDueNotices(pool: Queries): Promise<readonly DueNotice[]> {
  const { rows } = await pool.query<DueNotice>(
    `update maskline.notices n set due_at = now() + ${CLAIM}, attempts = n.attempts + 1
       from (select pipeline, kind from maskline.notices
              where state <> 'told' and due_at <= now() order by due_at limit ${MAX_DUE}
                for update skip locked) as d
      where (n.pipeline, n.kind) = (d.pipeline, d.kind)
      returning n.pipeline, n.kind, n.id, n.state = 'to_end' as "isOver", n.since, n.attempts`,
  );
  return rows;
}

/** Says that it was told. Nothing happens when it has changed meanwhile. Throws `postgres_unavailable`. */
export async function noticeTold(pool: Queries, notice: DueNotice): Promise<void> {
  await pool.query(
    notice.isOver
      ? `delete from maskline.notices where ${SAME}`
      : `update maskline.notices set state = 'told' where ${SAME}`,
    sameValues(notice),
  );
}

/** Says when it is to be tried again. Throws `postgres_unavailable`. */
export async function noticeFailed(pool: Queries, notice: DueNotice, againInMs: number): Promise<void> {
  await pool.query(
    `update maskline.notices set due_at = now() + $4 * interval '1 millisecond' where ${SAME}`,
    [...sameValues(notice), againInMs],
  );
}

/** How many open records of each pipeline were quarantined within so many ms, `max` standing for that or more. */
export async function countFreshQuarantine(
  pool: Queries,
  pipelines: readonly string[],
  { withinMs, max }: { readonly withinMs: number; readonly max: number },
): Promise<ReadonlyMap<string, number>> {
  const { rows } = await pool.query<{ pipeline: string; n: number }>(
    `select t.pipeline, (
       select count(*)::int from (
         select from maskline.quarantine
          where pipeline = t.pipeline and replayed_at is null
            and quarantined_at > now() - $2 * interval '1 millisecond'
          limit $3) as q) as n
       from unnest($1::text[]) as t (pipeline)`,
    [pipelines, withinMs, max],
  );
  return new Map(rows.map(({ pipeline, n }) => [pipeline, n]));
}

const SAME = `id = $1 and attempts = $2 and (state = 'to_end') = $3`;

function sameValues({ id, attempts, isOver }: DueNotice): unknown[] {
  return [id, attempts, isOver];
}

function columnsOf(observations: readonly Observation[]): unknown[] {
  return [observations.map(({ pipeline }) => pipeline), observations.map(({ kind }) => kind)];
}
