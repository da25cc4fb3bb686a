import type { PostgresPool } from './connection.js';
import { isoColumn } from './runs.js';

/** Open entries of one pipeline, code and path, by their outside only: nothing here was opened. */
export interface QuarantineShape {
  readonly pipeline: string;
  readonly code: string;
  /** As configured; null for what concerns the whole body. */
  readonly path: string | null;
  readonly kind: 'raw' | 'masked';
  readonly count: number;
  /** ISO 8601, UTC. */
  readonly first_at: string;
  readonly last_at: string;
  /** Sizes of what is sealed. */
  readonly least_bytes: number;
  readonly most_bytes: number;
  /** The latest ones. */
  readonly sample: readonly ShapeSample[];
}

/** One entry, by its outside. */
export interface ShapeSample {
  readonly id: string;
  readonly bytes: number;
  readonly kid: number;
  readonly sent_at: string;
  readonly quarantined_at: string;
}

type Queries = Pick<PostgresPool, 'query'>;

/** Of each pipeline so many are looked at, the latest: a page must be cheap, however much has piled up. */
const MAX_COUNTED = 10_000;
const SAMPLE = 3;

/**
 * The open entries of these pipelines by code, path and kind, the most frequent first; of each pipeline the latest
 * 10,000 are counted. Throws `postgres_unavailable`.
 */
export async function readQuarantineShapes(
  pool: Queries,
  pipelines: readonly string[],
): Promise<readonly QuarantineShape[]> {
  const { rows } = await pool.query<QuarantineShape>(
    `with latest as materialized (
       select q.* from unnest($1::text[]) as t (pipeline) cross join lateral (
         select id, pipeline, code, path, kind, kid, sent_at, quarantined_at, octet_length(sealed) as bytes
           from maskline.quarantine
          where pipeline = t.pipeline and replayed_at is null
          order by quarantined_at desc limit ${MAX_COUNTED}) as q),
     ranked as (
       select *, row_number() over (partition by pipeline, code, path, kind order by quarantined_at desc, id) as n
         from latest)
     select pipeline, code, path, kind, count(*)::int as count,
            ${isoColumn('min(quarantined_at)', 'first_at')}, ${isoColumn('max(quarantined_at)', 'last_at')},
            min(bytes) as least_bytes, max(bytes) as most_bytes,
            json_agg(json_build_object('id', id, 'bytes', bytes, 'kid', kid, ${jsonTime('sent_at')},
              ${jsonTime('quarantined_at')}) order by n) filter (where n <= ${SAMPLE}) as sample
       from ranked group by pipeline, code, path, kind
      order by count(*) desc, pipeline, code, path, kind`,
    [pipelines],
  );
  return rows;
}

function jsonTime(column: string): string {
  return `'${column}', to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}
