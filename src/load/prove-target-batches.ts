import type { ClientBase } from 'pg';
import { MAX_OF_A_KIND, type ProofFindings } from './prove-findings.js';
import { type ProofWindow, eachRow } from './prove-snapshot.js';
import { coveredBatches, leaveUncovered, reportRowsBeyond } from './prove-target-cover.js';
import type { TargetFacts } from './prove-target.js';

// A raw entry is loaded by the batch that replays it; a masked one is the row that was refused, with the id of the
// batch that it came with. A masked batch that is retried gets a new id, while its rows keep that of the one that
// failed: so rows of retried batches can be told apart from all others, but not from each other.
const ONE_ROW_EACH = `
  part as (
    select c.batch_id, case c.trigger when 'replay' then 0 else c.loaded end as n from covered c
    union all
    select case q.kind when 'raw' then q.replayed_in else q.batch_id end, coalesce(q.replayed_rows, 1)
      from maskline.quarantine q join covered c on c.batch_id = q.replayed_in
    union all
    select case p.kind when 'raw' then p.replayed_in else p.batch_id end, coalesce(p.replayed_rows, p.entries)
      from maskline.purged p join covered c on c.batch_id = p.replayed_in),
  mixed as (select null::uuid as batch_id where false)`;

// Of a list, only how many rows all entries of a replay had together is known. Rows of masked ones have the ids of the
// batches that they came with, so that with those their batches are as retried ones are.
const LISTS = `
  mixed as (
    select m.batch_id
      from (select q.batch_id, q.replayed_in from maskline.quarantine q where q.kind = 'masked'
            union all
            select p.batch_id, p.replayed_in from maskline.purged p where p.kind = 'masked') as r
      join covered c on c.batch_id = r.replayed_in
      cross join lateral (values (r.batch_id), (r.replayed_in)) as m (batch_id)),
  part as (
    select c.batch_id, c.loaded as n from covered c
    union all
    select m.batch_id, 0 from mixed m)`;

const batchesSql = (isList: boolean): string => `
  with ${coveredBatches('batch_id_column')},
  ${isList ? LISTS : ONE_ROW_EACH},
  -- What an erasure on record has deleted.
  gone as (
    select e.batch_id as id, sum(e.rows) as n from maskline.erased e where e.target = $2 group by e.batch_id),
  loaded as (
    select p.batch_id::text as id, sum(p.n) as n, bool_or(c.batch_id is not null) as is_covered
      from part p left join covered c on c.batch_id = p.batch_id group by p.batch_id),
  expected as (
    select l.id, case when l.id in (select batch_id::text from mixed) then l.n - coalesce(g.n, 0)
                      else greatest(l.n - coalesce(g.n, 0), 0) end as n, l.is_covered
      from loaded l left join gone g on g.id = l.id),
  found as (
    select k.batch_id as id, count(*) as n from maskline.target_keys($1, $2, $6) as k group by k.batch_id)
  select coalesce(e.id, f.id) as batch_id, coalesce(e.n, 0)::float8 as expected, coalesce(f.n, 0)::float8 as found,
         coalesce(e.is_covered, false) as is_covered, l.batch_id is not null as is_on_record,
         coalesce(e.id, f.id) is not null and (
           coalesce(l.state <> 'committed' or r.trigger = 'retry', true)
           or coalesce(e.id, f.id) in (select batch_id::text from mixed)) as is_loose,
         coalesce(f.id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' and f.id >= $3::uuid::text, false) as is_recent
    from expected e full join found f on f.id = e.id
    left join maskline.loads l on l.batch_id::text = coalesce(e.id, f.id)
    left join maskline.runs r on r.run_id = l.run_id`;

interface BatchRows {
  readonly batch_id: string | null;
  readonly expected: number;
  readonly found: number;
  /** That many rows it must have, and no more. */
  readonly is_covered: boolean;
  readonly is_on_record: boolean;
  /** It is one that was retried, or may be the one that failed before; or rows of a list are of several. */
  readonly is_loose: boolean;
  /** Its id is of the window: it must be on record. */
  readonly is_recent: boolean;
}

/** Compares a table that has a column of batch ids batch by batch; returns how many rows it has. */
export async function proveByBatches(
  client: ClientBase,
  facts: TargetFacts,
  window: ProofWindow,
  findings: ProofFindings,
): Promise<number> {
  const { pipeline, target, since, sha256 } = facts;
  const values = [pipeline, target, window.firstId, window.ledgerFrom, since, sha256];
  const judge = new RowsOfBatches(target, findings);
  for await (const batch of eachRow<BatchRows>(client, batchesSql(facts.is_list), values)) judge.see(batch);
  const { rows, batches, covered, matched, named } = judge.finish();
  const others = facts.expected - covered;
  reportRowsBeyond(facts, rows - matched - others, { named, mayGo: others }, findings);
  await leaveUncovered(client, facts, window, batches, findings);
  return rows;
}

class RowsOfBatches {
  readonly #target: string;
  readonly #findings: ProofFindings;
  /** Batches that no record tells of; they are named only where they can't be retried ones. */
  readonly #unknown: BatchRows[] = [];
  readonly #loose = { expected: 0, found: 0 };
  readonly #sums = { rows: 0, batches: 0, covered: 0, matched: 0 };
  #unknownBatches = 0;
  #unknownRows = 0;

  constructor(target: string, findings: ProofFindings) {
    this.#target = target;
    this.#findings = findings;
  }

  see(batch: BatchRows): void {
    const { expected, found } = batch;
    this.#sums.rows += found;
    this.#sums.covered += expected;
    if (batch.is_covered) this.#sums.batches += 1;
    if (batch.is_loose) {
      this.#loose.expected += expected;
      this.#loose.found += found;
      if (batch.batch_id !== null && batch.is_recent && !batch.is_on_record) this.#unknownBatch(batch);
      return;
    }
    this.#sums.matched += batch.is_covered ? found : Math.min(found, expected);
    if (batch.is_covered ? found === expected : found >= expected) return;
    const { batch_id } = batch;
    const what = `batch ${batch_id} loaded ${expected} rows that table ${this.#target} must have; it has ${found} of it`;
    const id = batch_id === null ? {} : { batch_id };
    this.#findings.add({ kind: 'batch_rows_differ', ...id, expected, found, what });
  }

  finish(): Readonly<{ rows: number; batches: number; covered: number; matched: number; named: number }> {
    const { expected, found } = this.#loose;
    const matched = this.#sums.matched + Math.min(expected, found);
    if (found < expected) {
      const what = `batches that were retried or replayed loaded ${expected} rows; table ${this.#target} has ${found} that can be theirs`;
      this.#findings.add({ kind: 'batch_rows_differ', expected, found, what });
    }
    if (expected > 0) return { ...this.#sums, matched, named: 0 };
    let more = this.#unknownBatches - this.#unknown.length;
    for (const { batch_id, found: rows } of this.#unknown) {
      const what = `table ${this.#target} has ${rows} rows of batch ${batch_id}, which is not on record`;
      const id = batch_id === null ? {} : { batch_id };
      this.#findings.add({ kind: 'row_unknown', ...id, expected: 0, found: rows, what }, more);
      more = 0;
    }
    return { ...this.#sums, matched, named: this.#unknownRows };
  }

  #unknownBatch(batch: BatchRows): void {
    this.#unknownBatches += 1;
    this.#unknownRows += batch.found;
    if (this.#unknown.length < MAX_OF_A_KIND) this.#unknown.push(batch);
  }
}
