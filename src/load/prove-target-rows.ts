import type { ClientBase } from 'pg';
import { PipelineError } from '../errors.js';
import { type Difference, MAX_OF_A_KIND, type ProofFindings } from './prove-findings.js';
import { type ProofWindow, eachRow } from './prove-snapshot.js';
import { coveredBatches, leaveUncovered, reportRowsBeyond } from './prove-target-cover.js';
import type { TargetFacts } from './prove-target.js';

// A message that holds several records has several rows of its id, whose entries are `id#index`: by id, there must be
// `at_least` so many rows, of records whose batch is covered, and may be `at_most` so many. A record that was replayed
// is known by its entry in quarantine, since the ledger may have forgotten it; one whose entry was purged may have been.
const IDS = `
  with ${coveredBatches('message_id_column')},
  entry as (
    select split_part(e.record_id, '#', 1) as id, (c.batch_id is not null)::int as at_least, 1 as at_most
      from maskline.ledger e left join covered c on c.batch_id = e.batch_id
     where e.pipeline in (select pipeline from maskline.baselines where target = $2) and e.outcome = 'loaded'
    union all
    select split_part(e.record_id, '#', 1), 0,
           case when q.id is null then 1 when q.replayed_at is null or c.batch_id is not null then 0
                else coalesce(q.replayed_rows, 1) end
      from maskline.ledger e
      left join maskline.quarantine q
        on q.pipeline = e.pipeline and q.batch_id = e.batch_id and q.record_id = e.record_id
      left join covered c on c.batch_id = q.replayed_in
     where e.pipeline in (select pipeline from maskline.baselines where target = $2) and e.outcome = 'quarantined'
    union all
    select q.message_id, coalesce(q.replayed_rows, 1), coalesce(q.replayed_rows, 1)
      from maskline.quarantine q join covered c on c.batch_id = q.replayed_in),
  -- An erasure on record has deleted them by right: those, and no others of the same batch.
  gone as (
    select e.message_id as id, sum(e.rows)::int as rows from maskline.erased e where e.target = $2 group by e.message_id),
  named as (
    select id, sum(at_least)::int as at_least, sum(at_most)::int as at_most from entry group by id),
  expected as (
    select n.id, greatest(n.at_least - coalesce(g.rows, 0), 0) as at_least,
           greatest(n.at_most - coalesce(g.rows, 0), 0) as at_most, least(n.at_least, coalesce(g.rows, 0)) as erased
      from named n left join gone g on g.id = n.id),
  found as (
    select k.message_id as id, count(*)::int as n, max(k.sent_at) as sent_at
      from maskline.target_keys($1, $2, $6) as k group by k.message_id),
  compared as (
    select coalesce(e.id, f.id) as id, e.id is not null as is_known, coalesce(e.at_least, 0) as at_least,
           coalesce(e.at_most, 0) as at_most, coalesce(f.n, 0) as n, coalesce(e.erased, 0) as erased, f.sent_at
      from expected e full join found f on f.id = e.id)`;

const TOTALS = `${IDS}
  select coalesce(sum(n), 0)::float8 as rows, coalesce(sum(least(n, at_least)), 0)::float8 as matched,
         coalesce(sum(n - at_most) filter (where is_known and n > at_most), 0)::float8 as surplus,
         count(*) filter (where n < at_least)::float8 as missing_ids,
         count(*) filter (where is_known and n > at_most)::float8 as surplus_ids,
         count(*) filter (where not is_known and id is not null)::float8 as unknown_ids,
         coalesce(sum(n) filter (where not is_known and id is not null), 0)::float8 as unknown_rows,
         count(*) filter (where not is_known and id is not null and sent_at >= greatest($4::timestamptz, $5::timestamptz))::float8 as recent_ids,
         coalesce(sum(n) filter (where not is_known and id is not null and sent_at >= greatest($4::timestamptz, $5::timestamptz)), 0)::float8 as recent_rows,
         (select count(*) from covered)::float8 as batches,
         ((select coalesce(sum(loaded), 0) from covered) - coalesce(sum(erased), 0))::float8 as covered,
         (select coalesce(sum(coalesce(p.replayed_rows, p.entries)), 0) from maskline.purged p
            join covered c on c.batch_id = p.replayed_in)::float8 as purged,
         exists (select from maskline.purged p join covered c on c.batch_id = p.replayed_in
                  where p.oldest_sent_at < $4::timestamptz) as is_forgotten
    from compared`;

const NAMES = `${IDS}
  select id, at_least, at_most, n from compared
   where ($7 = 'missing' and n < at_least)
      or ($7 = 'surplus' and is_known and n > at_most)
      or ($7 = 'unknown' and not is_known and id is not null and ($8 or sent_at >= greatest($4::timestamptz, $5::timestamptz)))
   order by id limit ${MAX_OF_A_KIND}`;

interface Totals {
  readonly rows: number;
  readonly matched: number;
  readonly surplus: number;
  readonly missing_ids: number;
  readonly surplus_ids: number;
  readonly unknown_ids: number;
  readonly unknown_rows: number;
  readonly recent_ids: number;
  readonly recent_rows: number;
  readonly batches: number;
  readonly covered: number;
  /** Of these, rows of records that were replayed and whose entries were purged: nothing tells which they are. */
  readonly purged: number;
  /** Whether the ledger may have forgotten some of those. */
  readonly is_forgotten: boolean;
}

interface NamedId {
  readonly id: string;
  readonly at_least: number;
  readonly at_most: number;
  readonly n: number;
}

type Which = 'missing' | 'surplus' | 'unknown';

/** Compares a table that has a column of message ids row by row; returns how many rows it has. */
export async function proveByRows(
  client: ClientBase,
  facts: TargetFacts,
  window: ProofWindow,
  findings: ProofFindings,
): Promise<number> {
  const { pipeline, target, since, sha256, expected, is_upsert } = facts;
  const values = [pipeline, target, window.firstId, window.ledgerFrom, since, sha256];
  const { rows } = await client.query<Totals>(TOTALS, values);
  const [totals] = rows;
  if (!totals) throw new PipelineError('unexpected', 'Postgres gave no answer about a target table');
  const others = expected - totals.covered + totals.purged;
  // Where every row must have its entry, each without one is named; else those that were sent since they must.
  const isAll = others - totals.purged <= 0 && !totals.is_forgotten;
  const unknown = isAll
    ? { ids: totals.unknown_ids, rows: totals.unknown_rows }
    : { ids: totals.recent_ids, rows: totals.recent_rows };
  const ids = {
    missing: is_upsert ? 0 : totals.missing_ids,
    surplus: totals.surplus_ids,
    unknown: unknown.ids,
  };
  // A second reading, only where something differs.
  for (const which of ['missing', 'surplus', 'unknown'] as const) {
    if (ids[which] === 0) continue;
    let more = Math.max(0, ids[which] - MAX_OF_A_KIND);
    for await (const named of eachRow<NamedId>(client, NAMES, [...values, which, isAll])) {
      findings.add(differenceOf(which, target, named), more);
      more = 0;
    }
  }
  const beyond = totals.rows - totals.matched - totals.surplus - others;
  reportRowsBeyond(facts, beyond, { named: unknown.rows, mayGo: others - totals.purged }, findings);
  await leaveUncovered(client, facts, window, totals.batches, findings);
  return totals.rows;
}

function differenceOf(
  which: Which,
  target: string,
  { id: record_id, at_least, at_most, n: found }: NamedId,
): Omit<Difference, 'remedy'> {
  if (which === 'missing') {
    const what = `record ${record_id} was loaded; table ${target} has ${found} of its ${at_least} rows`;
    return { kind: 'row_missing', record_id, expected: at_least, found, what };
  }
  if (which === 'unknown') {
    const what = `table ${target} has ${found} rows of record ${record_id}, which the ledger does not know`;
    return { kind: 'row_unknown', record_id, expected: 0, found, what };
  }
  if (at_most === 0) {
    const what = `record ${record_id} is in quarantine, not replayed, and table ${target} has ${found} rows of it`;
    return { kind: 'row_of_quarantined', record_id, expected: 0, found, what };
  }
  const what = `table ${target} has ${found} rows of record ${record_id}, and may have ${at_most}`;
  return { kind: 'row_twice', record_id, expected: at_most, found, what };
}
