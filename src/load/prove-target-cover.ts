import type { ClientBase } from 'pg';
import type { ProofFindings } from './prove-findings.js';
import type { ProofWindow } from './prove-snapshot.js';
import type { TargetFacts } from './prove-target.js';

/**
 * SQL of the batches whose rows must say what they came from, as a `with` part: loaded in the window ($3) and since the
 * baseline ($5), under a policy that had the same column as the one of today ($6), and of messages that the ledger has
 * not forgotten ($4). $1 is the pipeline, $2 the table, of which `loaded` are the rows.
 */
export function coveredBatches(column: 'message_id_column' | 'batch_id_column'): string {
  return `covered as materialized (
    select l.batch_id, coalesce(r.trigger, '') as trigger,
           case when b.further is null then l.loaded else coalesce((l.further_rows ->> b.further)::int, 0) end as loaded
      from maskline.loads l
      join maskline.baselines b on b.pipeline = l.pipeline and b.target = $2
      left join maskline.runs r on r.run_id = l.run_id
      join maskline.policies p
        on p.pipeline = l.pipeline and p.sha256 = l.policy_sha256 and p.further = coalesce(b.further, '')
      join maskline.policies today
        on today.pipeline = $1 and today.sha256 = $6 and today.further = p.further and today.${column} = p.${column}
     where l.pipeline = $1 and l.state = 'committed' and l.batch_id >= $3 and l.loaded_at >= $5
       and (r.trigger = 'replay' or l.oldest_sent_at >= $4))`;
}

/**
 * Reports rows that are more than were loaded, but for those that were named, or that are less (`beyond` is negative).
 * Of rows that were loaded before what could be looked at, `mayGo` in number, some may have been deleted by right.
 */
export function reportRowsBeyond(
  { target, label, expected, is_upsert }: TargetFacts,
  beyond: number,
  { named, mayGo }: { readonly named: number; readonly mayGo: number },
  findings: ProofFindings,
): void {
  const found = expected + beyond;
  if (beyond > named) {
    const what = `table ${target} has ${beyond} more rows than were loaded into it on record, ${named} of them named above`;
    findings.add({ kind: 'row_unknown', expected, found, what });
  } else if (is_upsert) {
    // Overwritten rows are fewer by right.
    return;
  } else if (-beyond > Math.max(0, mayGo)) {
    const what = `table ${target} lacks ${-beyond} rows of records that nothing on record names; ${Math.max(0, mayGo)} may be gone by right`;
    findings.add({ kind: 'row_count_differs', expected, found, what });
  } else {
    findings.leave(
      `target_rows${label}`,
      Math.max(0, -beyond),
      'they are gone from the table, and were loaded before what could be looked at: deleted by retention or erasure, or else',
    );
  }
}

const COMMITTED = `
  select count(*)::float8 as n from maskline.loads
   where pipeline = $1 and state = 'committed' and batch_id >= $2`;

/** Notes how many of the window's batches could not be looked at row by row. */
export async function leaveUncovered(
  client: ClientBase,
  { pipeline, label }: TargetFacts,
  { firstId }: ProofWindow,
  covered: number,
  findings: ProofFindings,
): Promise<void> {
  const { rows } = await client.query<{ n: number }>(COMMITTED, [pipeline, firstId]);
  findings.leave(
    `target_batches${label}`,
    (rows[0]?.n ?? 0) - covered,
    'their rows were only counted: they were loaded before the baseline, under a policy without that column, or of messages that the ledger may have forgotten',
  );
}
