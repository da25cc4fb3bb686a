import type { ClientBase, QueryResultRow } from 'pg';
import type { PostgresPool } from './connection.js';
import { PipelineError } from '../errors.js';

/** Sorts and hashes of that size stay in memory; larger ones go to temporary files. */
const WORK_MEM = '64MB';
const FETCHED = 2_000;

/**
 * Lends a connection at one moment of the database: what is committed later is not seen, and nothing can be written.
 * The ledger's partitions stay as they are until `work` ends. Throws `postgres_unavailable`, `permission_denied`.
 */
export async function atOneMoment<T>(
  pool: PostgresPool,
  work: (client: ClientBase) => Promise<T>,
): Promise<T> {
  return pool.withClient(async (client) => {
    await client.query(
      `begin isolation level repeatable read, read only;
       set local work_mem = '${WORK_MEM}'; set local jit = off; set local cursor_tuple_fraction = 1;
       lock table maskline.ledger in access share mode`,
    );
    const result = await work(client);
    const { command } = await client.query('commit');
    if (command !== 'COMMIT') throw new PipelineError('unexpected', `COMMIT was answered by ${command}`);
    return result;
  });
}

/** The rows of a query, however many there are; one query at a time. */
export async function* eachRow<R extends QueryResultRow>(
  client: ClientBase,
  sql: string,
  values: readonly unknown[],
): AsyncGenerator<R> {
  await client.query(`declare found no scroll cursor for ${sql}`, [...values]);
  for (;;) {
    const { rows } = await client.query<R>(`fetch ${FETCHED} from found`);
    yield* rows;
    if (rows.length < FETCHED) break;
  }
  await client.query('close found');
}

/** How far back can be looked; times as Postgres has them, to the microsecond. */
export interface ProofWindow {
  /** Runs and batches that began since are looked at. */
  readonly from: string;
  /** The least id of such a run or batch. */
  readonly firstId: string;
  /** All entries of the ledger sent since must be there. */
  readonly ledgerFrom: string;
  /** What was purged from the quarantine since was noted. */
  readonly purgesFrom: string;
  readonly to: string;
}

const WINDOW = `
  with bounds as (
    select now() as now,
           greatest(now() - $1 * interval '1 ms', (select at from maskline.horizons where what = 'ledger')) as ledger_from,
           greatest(now() - $2 * interval '1 ms', (select at from maskline.horizons where what = 'loads')) as loads_from,
           (select at from maskline.horizons where what = 'purges') as purges_from),
  begun as (
    select bounds.*, greatest(coalesce($3::timestamptz, ledger_from), loads_from) as since from bounds)
  select since::text as "from", maskline.first_id_at(since)::text as "firstId", ledger_from::text as "ledgerFrom",
         coalesce(purges_from, now)::text as "purgesFrom", now::text as "to"
    from begun`;

/**
 * The window that begins at `since` (ISO 8601), or where the ledger begins when that is null; never before the batches
 * on record do. Where something was pruned that the retention of today would keep, that counts.
 */
export async function readWindow(
  client: ClientBase,
  since: string | null,
  retention: { readonly ledgerMs: number; readonly runsMs: number },
): Promise<ProofWindow> {
  const { rows } = await client.query<ProofWindow>(WINDOW, [retention.ledgerMs, retention.runsMs, since]);
  const [window] = rows;
  if (!window) throw new PipelineError('unexpected', 'Postgres gave no answer to what time it is');
  return window;
}
