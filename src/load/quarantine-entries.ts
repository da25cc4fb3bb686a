import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { isoTime } from './ledger.js';
import { isoColumn } from './runs.js';

/** An entry without its content, as `quarantine list` prints it; times are ISO 8601 in UTC. */
export interface QuarantineRow {
  readonly id: string;
  readonly pipeline: string;
  readonly code: string;
  readonly path: string | null;
  readonly kind: 'raw' | 'masked';
  readonly record_id: string;
  readonly message_id: string;
  readonly batch_id: string;
  readonly kid: number;
  /** Size of what is sealed. */
  readonly bytes: number;
  readonly sent_at: string;
  readonly quarantined_at: string;
  readonly replayed_at: string | null;
}

/** An entry with its content. */
export interface QuarantineEntry extends QuarantineRow {
  readonly sealed: Buffer;
  /** What made the batch that it came with; null when that batch is not on record any more. */
  readonly policy_sha256: string | null;
  readonly kids: readonly number[] | null;
}

/** Which entries are meant. */
export interface QuarantineFilter {
  /** Null: not chosen by id. */
  readonly ids: readonly string[] | null;
  /** Empty: of every pipeline. */
  readonly pipelines: readonly string[];
  /** Empty: of every code. */
  readonly codes: readonly string[];
  readonly withoutCodes: readonly string[];
  /** Quarantined at or after, in epoch ms. */
  readonly since: number | null;
  /** Quarantined at or before, as `serverTime` gives it: what comes later is left out. */
  readonly until: string | null;
  /** Open entries are those that were not replayed. */
  readonly state: 'open' | 'replayed' | 'any';
  /** Of one cause only; absent: of any. */
  readonly cause?: Pick<QuarantineCause, 'path' | 'policy_sha256'>;
}

/** How many entries there are of a pipeline, code and path. */
export interface QuarantineCount {
  readonly pipeline: string;
  readonly code: string;
  readonly path: string | null;
  readonly open: number;
  readonly replayed: number;
  readonly oldest_at: string;
  readonly newest_at: string;
}

/** Entries of one pipeline that were rejected alike. */
export interface QuarantineCause extends QuarantineCount {
  /** What made the batches that they came with; null where these are not on record any more. */
  readonly policy_sha256: string | null;
  /** The latest entry, which stands for the others. */
  readonly sample_id: string;
}

type Queries = Pick<PostgresPool, 'query'>;

/** Entries of one page, without their content. */
const PAGE_ENTRIES = 500;
/** Contents read at once, one of any size apart: what a replay holds in memory, several times over. */
const PAGE_BYTES = 8 * 1024 * 1024;

const COLUMNS = `
  q.id, q.pipeline, q.code, q.path, q.kind, q.record_id, q.message_id, q.batch_id, q.kid,
  octet_length(q.sealed) as bytes, ${isoColumn('q.sent_at', 'sent_at')},
  ${isoColumn('q.quarantined_at', 'quarantined_at')}, ${isoColumn('q.replayed_at', 'replayed_at')}`;

/** Written out, not bound: only then does the planner know that an index of open entries will do. */
const STATES = {
  open: 'q.replayed_at is null',
  replayed: 'q.replayed_at is not null',
  any: 'true',
} as const;

/** Which policy an entry was rejected under. */
const POLICY = '(select l.policy_sha256 from maskline.loads l where l.batch_id = q.batch_id)';

/** The conditions of a filter, over $1 to $8; a list of one is a value that may be null. */
function conditions(filter: QuarantineFilter): { readonly sql: string; readonly values: readonly unknown[] } {
  return {
    sql: `${STATES[filter.state]}
      and ($1::uuid[] is null or q.id = any($1))
      and ($2::text[] is null or q.pipeline = any($2))
      and ($3::text[] is null or q.code = any($3))
      and q.code <> all($4::text[])
      and ($5::timestamptz is null or q.quarantined_at >= $5)
      and ($6::timestamptz is null or q.quarantined_at <= $6)
      and ($7::text[] is null or q.path is not distinct from ($7::text[])[1])
      and ($8::text[] is null or ${POLICY} is not distinct from ($8::text[])[1])`,
    values: [
      filter.ids,
      filter.pipelines.length === 0 ? null : filter.pipelines,
      filter.codes.length === 0 ? null : filter.codes,
      filter.withoutCodes,
      filter.since === null ? null : isoTime(filter.since),
      filter.until,
      filter.cause ? [filter.cause.path] : null,
      filter.cause ? [filter.cause.policy_sha256] : null,
    ],
  };
}

interface PagedRow extends QuarantineRow {
  /** The time of quarantine to the microsecond, where the next page begins. */
  readonly cursor: string;
}

/** The entries that the filter lets through, page by page, in the order of their quarantine; no page is empty. */
export async function* pageEntries(
  pool: Queries,
  filter: QuarantineFilter,
  order: 'oldest_first' | 'newest_first',
  limit: number | null = null,
): AsyncGenerator<readonly QuarantineRow[]> {
  const { sql, values } = conditions(filter);
  const [beyond, direction] = order === 'oldest_first' ? ['>', 'asc'] : ['<', 'desc'];
  let left = limit ?? Infinity;
  let after: PagedRow | undefined;
  while (left > 0) {
    const wanted = Math.min(left, PAGE_ENTRIES);
    const { rows } = await pool.query<PagedRow>(
      `select ${COLUMNS}, q.quarantined_at::text as cursor from maskline.quarantine as q
        where ${sql} ${after ? `and (q.quarantined_at, q.id) ${beyond} ($10::timestamptz, $11::uuid)` : ''}
        order by q.quarantined_at ${direction}, q.id ${direction}
        limit $9`,
      [...values, wanted, ...(after ? [after.cursor, after.id] : [])],
    );
    if (rows.length === 0) return;
    yield rows.map(({ cursor: _, ...row }) => row);
    if (rows.length < wanted) return;
    left -= rows.length;
    after = rows.at(-1);
  }
}

/** The same with their contents, oldest first; a page holds 8 MiB, or one entry that is larger. */
export async function* pageContents(
  pool: Queries,
  filter: QuarantineFilter,
  limit: number | null = null,
): AsyncGenerator<readonly QuarantineEntry[]> {
  for await (const page of pageEntries(pool, filter, 'oldest_first', limit)) {
    let ids: string[] = [];
    let bytes = 0;
    for (const row of page) {
      if (ids.length > 0 && bytes + row.bytes > PAGE_BYTES) {
        yield await readContents(pool, ids);
        ids = [];
        bytes = 0;
      }
      ids.push(row.id);
      bytes += row.bytes;
    }
    yield await readContents(pool, ids);
  }
}

/** Entries with their contents, as long as they are there. */
async function readContents(pool: Queries, ids: readonly string[]): Promise<readonly QuarantineEntry[]> {
  const { rows } = await pool.query<QuarantineEntry>(
    `select ${COLUMNS}, q.sealed, l.policy_sha256, l.kids
       from maskline.quarantine as q left join maskline.loads as l on l.batch_id = q.batch_id
      where q.id = any($1::uuid[])
      order by q.quarantined_at, q.id`,
    [ids],
  );
  return rows;
}

const COUNTED = `
  (count(*) filter (where q.replayed_at is null))::float8 as open, count(q.replayed_at)::float8 as replayed,
  ${isoColumn('min(q.quarantined_at)', 'oldest_at')}, ${isoColumn('max(q.quarantined_at)', 'newest_at')}`;

/** How many entries the filter lets through, the most frequent first. */
export async function countEntries(
  pool: Queries,
  filter: QuarantineFilter,
): Promise<readonly QuarantineCount[]> {
  const { sql, values } = conditions(filter);
  const { rows } = await pool.query<QuarantineCount>(
    `select q.pipeline, q.code, q.path, ${COUNTED}
       from maskline.quarantine as q where ${sql}
      group by q.pipeline, q.code, q.path
      order by count(*) desc, q.pipeline, q.code, q.path`,
    [...values],
  );
  return rows;
}

/** The same by cause: pipeline, code, path, and the policy under which they were rejected. */
export async function listCauses(
  pool: Queries,
  filter: QuarantineFilter,
): Promise<readonly QuarantineCause[]> {
  const { sql, values } = conditions(filter);
  const { rows } = await pool.query<QuarantineCause>(
    `select q.pipeline, q.code, q.path, ${POLICY} as policy_sha256, ${COUNTED},
            (array_agg(q.id order by q.quarantined_at desc, q.id))[1] as sample_id
       from maskline.quarantine as q where ${sql}
      group by 1, 2, 3, 4
      order by count(*) desc, 1, 2, 3, 4`,
    [...values],
  );
  return rows;
}

/** The time by which the server stamps entries, for `until`. */
export async function serverTime(pool: Queries): Promise<string> {
  const { rows } = await pool.query<{ now: string }>('select now()::text as now');
  return rows[0]?.now ?? 'now';
}

const ID_DIGITS = 32;

/**
 * The ids of entries, each given whole or by its beginning. Throws `not_found` when there is no such entry, `usage`
 * for what is no id, or the beginning of several.
 */
export async function resolveIds(pool: Queries, given: readonly string[]): Promise<readonly string[]> {
  const ids = new Set<string>();
  for (const text of given) ids.add(await resolveId(pool, text));
  return [...ids];
}

async function resolveId(pool: Queries, text: string): Promise<string> {
  const digits = text.replaceAll('-', '').toLowerCase();
  if (!/^[0-9a-f]{1,32}$/.test(digits)) {
    throw new PipelineError('usage', `${text} is no id of an entry; \`maskline quarantine list\` shows them`);
  }
  // All ids with that beginning are within a range of the primary key.
  const { rows } = await pool.query<{ id: string }>(
    'select id from maskline.quarantine where id between $1::uuid and $2::uuid order by id limit 2',
    [digits.padEnd(ID_DIGITS, '0'), digits.padEnd(ID_DIGITS, 'f')],
  );
  const [found, other] = rows;
  if (!found) {
    throw new PipelineError(
      'not_found',
      `there is no entry ${text}; \`maskline quarantine list\` shows them`,
    );
  }
  if (other) {
    throw new PipelineError('usage', `several entries have ids that begin with ${text}: give more of the id`);
  }
  return found.id;
}

const DELETE = `
  with doomed as (
    select id from maskline.quarantine q where q.id = any($1::uuid[]) and STATE order by id for update),
  gone as (
    delete from maskline.quarantine where id in (select id from doomed)
    returning pipeline, batch_id, replayed_in, kind, sent_at, replayed_rows),
  noted as (
    insert into maskline.purged (pipeline, batch_id, replayed_in, kind, entries, oldest_sent_at, replayed_rows)
    select pipeline, batch_id, replayed_in, kind, count(*), min(sent_at), sum(coalesce(replayed_rows, 1))
      from gone group by 1, 2, 3, 4)
  select count(*)::int as deleted from gone`;

/**
 * Deletes entries for good, those that are in that state, and returns how many there were. How many went is noted in
 * `maskline.purged`, so that `prove` can tell them from those that went otherwise.
 */
export async function deleteEntries(
  pool: Queries,
  ids: readonly string[],
  state: QuarantineFilter['state'],
): Promise<number> {
  const { rows } = await pool.query<{ deleted: number }>(DELETE.replace('STATE', STATES[state]), [ids]);
  return rows[0]?.deleted ?? 0;
}
