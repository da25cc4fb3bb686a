// Waits for what a run is to get done, and looks whether it did.

import { systemClock } from '../../clock.js';
import type { PostgresPool } from '../../load/connection.js';
import { listRuns } from '../../load/runs.js';
import { createSqsClient } from '../../source/sqs.js';
import type { RoleProcess } from './cli-process.js';
import type { Stack } from './stack.js';

/** One query on a table of a row or two: often enough to end in time, seldom enough not to show in Postgres's CPU. */
const POLL_MS = 50;
/** A run that is slower than this by the message, after a minute's grace, is stuck. */
const SLOWEST_PER_SECOND = 200;
const GRACE_MS = 60_000;

/** Asks `isDone` until it says so. Throws when a process fails, when it takes far too long, and when `signal` aborts. */
export async function until(
  isDone: () => Promise<boolean>,
  at: {
    readonly messages: number;
    readonly processes: readonly RoleProcess[];
    readonly signal: AbortSignal;
    readonly pollMs?: number;
  },
): Promise<void> {
  const limitMs = GRACE_MS + (at.messages / SLOWEST_PER_SECOND) * 1_000;
  const giveUpAt = systemClock.now() + limitMs;
  const over = new AbortController();
  const ends = AbortSignal.any([at.signal, over.signal]);
  const ask = async (): Promise<void> => {
    while (!(await isDone())) {
      if (at.signal.aborted) throw new Error('interrupted');
      if (systemClock.now() > giveUpAt) throw new Error(`not done after ${Math.round(limitMs / 1_000)} s`);
      await systemClock.sleep(at.pollMs ?? POLL_MS, ends);
      if (over.signal.aborted) return;
    }
  };
  try {
    await Promise.race([ask(), ...at.processes.map((process) => process.failed)]);
  } finally {
    over.abort();
  }
}

/** How many messages runs have received, and whether all runs have ended: a run ends when it has deleted what it loaded. */
export async function received(
  pool: PostgresPool,
): Promise<{ readonly messages: number; readonly isIdle: boolean }> {
  const runs = await listRuns(pool, { limit: 100 });
  return {
    messages: runs.reduce((sum, run) => sum + run.received, 0),
    isIdle: runs.every((run) => run.state !== 'running'),
  };
}

/** What became of the messages that were sent. */
export interface Outcome {
  readonly sent: number;
  readonly rows: number;
  readonly ledgerEntries: number;
  readonly loaded: number;
  /** Duplicates, quarantined and released records: none are expected. */
  readonly notLoaded: number;
  readonly leftInQueue: number;
}

/** Why a run has no figures, or null: each message must be one row, known to the ledger and deleted from SQS. */
export function problemOf(outcome: Outcome): string | null {
  const { sent, rows, ledgerEntries, loaded, notLoaded, leftInQueue } = outcome;
  const isAsSent = rows === sent && ledgerEntries === sent && loaded === sent;
  if (isAsSent && notLoaded === 0 && leftInQueue === 0) return null;
  return (
    `${sent} messages were sent, and there are ${rows} rows, ${ledgerEntries} ledger entries, ${loaded} loaded, ` +
    `${notLoaded} duplicate, quarantined or released, and ${leftInQueue} left in the queue`
  );
}

/** Throws unless table, ledger, report and queue agree with what was sent: otherwise there are no figures. */
export async function checkOutcome({ sqs, queueUrl, pipeline }: Stack, pool: PostgresPool): Promise<void> {
  const { schema, table } = pipeline.target;
  const { rows } = await pool.query<Omit<Outcome, 'sent' | 'leftInQueue'>>(
    `select (select count(*)::float8 from ${schema}.${table}) as rows,
            (select count(distinct record_id)::float8 from maskline.ledger where outcome = 'loaded') as "ledgerEntries",
            coalesce(sum(loaded), 0)::float8 as loaded,
            coalesce(sum(duplicates + quarantined + released), 0)::float8 as "notLoaded"
       from maskline.runs`,
  );
  const client = createSqsClient({ ...pipeline.source.sqs.queues[0], queue: queueUrl });
  const queue = await client.attributes().finally(() => client.close());
  const [counts] = rows;
  if (counts === undefined || queue === null) throw new Error('the table or the queue is gone');
  const problem = problemOf({ ...counts, sent: sqs.messages, leftInQueue: queue.visible + queue.inFlight });
  if (problem !== null) throw new Error(problem);
}

/** From the first receive to the last commit, in ms, as maskline itself has written them down. */
export async function wallMs(pool: PostgresPool): Promise<number> {
  const { rows } = await pool.query<{ ms: number | null }>(
    `select extract(epoch from max(loaded_at) - min(received_at))::float8 * 1000 as ms
       from maskline.loads where state = 'committed'`,
  );
  const ms = rows[0]?.ms ?? null;
  if (ms === null) throw new Error('no batch was committed');
  return ms;
}
