import type { ClientBase } from 'pg';
import { proveQuarantined } from './prove-quarantined.js';
import type { ProofFindings } from './prove-findings.js';
import { type ProofWindow, eachRow } from './prove-snapshot.js';

/** One batch: what it says of itself, and what ledger and quarantine have of it. */
interface BatchFacts {
  readonly batch_id: string;
  /** Null when it is not on record. */
  readonly state: 'committed' | 'released' | null;
  readonly run_id: string | null;
  readonly has_run: boolean | null;
  readonly is_replay: boolean | null;
  /** All of its entries must still be in the ledger. */
  readonly is_remembered: boolean | null;
  /** What was purged of its entries since was noted. */
  readonly is_noted: boolean | null;
  readonly loaded: number;
  readonly quarantined: number;
  /** Its entries in the ledger, by outcome. */
  readonly entered: number;
  readonly set_aside: number;
  /** Of these, those whose key is not that of their record. */
  readonly misnamed: number;
  /** Its entries in quarantine, and those that were purged. */
  readonly kept: number;
  /** Rows of the entries that it has replayed. */
  readonly replayed: number;
}

/** What was looked at. */
export interface BatchTotals {
  readonly batches: number;
  readonly ledger_entries: number;
  readonly quarantine_entries: number;
}

/** An ingester gets no message that was sent longer before; one that comes by redrive is known by its batch. */
const QUEUE_DAYS = 15;

const BATCHES = `
  with batch as materialized (
    select l.batch_id, l.state, l.run_id, r.run_id is not null as has_run,
           coalesce(r.trigger = 'replay', false) as is_replay, coalesce(l.oldest_sent_at >= $3, false) as is_remembered,
           coalesce(l.loaded_at >= $4, false) as is_noted, l.loaded, l.quarantined, l.oldest_sent_at
      from maskline.loads l left join maskline.runs r on r.run_id = l.run_id
     where l.pipeline = $1 and l.batch_id >= $2),
  entry as (
    select e.batch_id, count(*) filter (where e.outcome = 'loaded') as entered,
           count(*) filter (where e.outcome = 'quarantined') as set_aside,
           count(*) filter (where e.key <> convert_to(e.record_id, 'UTF8')) as misnamed
      from maskline.ledger e
     where e.pipeline = $1 and e.batch_id >= $2
       and e.sent_at >= least((select min(oldest_sent_at) from batch), $5::timestamptz - interval '${QUEUE_DAYS} days')
     group by e.batch_id),
  part as (
    select q.batch_id, count(*) as entries from maskline.quarantine q
     where q.pipeline = $1 and q.batch_id >= $2 group by q.batch_id
    union all
    select p.batch_id, p.entries from maskline.purged p where p.pipeline = $1 and p.batch_id >= $2),
  kept as (select batch_id, sum(entries) as kept from part group by batch_id),
  claim as (
    select q.replayed_in as batch_id, sum(coalesce(q.replayed_rows, 1)) as rows from maskline.quarantine q
     where q.pipeline = $1 and q.replayed_in >= $2 group by q.replayed_in
    union all
    select p.replayed_in, coalesce(p.replayed_rows, p.entries) from maskline.purged p
     where p.pipeline = $1 and p.replayed_in >= $2),
  claimed as (select batch_id, sum(rows) as replayed from claim group by batch_id)
  select batch_id, state, run_id, has_run, is_replay, is_remembered, is_noted,
         coalesce(loaded, 0) as loaded, coalesce(quarantined, 0) as quarantined,
         coalesce(entered, 0)::float8 as entered, coalesce(set_aside, 0)::float8 as set_aside,
         coalesce(misnamed, 0)::float8 as misnamed,
         coalesce(kept, 0)::float8 as kept, coalesce(replayed, 0)::float8 as replayed
    from batch full join entry using (batch_id) full join kept using (batch_id) full join claimed using (batch_id)`;

/** Compares each batch of the window with its entries in ledger and quarantine. */
export async function proveBatches(
  client: ClientBase,
  pipeline: string,
  window: ProofWindow,
  findings: ProofFindings,
): Promise<BatchTotals> {
  const { firstId, ledgerFrom, purgesFrom, from } = window;
  const judge = new BatchJudge(findings);
  const values = [pipeline, firstId, ledgerFrom, purgesFrom, from];
  for await (const batch of eachRow<BatchFacts>(client, BATCHES, values)) judge.see(batch);
  judge.finish();
  await proveQuarantined(client, pipeline, ledgerFrom, judge.doubtful, findings);
  return judge.totals;
}

/** Batches whose records are looked at one by one, no more: it is done only where something differs. */
const MAX_DOUBTFUL = 100;

class BatchJudge {
  readonly #findings: ProofFindings;
  readonly #doubtful = new Set<string>();
  #batches = 0;
  #ledgerEntries = 0;
  #quarantineEntries = 0;
  #forgotten = 0;
  #unnoted = 0;

  constructor(findings: ProofFindings) {
    this.#findings = findings;
  }

  get totals(): BatchTotals {
    return {
      batches: this.#batches,
      ledger_entries: this.#ledgerEntries,
      quarantine_entries: this.#quarantineEntries,
    };
  }

  /** Those whose quarantined records don't agree. */
  get doubtful(): readonly string[] {
    return [...this.#doubtful];
  }

  see(batch: BatchFacts): void {
    this.#ledgerEntries += batch.entered + batch.set_aside;
    this.#quarantineEntries += batch.kept;
    if (batch.state === null) return this.#missing(batch);
    this.#batches += 1;
    if (batch.has_run === false) {
      const { batch_id, run_id } = batch;
      const what = `batch ${batch_id} is of run ${run_id}, which is not on record`;
      this.#findings.add({ kind: 'run_missing', batch_id, ...(run_id === null ? {} : { run_id }), what });
    }
    this.#judgeLedger(batch);
    this.#judgeQuarantine(batch);
    this.#judgeReplay(batch);
  }

  finish(): void {
    this.#findings.leave(
      'batches',
      this.#forgotten,
      'their messages are older than the ledger goes back (retention.ledger): it may have forgotten some of their entries',
    );
    this.#findings.leave(
      'batches',
      this.#unnoted,
      'they were loaded before purges of the quarantine were noted (migration 0006): some of their entries may have been purged',
    );
  }

  #missing({ batch_id, entered, set_aside, kept, replayed }: BatchFacts): void {
    const found = { ledger: entered + set_aside, quarantine: kept, replayed };
    const what =
      `batch ${batch_id} is not on record, and the ledger has ${found.ledger} entries of it, the quarantine ${kept}, ` +
      `replayed in it ${replayed}`;
    this.#findings.add({ kind: 'batch_missing', batch_id, found, what });
  }

  #judgeLedger({ batch_id, is_replay, is_remembered, ...batch }: BatchFacts): void {
    if (batch.misnamed > 0) {
      const what = `the ledger has ${batch.misnamed} entries of batch ${batch_id} whose key is not that of their record`;
      this.#findings.add({
        kind: 'ledger_entry_altered',
        batch_id,
        expected: 0,
        found: batch.misnamed,
        what,
      });
    }
    // A replay doesn't ask the ledger: it has known the records from the day they were quarantined.
    const expected = { loaded: is_replay ? 0 : batch.loaded, quarantined: is_replay ? 0 : batch.quarantined };
    const found = { loaded: batch.entered, quarantined: batch.set_aside };
    if (found.loaded === expected.loaded && found.quarantined === expected.quarantined) return;
    const isLess = found.loaded <= expected.loaded && found.quarantined <= expected.quarantined;
    if (isLess && !is_remembered) {
      this.#forgotten += 1;
      return;
    }
    this.#doubt(batch_id, found.quarantined !== expected.quarantined);
    const what =
      `batch ${batch_id} loaded ${expected.loaded} and quarantined ${expected.quarantined} records that the ledger must ` +
      `have; it has ${found.loaded} and ${found.quarantined}`;
    this.#findings.add({ kind: 'ledger_differs', batch_id, expected, found, what });
  }

  #judgeQuarantine({ batch_id, is_replay, is_noted, quarantined, kept }: BatchFacts): void {
    // What a replay counts as quarantined stays where it was, in the name of the batch that it came with.
    const expected = is_replay ? 0 : quarantined;
    if (kept === expected) return;
    if (kept < expected && !is_noted) {
      this.#unnoted += 1;
      return;
    }
    this.#doubt(batch_id, true);
    const what = `batch ${batch_id} quarantined ${expected} records; of ${kept} there is an entry, or a note that it was purged`;
    this.#findings.add({ kind: 'quarantine_differs', batch_id, expected, found: kept, what });
  }

  #judgeReplay({ batch_id, is_replay, is_noted, loaded, replayed }: BatchFacts): void {
    const expected = is_replay ? loaded : 0;
    if (replayed === expected || (replayed < expected && !is_noted)) return;
    const what = `batch ${batch_id} loaded ${expected} replayed records; the entries that were replayed in it were ${replayed}`;
    this.#findings.add({ kind: 'replay_differs', batch_id, expected, found: replayed, what });
  }

  #doubt(batchId: string, isSo: boolean): void {
    if (isSo && this.#doubtful.size < MAX_DOUBTFUL) this.#doubtful.add(batchId);
  }
}
