import { isUtf8 } from 'node:buffer';
import type { ClientBase } from 'pg';
import { lineAt, lineEnds } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { copyRows } from './copy.js';
import { type LedgerEntry, type LedgerOwner, isoTime } from './ledger.js';
import type { Upsert } from './upsert.js';

/** Why the table refused a record. */
export interface Refusal {
  readonly sqlstate: string;
  readonly column: string | null;
}

/** What loading one by one came to; indexes are those of the entries. */
export interface Isolated {
  readonly known: ReadonlySet<number>;
  readonly refused: ReadonlyMap<number, Refusal>;
}

/** A record, and its line in the batch's rows; null for one that was rejected before. */
export interface LinedEntry extends LedgerEntry {
  readonly line: number | null;
}

interface IsolatedTarget {
  /** As SQL has it. */
  readonly table: string;
  readonly columns: readonly string[];
  readonly upsert: Upsert | null;
}

interface OneOutcome {
  readonly entry: number;
  readonly outcome: 'loaded' | 'quarantined' | 'known' | 'refused' | 'dropped';
  readonly refused_state: string | null;
  readonly refused_column: string | null;
}

const LOAD = `
  select entry, outcome, refused_state, refused_column
    from maskline.load_one_by_one($1::regclass, $2::text[], $3, $4::uuid, $5::int[], $6::timestamptz[], $7::text[])`;

const UPSERT = `
  select entry, outcome, refused_state, refused_column
    from maskline.upsert_one_by_one(
      $1::regclass, $2::text[], $3, $4::uuid, $5::int[], $6::timestamptz[], $7::text[], $8::text[], $9)`;

/**
 * Loads each record by a subtransaction of its own, ledger entry and row together, within the caller's transaction:
 * one COPY into a temporary table of text, and one call. Throws `row_count_differs` when the table drops a row
 * without an error, `payload_corrupt` when the lines are not COPY text of these columns.
 */
export async function loadOneByOne(
  client: ClientBase,
  target: IsolatedTarget,
  owner: LedgerOwner,
  entries: readonly LinedEntry[],
  rows: Buffer,
): Promise<Isolated> {
  const lines = lineEnds(rows).length;
  checkLines(rows, target.columns.length);
  await stage(client, target.columns.length, rows, lines);
  const { upsert } = target;
  const { rows: outcomes } = await client.query<OneOutcome>(upsert ? UPSERT : LOAD, [
    target.table,
    target.columns,
    owner.pipeline,
    owner.batchId,
    entries.map((entry) => (entry.line === null ? null : entry.line + 1)),
    entries.map((entry) => isoTime(entry.sentAt)),
    entries.map((entry) => entry.id),
    ...(upsert ? [upsert.keys, upsert.newestBy] : []),
  ]);
  const dropped = outcomes.filter((one) => one.outcome === 'dropped').length;
  if (dropped > 0) {
    throw new PipelineError(
      'row_count_differs',
      `table ${target.table} took ${dropped} rows of batch ${owner.batchId} and kept none of them: a trigger drops rows`,
    );
  }
  const refused = outcomes.filter((one) => one.outcome === 'refused');
  return {
    known: new Set(outcomes.filter((one) => one.outcome === 'known').map((one) => one.entry - 1)),
    refused: new Map(
      refused.map((one) => [
        one.entry - 1,
        { sqlstate: one.refused_state ?? '', column: one.refused_column },
      ]),
    ),
  };
}

/** A temporary table of text, which takes any line, and a view of its lines as arrays. */
async function stage(client: ClientBase, columnCount: number, rows: Buffer, lines: number): Promise<void> {
  const names = Array.from({ length: columnCount }, (_, index) => `c${index + 1}`);
  await client.query(
    `create temporary table maskline_lines (
       ordinal integer generated always as identity, ${names.map((name) => `${name} text`).join(', ')}
     ) on commit drop;
     create temporary view maskline_rows as
       select ordinal, array[${names.join(', ')}]::text[] as vals from pg_temp.maskline_lines`,
  );
  const copied = await copyRows(client, 'pg_temp.maskline_lines', names, rows);
  if (copied !== lines) throw corrupt();
}

const TAB = 0x09;
const NUL = 0x00;

/** Whatever transform encodes passes; it guards the third COPY, which must not fail, and names no line. */
function checkLines(rows: Buffer, columnCount: number): void {
  if (!isUtf8(rows) || rows.includes(NUL)) throw corrupt();
  const ends = lineEnds(rows);
  for (let index = 0; index < ends.length; index += 1) {
    let tabs = 0;
    const line = lineAt(rows, ends, index);
    for (let at = line.indexOf(TAB); at !== -1; at = line.indexOf(TAB, at + 1)) tabs += 1;
    if (tabs !== columnCount - 1) throw corrupt();
  }
}

function corrupt(): PipelineError {
  return new PipelineError('payload_corrupt', 'the rows of the batch are not COPY text of its columns');
}
