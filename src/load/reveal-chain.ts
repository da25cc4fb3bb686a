// The audit chain of `maskline.reveals`, recomputed here: what the database's own function says of it proves nothing.

import { createHash } from 'node:crypto';
import type { PostgresPool } from './connection.js';

/** The end of the chain: keep it where nobody can change it. `hash` is in hex. */
export interface ChainHead {
  /** How many rows there are; 0: none yet. */
  readonly seq: number;
  /** ISO 8601 in UTC; null without a row. */
  readonly at: string | null;
  readonly hash: string;
}

/** Where the chain is broken. `seq` is that of the row at which it shows; null: at the end. */
export interface ChainProblem {
  readonly seq: number | null;
  /**
   * `edited`: the row is not what was hashed; `removed`: rows before it are missing; `unlinked`: it does not follow the
   * row before it, so rows were put in, taken out or reordered; `head_missing`: the row of the given head is gone.
   */
  readonly problem: 'edited' | 'removed' | 'unlinked' | 'head_missing';
}

/** What a walk along the chain came to. */
export interface ChainReport {
  readonly rows: number;
  readonly head: ChainHead;
  /** The first of them at most `MAX_PROBLEMS`; `problemCount` counts all. */
  readonly problems: readonly ChainProblem[];
  readonly problemCount: number;
}

interface ChainRow {
  readonly seq: string;
  readonly micros: string;
  readonly action: string;
  readonly database_user: string;
  readonly os_user: string;
  readonly purpose: string;
  readonly ticket: string | null;
  readonly request: string | null;
  readonly token: string | null;
  readonly outcome: string;
  readonly details: string | null;
  readonly previous: Buffer;
  readonly hash: Buffer;
}

type Queries = Pick<PostgresPool, 'query'>;

/** What the first row follows. */
const GENESIS: Buffer = createHash('sha256').update('maskline/reveals/1').digest();
/** Rows read at once. */
const PAGE_ROWS = 2_000;
/** Each says the same: look at it. */
const MAX_PROBLEMS = 100;
/** The length of a null, which no text has. */
const NULL_LENGTH = Buffer.from('ffffffff', 'hex');

/** By the number, not by the text of that name. */
const PAGE = `
  select seq::text, (extract(epoch from at) * 1000000)::bigint::text as micros, action, database_user, os_user, purpose,
         ticket, request::text, token, outcome, details, previous, hash
    from maskline.reveals as r where r.seq > $1::bigint order by r.seq limit ${PAGE_ROWS}`;

/** The end of the chain. Throws `postgres_unavailable`, `permission_denied`. */
export async function chainHead(pool: Queries): Promise<ChainHead> {
  const { rows } = await pool.query<ChainRow>(
    `select seq::text, (extract(epoch from at) * 1000000)::bigint::text as micros, hash
       from maskline.reveals as r order by r.seq desc limit 1`,
  );
  return headOf(rows[0]);
}

/**
 * Walks the chain from its first row to its last. A head from earlier, in hex, shows whether rows were cut off at the
 * end since, or the whole was written anew. Throws `postgres_unavailable`, `permission_denied`.
 */
export async function verifyChain(pool: Queries, earlierHead: string | null): Promise<ChainReport> {
  const problems: ChainProblem[] = [];
  let problemCount = 0;
  const note = (seq: number | null, problem: ChainProblem['problem']): void => {
    problemCount += 1;
    if (problems.length < MAX_PROBLEMS) problems.push({ seq, problem });
  };
  let rows = 0;
  let last: ChainRow | undefined;
  let hasHead = earlierHead === null || earlierHead === GENESIS.toString('hex');
  for await (const row of chainRows(pool)) {
    rows += 1;
    const seq = Number(row.seq);
    const expected = hashOf(row);
    if (!expected.equals(row.hash)) note(seq, 'edited');
    if (seq !== Number(last?.seq ?? 0) + 1) note(seq, 'removed');
    else if (!row.previous.equals(last?.hash ?? GENESIS)) note(seq, 'unlinked');
    if (expected.toString('hex') === earlierHead) hasHead = true;
    last = row;
  }
  if (!hasHead) note(null, 'head_missing');
  return { rows, head: headOf(last), problems, problemCount };
}

async function* chainRows(pool: Queries): AsyncGenerator<ChainRow> {
  let after = '0';
  for (;;) {
    const { rows } = await pool.query<ChainRow>(PAGE, [after]);
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ROWS) return;
    after = last.seq;
  }
}

function headOf(row: Pick<ChainRow, 'seq' | 'micros' | 'hash'> | undefined): ChainHead {
  if (!row) return { seq: 0, at: null, hash: GENESIS.toString('hex') };
  const at = new Date(Math.floor(Number(row.micros) / 1_000)).toISOString();
  return { seq: Number(row.seq), at, hash: row.hash.toString('hex') };
}

/** SHA-256 of the previous hash and of each field behind its length: 4 bytes, big-endian, in bytes of UTF-8. */
function hashOf(row: ChainRow): Buffer {
  const hash = createHash('sha256').update(row.previous);
  const fields = [
    ...[row.seq, row.micros, row.action, row.database_user, row.os_user, row.purpose],
    ...[row.ticket, row.request, row.token, row.outcome, row.details],
  ];
  for (const field of fields) hash.update(framed(field));
  return hash.digest();
}

function framed(field: string | null): Buffer {
  if (field === null) return NULL_LENGTH;
  const text = Buffer.from(field, 'utf8');
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, text]);
}
