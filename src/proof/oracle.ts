// Judges what became of the messages, by what was sent, what SQS still has and what the tables hold: it believes
// nothing that the code under test says of itself, and recomputes tokens by other means.

import type { PostgresPool } from '../load/connection.js';
import type { LivesFacts, Sent } from './arena.js';
import type { Found } from './leak-scan.js';
import { indexOfEvent, messageOf } from './messages.js';
import { sivToken } from './token-oracle.js';

/** What was found at the end. Everything but `facts` should be zero, or empty. */
export interface Findings {
  /** Messages that are nowhere. */
  readonly lost: number;
  /** Rows and entries beyond the first of a message. */
  readonly twice: number;
  /** Valid messages in quarantine, invalid ones in the target. */
  readonly misplaced: number;
  /** Rows and entries that belong to no message of this run. */
  readonly strays: number;
  /** Rows whose tokens or ids are not those of their message. */
  readonly wrong: number;
  readonly leaks: readonly Found[];
  /** What else is not as it must be, a sentence each. */
  readonly problems: readonly string[];
  readonly facts: Readonly<{ [name: string]: number }>;
}

/** Rows fetched at once. */
const FETCHED = 10_000;
/** Tokens of so many rows, evenly spread, are recomputed. */
const RECOMPUTED = 20_000;

/** Counts of what became of each message, by index. */
export class Outcomes {
  readonly target: Uint8Array;
  readonly quarantine: Uint8Array;
  strays = 0;
  wrong = 0;
  recomputed = 0;
  readonly #sent: Sent;
  readonly #isValid: (index: number) => boolean;

  constructor(sent: Sent) {
    this.#sent = sent;
    this.target = new Uint8Array(sent.ids.length);
    this.quarantine = new Uint8Array(sent.ids.length);
    this.#isValid = (index) => messageOf(sent.seed, sent.marks, index).isValid;
  }

  /** Totals, once all rows and entries have been counted. */
  sum(): Pick<Findings, 'lost' | 'twice' | 'misplaced' | 'strays' | 'wrong'> {
    const totals = { lost: 0, twice: 0, misplaced: 0, strays: this.strays, wrong: this.wrong };
    for (let index = 0; index < this.#sent.ids.length; index += 1) {
      const rows = this.target[index] ?? 0;
      const entries = this.quarantine[index] ?? 0;
      if (rows + entries === 0) totals.lost += 1;
      totals.twice += Math.max(0, rows + entries - 1);
      if ((this.#isValid(index) ? entries : rows) > 0) totals.misplaced += 1;
    }
    return totals;
  }

  /** One more of this message; a count beyond 255 is twice enough. */
  count(counts: Uint8Array, index: number | null | undefined): void {
    if (index === null || index === undefined || index >= counts.length) this.strays += 1;
    else counts[index] = Math.min(255, (counts[index] ?? 0) + 1);
  }
}

/** Reads the target of a run on the embedded stack, row by row. */
export async function readTarget(
  pool: PostgresPool,
  table: string,
  sent: Sent,
  masters: ReadonlyMap<number, Buffer>,
  outcomes: Outcomes,
): Promise<void> {
  const step = Math.max(1, Math.floor(sent.ids.length / RECOMPUTED));
  const sql = `select event_id, message_id, masked_ip, masked_device, n from ${table}`;
  await eachRow(pool, sql, (row) => {
    const index = indexOfEvent(sent.marks, String(row['event_id']));
    outcomes.count(outcomes.target, index);
    if (index === null || index >= sent.ids.length) return;
    if (row['message_id'] !== sent.ids[index] || row['n'] !== index) outcomes.wrong += 1;
    if (index % step !== 0) return;
    outcomes.recomputed += 1;
    if (!hasRightTokens(row, sent, index, masters)) outcomes.wrong += 1;
  });
}

/** Reads the quarantine: its entries are known by the ids of their messages. */
export async function readQuarantine(
  pool: PostgresPool,
  pipeline: string,
  sent: Sent,
  outcomes: Outcomes,
): Promise<void> {
  const indexes = new Map(sent.ids.map((id, index) => [id, index]));
  const sql = `select message_id from maskline.quarantine where pipeline = '${pipeline}'`;
  await eachRow(pool, sql, ({ message_id }) => {
    outcomes.count(outcomes.quarantine, indexes.get(String(message_id)));
  });
}

/** A row, by column. */
interface Columns {
  readonly [column: string]: unknown;
}

function hasRightTokens(
  row: Columns,
  { seed, marks }: Sent,
  index: number,
  masters: ReadonlyMap<number, Buffer>,
): boolean {
  const { device, address } = messageOf(seed, marks, index);
  const kid = Number(/^s(\d+)\./.exec(String(row['masked_ip']))?.[1]);
  const master = masters.get(kid);
  if (master === undefined) return false;
  return (
    row['masked_ip'] === sivToken(master, kid, 'ip', address) &&
    row['masked_device'] === sivToken(master, kid, 'device', Buffer.from(device))
  );
}

/** The runs of a pipeline since a time: each adds up, agrees with its batches, and has come to an end if it could. */
export async function judgeRuns(
  pool: PostgresPool,
  pipeline: string,
  { killedPids, startedAt }: LivesFacts,
): Promise<Pick<Findings, 'problems' | 'facts'>> {
  const { rows } = await pool.query<RunRow>(RUNS, [pipeline, new Date(startedAt)]);
  const wrong = { adding: 0, batches: 0, open: 0 };
  const facts = {
    runs: rows.length,
    runs_abandoned: 0,
    runs_cut_off: 0,
    duplicates: 0,
    released: 0,
    batches: 0,
  };
  for (const run of rows) {
    facts.duplicates += run.batch_duplicates;
    facts.released += run.batch_released;
    facts.batches += run.batches;
    if (run.state === 'abandoned') facts.runs_abandoned += 1;
    if (run.state === 'running') {
      // Its process was killed, and it is closed by the next run that finds it silent for long enough.
      if (killedPids.has(Number(run.owner?.split(':').at(-1)))) facts.runs_cut_off += 1;
      else wrong.open += 1;
    }
    if (run.state === 'abandoned' || run.state === 'running') continue;
    if (run.received !== run.loaded + run.duplicates + run.quarantined + run.released) wrong.adding += 1;
    if (run.received !== run.batch_received || run.loaded !== run.batch_loaded) wrong.batches += 1;
  }
  const problems = [
    wrong.adding > 0 && `${wrong.adding} runs do not add up`,
    wrong.batches > 0 && `${wrong.batches} runs report other numbers than their batches have`,
    wrong.open > 0 && `${wrong.open} runs are still open though their processes stopped in order`,
  ].filter((problem) => problem !== false);
  return { problems, facts };
}

/** The ledger has each record once by its key; that it has no other than those sent is for the caller to compare. */
export async function ledgerCounts(
  pool: PostgresPool,
  pipeline: string,
): Promise<{ readonly loaded: number; readonly quarantined: number }> {
  const { rows } = await pool.query<{ outcome: string; n: number }>(
    'select outcome, count(*)::int as n from maskline.ledger where pipeline = $1 group by 1',
    [pipeline],
  );
  const of = (outcome: string): number => rows.find((row) => row.outcome === outcome)?.n ?? 0;
  return { loaded: of('loaded'), quarantined: of('quarantined') };
}

/** Calls back for each row of a query, however many there are. */
export async function eachRow(pool: PostgresPool, sql: string, onRow: (row: Columns) => void): Promise<void> {
  await pool.transaction(async (client) => {
    // Between two portions tokens are recomputed, for longer than a session of the product may be idle.
    await client.query('set local idle_in_transaction_session_timeout = 0');
    await client.query(`declare rows no scroll cursor for ${sql}`);
    for (;;) {
      const { rows } = await client.query<Columns>(`fetch ${FETCHED} from rows`);
      if (rows.length === 0) return;
      for (const row of rows) onRow(row);
    }
  });
}

interface RunRow {
  readonly state: string;
  readonly owner: string | null;
  readonly received: number;
  readonly loaded: number;
  readonly duplicates: number;
  readonly quarantined: number;
  readonly released: number;
  readonly batches: number;
  readonly batch_received: number;
  readonly batch_loaded: number;
  readonly batch_duplicates: number;
  readonly batch_released: number;
}

const RUNS = `
  select r.state, r.owner, r.received::int, r.loaded::int, r.duplicates::int, r.quarantined::int, r.released::int,
         count(l.batch_id)::int as batches,
         coalesce(sum(l.received), 0)::int as batch_received, coalesce(sum(l.loaded), 0)::int as batch_loaded,
         coalesce(sum(l.duplicates), 0)::int as batch_duplicates, coalesce(sum(l.released), 0)::int as batch_released
    from maskline.runs r left join maskline.loads l using (run_id)
   where r.pipeline = $1 and r.started_at >= $2
   group by r.run_id`;
