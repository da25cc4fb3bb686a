import type { ClientBase } from 'pg';
import type { PostgresPool } from './connection.js';

/** One record to be settled. */
export interface LedgerEntry {
  readonly id: string;
  /** SQS's SentTimestamp, in epoch ms. */
  readonly sentAt: number;
  readonly outcome: 'loaded' | 'quarantined';
}

/** Whose entries they are. */
export interface LedgerOwner {
  readonly pipeline: string;
  readonly batchId: string;
}

/** What tells one record from another, within a pipeline. */
export function ledgerKey(record: { readonly id: string; readonly sentAt: number }): string {
  return `${record.sentAt} ${record.id}`;
}

// Sorted, or two loaders with records in common deadlock.
const INSERT = `
  insert into maskline.ledger (pipeline, sent_at, key, record_id, batch_id, outcome)
  select $1, t.sent_at, convert_to(t.record_id, 'UTF8'), t.record_id, $2, t.outcome
    from unnest($3::timestamptz[], $4::text[], $5::text[]) as t (sent_at, record_id, outcome)
   order by t.sent_at, convert_to(t.record_id, 'UTF8')
  on conflict do nothing`;

// One look into an index for each record, whatever the planner thinks of partitions that nobody has analyzed: as a plain
// join it may read all of the ledger. The range leaves out the partitions of other days before anything is planned.
const KNOWN = `
  select t.entry::int as entry
    from unnest($3::timestamptz[], $4::text[]) with ordinality as t (sent_at, record_id, entry),
         lateral (
           select from maskline.ledger l
            where l.sent_at between $5 and $6
              and l.pipeline = $1 and l.sent_at = t.sent_at and l.key = convert_to(t.record_id, 'UTF8')
              and l.batch_id <> $2
            limit 1) as known`;

/** What entering records into the ledger came to. */
export type Entered =
  /** Indexes of the entries that were there before, from other batches. */
  | { readonly kind: 'entered'; readonly known: ReadonlySet<number> }
  /** Some are there from this very batch: another loader has committed it. */
  | { readonly kind: 'same_batch' };

/** Enters the records, which are distinct, within the caller's transaction. Waits for loaders with the same records. */
export async function enterLedger(
  client: ClientBase,
  owner: LedgerOwner,
  entries: readonly LedgerEntry[],
): Promise<Entered> {
  const times = entries.map((entry) => isoTime(entry.sentAt));
  const ids = entries.map((entry) => entry.id);
  const outcomes = entries.map((entry) => entry.outcome);
  const { rowCount } = await client.query(INSERT, [owner.pipeline, owner.batchId, times, ids, outcomes]);
  if (rowCount === entries.length) return { kind: 'entered', known: new Set() };
  const known = await knownRecords(client, owner, entries);
  if (known.size + (rowCount ?? 0) !== entries.length) return { kind: 'same_batch' };
  return { kind: 'entered', known };
}

/** Indexes of the records, which are distinct, that other batches have settled. */
export async function knownRecords(
  client: ClientBase,
  owner: LedgerOwner,
  records: readonly Pick<LedgerEntry, 'id' | 'sentAt'>[],
): Promise<ReadonlySet<number>> {
  if (records.length === 0) return new Set();
  const times = records.map(({ sentAt }) => sentAt);
  const { rows } = await client.query<{ entry: number }>(KNOWN, [
    owner.pipeline,
    owner.batchId,
    times.map(isoTime),
    records.map(({ id }) => id),
    isoTime(times.reduce((a, b) => Math.min(a, b))),
    isoTime(times.reduce((a, b) => Math.max(a, b))),
  ]);
  return new Set(rows.map((row) => row.entry - 1));
}

/** Epoch ms in a spelling that Postgres reads exactly. */
export function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

/** SQS holds a message for 14 days at most; one more for clocks that differ. */
const DAYS_BACK = 15;
const DAY_MS = 86_400_000;
/** So many days may nobody call before new records go to the default partition, which works, but is never dropped. */
const DAYS_AHEAD = 7;

/**
 * Makes the ledger's daily partitions from 15 days back (less when its retention is shorter: older ones are pruned) to
 * 7 ahead, where missing; to be called once a day. Safe in parallel; needs the right to execute
 * `maskline.ensure_ledger_partitions`. Returns how many it made.
 */
export async function ensureLedgerPartitions(
  pool: Pick<PostgresPool, 'query'>,
  retentionMs = Infinity,
): Promise<number> {
  const daysBack = Math.min(DAYS_BACK, Math.ceil(retentionMs / DAY_MS));
  const { rows } = await pool.query<{ made: number }>(
    `select maskline.ensure_ledger_partitions(d - ${daysBack}, d + ${DAYS_AHEAD}) as made
       from (select (now() at time zone 'UTC')::date as d) as today`,
  );
  return rows[0]?.made ?? 0;
}
