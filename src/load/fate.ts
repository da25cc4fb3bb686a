import { type ClientBase, escapeLiteral } from 'pg';
import type { Counts, Fate, MaskedBatch } from '../batch.js';
import { idTime } from '../clock.js';
import { PipelineError } from '../errors.js';
import type { PostgresPool } from './connection.js';
import { isoTime } from './ledger.js';
import type { HeldBatch } from './sink.js';

/**
 * Begins a transaction whose COMMIT is durable and whose constraints are checked at each statement, and says whether
 * the batch has a fate already: one round trip.
 */
export async function beginUndecided(client: ClientBase, batchId: string): Promise<boolean> {
  const answers: unknown = await client.query(
    'begin; set local synchronous_commit = on; set constraints all immediate; ' +
      `select 1 from maskline.loads where batch_id = ${escapeLiteral(batchId)}`,
  );
  const last: unknown = Array.isArray(answers) ? answers.at(-1) : answers;
  const isResult = typeof last === 'object' && last !== null && 'rowCount' in last;
  if (!isResult)
    throw new PipelineError('unexpected', 'the Postgres client gave no result for the fate of a batch');
  return last.rowCount === 0;
}

/** For how long what decides about repeats is kept, in ms. */
export interface Memory {
  readonly ledgerMs: number;
  readonly runsMs: number;
}

/** A batch is refused so long before its records could be forgotten: clocks differ, and a commit takes a while. */
const FORGETTING_MARGIN_MS = 12 * 3_600_000;

/**
 * Throws `expired` for a batch that has waited so long that its fate, or its records' entries in the ledger, may have
 * been pruned: whether it was loaded before can't be told any more. What came in time can't be so old, since the
 * start compares the ledger's retention with the queue's.
 */
export function refuseExpired(batch: MaskedBatch, now: number, memory: Memory): void {
  const sentAt = oldestSentAt(batch) ?? now;
  const formedAt = idTime(batch.batchId) ?? now;
  const isForgotten =
    now - sentAt > memory.ledgerMs - FORGETTING_MARGIN_MS ||
    now - formedAt > memory.runsMs - FORGETTING_MARGIN_MS;
  if (!isForgotten) return;
  throw new PipelineError(
    'expired',
    `batch ${batch.batchId} was formed at ${isoTime(formedAt)}, of messages sent from ${isoTime(sentAt)} on: too long ` +
      'ago to tell whether it was loaded before (retention.ledger, retention.runs)',
  );
}

/** When the oldest message of the batch's records was sent; null for a batch of none. */
export function oldestSentAt(batch: Pick<MaskedBatch, 'keys' | 'rejections'>): number | null {
  let oldest = Infinity;
  for (const { sentAt } of batch.keys) oldest = Math.min(oldest, sentAt);
  for (const { sentAt } of batch.rejections) oldest = Math.min(oldest, sentAt);
  return Number.isFinite(oldest) ? oldest : null;
}

const DECIDE = `
  insert into maskline.loads
    (batch_id, run_id, pipeline, state, held, received, loaded, duplicates, quarantined, released, bytes,
     received_at, loaded_at, policy_sha256, kids, oldest_sent_at, further_rows)
  values ($1, $2, $3, 'committed', $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp(), $12, $13, $14, $15)
  on conflict (batch_id) do nothing`;

/** What a fate's row says of its batch; the policy is null where a batch holds rows of which it is not known. */
export type DecidedBatch = Pick<
  MaskedBatch,
  'batchId' | 'runId' | 'pipeline' | 'receivedAt' | 'kids' | 'keys' | 'rejections'
> & { readonly policySha256: string | null };

/**
 * Gives the batch the fate `committed`, in the caller's transaction; false when somebody else has decided meanwhile,
 * and the transaction must be rolled back. It comes last, so that a loader that froze before does not keep an
 * ingester from letting the batch go.
 */
export async function decideCommitted(
  client: ClientBase,
  batch: DecidedBatch,
  counts: Counts & {
    readonly bytes: number;
    readonly held: readonly number[];
    /** Rows by further table, if there are any. */
    readonly furtherRows?: { readonly [table: string]: number } | null;
  },
): Promise<boolean> {
  const oldest = oldestSentAt(batch);
  const { rowCount } = await client.query(DECIDE, [
    batch.batchId,
    batch.runId,
    batch.pipeline,
    counts.held,
    counts.received,
    counts.loaded,
    counts.duplicates,
    counts.quarantined,
    counts.released,
    counts.bytes,
    isoTime(batch.receivedAt),
    batch.policySha256,
    batch.kids,
    oldest === null ? null : isoTime(oldest),
    counts.furtherRows ?? null,
  ]);
  return rowCount === 1;
}

interface FateRow {
  readonly batch_id: string;
  readonly state: 'committed' | 'released';
  readonly held: readonly number[];
  readonly received: number;
  readonly loaded: number;
  readonly duplicates: number;
  readonly quarantined: number;
  readonly released: number;
}

const FATES = `
  select batch_id, state, held, received, loaded, duplicates, quarantined, released
    from maskline.loads where batch_id = any($1::uuid[])`;

/** Those of the batches that have a fate. */
export async function readFates(
  pool: Pick<PostgresPool, 'query'>,
  batchIds: readonly string[],
): Promise<readonly Fate[]> {
  if (batchIds.length === 0) return [];
  const { rows } = await pool.query<FateRow>(FATES, [batchIds]);
  return rows.map(({ batch_id: batchId, ...rest }) => ({ batchId, ...rest }));
}

/** Longer than a frozen loader may keep a transaction open, so that waiting for it ends with its fate. */
const RELEASE_LOCK_TIMEOUT_MS = 15_000;

const RELEASE = `
  insert into maskline.loads (batch_id, run_id, pipeline, state, received, released, received_at)
  select t.batch_id, t.run_id, t.pipeline, 'released', t.records, t.records, t.received_at
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::timestamptz[])
      as t (batch_id, run_id, pipeline, records, received_at)
   order by t.batch_id
  on conflict (batch_id) do nothing`;

/** Gives the batches that have no fate the fate `released`, durably, and returns the fate of each. */
export async function releaseUndecided(
  pool: PostgresPool,
  batches: readonly HeldBatch[],
): Promise<readonly Fate[]> {
  if (batches.length === 0) return [];
  await pool.transaction(async (client) => {
    await client.query(`set local lock_timeout = ${RELEASE_LOCK_TIMEOUT_MS}`);
    await client.query(RELEASE, [
      batches.map((batch) => batch.batchId),
      batches.map((batch) => batch.runId),
      batches.map((batch) => batch.pipeline),
      batches.map((batch) => batch.records),
      batches.map((batch) => isoTime(batch.receivedAt)),
    ]);
  });
  // A statement of its own: the insert's snapshot does not show a fate that it had to wait for.
  return readFates(
    pool,
    batches.map((batch) => batch.batchId),
  );
}
