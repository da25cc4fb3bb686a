import { isUtf8 } from 'node:buffer';
import type { ClientBase } from 'pg';
import { lineAt, lineEnds } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { copyRows, quoteTable } from './copy.js';
import { type LedgerEntry, type LedgerOwner, isoTime } from './ledger.js';
import type { Section } from './sections.js';

/** Why the table refused a record. */
export interface Refusal {
  readonly sqlstate: string;
  readonly column: string | null;
  /** Whose row it was: the index among the tables of the batch. */
  readonly section: number;
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

interface OneOutcome {
  readonly entry: number;
  readonly outcome: 'loaded' | 'quarantined' | 'known' | 'refused' | 'dropped';
  readonly refused_state: string | null;
  readonly refused_column: string | null;
  /** From 1. */
  readonly at_target: number;
}

const LOAD = `
  select entry, outcome, refused_state, refused_column, 1 as at_target
    from maskline.load_one_by_one($1::regclass, $2::text[], $3, $4::uuid, $5::int[], $6::timestamptz[], $7::text[])`;

const UPSERT = `
  select entry, outcome, refused_state, refused_column, 1 as at_target
    from maskline.upsert_one_by_one(
      $1::regclass, $2::text[], $3, $4::uuid, $5::int[], $6::timestamptz[], $7::text[], $8::text[], $9)`;

const SEVERAL = `
  select entry, outcome, refused_state, refused_column, coalesce(at_target, 1) as at_target
    from maskline.load_records_one_by_one($1::jsonb, $2, $3::uuid, $4::int[], $5::timestamptz[], $6::text[])`;

/**
 * Loads each record by a subtransaction of its own, ledger entry and rows together, within the caller's transaction:
 * one COPY for each table into a temporary table of text, and one call. Throws `row_count_differs` when a table drops a
 * row without an error, `payload_corrupt` when the lines are not COPY text of these columns.
 */
export async function loadOneByOne(
  client: ClientBase,
  sections: readonly Section[],
  owner: LedgerOwner,
  entries: readonly LinedEntry[],
): Promise<Isolated> {
  for (const { rows, columns } of sections) checkLines(rows, columns.length);
  await stage(client, sections);
  const outcomes = await callFor(client, sections, owner, entries);
  const dropped = outcomes.filter((one) => one.outcome === 'dropped');
  if (dropped.length > 0) {
    const table = sections[(dropped[0]?.at_target ?? 1) - 1]?.place.table ?? '';
    throw new PipelineError(
      'row_count_differs',
      `table ${table} took ${dropped.length} rows of batch ${owner.batchId} and kept none of them: a trigger drops rows`,
    );
  }
  const refused = outcomes.filter((one) => one.outcome === 'refused');
  return {
    known: new Set(outcomes.filter((one) => one.outcome === 'known').map((one) => one.entry - 1)),
    refused: new Map(
      refused.map((one) => [
        one.entry - 1,
        { sqlstate: one.refused_state ?? '', column: one.refused_column, section: one.at_target - 1 },
      ]),
    ),
  };
}

async function callFor(
  client: ClientBase,
  sections: readonly Section[],
  { pipeline, batchId }: LedgerOwner,
  entries: readonly LinedEntry[],
): Promise<readonly OneOutcome[]> {
  const records = [
    pipeline,
    batchId,
    entries.map((entry) => (entry.line === null ? null : entry.line + 1)),
    entries.map((entry) => isoTime(entry.sentAt)),
    entries.map((entry) => entry.id),
  ];
  const specs = sections.map(({ target, columns }) => ({
    table: quoteTable(target),
    columns,
    keys: target.upsert?.keys ?? null,
    newest: target.upsert?.newestBy ?? null,
  }));
  const [own] = specs;
  if (!own || specs.length > 1)
    return (await client.query<OneOutcome>(SEVERAL, [JSON.stringify(specs), ...records])).rows;
  const { table, columns, keys, newest } = own;
  const call = [table, columns, ...records];
  const { rows } = await client.query<OneOutcome>(
    keys ? UPSERT : LOAD,
    keys ? [...call, keys, newest] : call,
  );
  return rows;
}

/** Temporary tables of text, which take any line, and their lines as arrays, by the record that they are of, from 1. */
async function stage(client: ClientBase, sections: readonly Section[]): Promise<void> {
  const isOne = sections.length === 1;
  if (!isOne)
    await client.query(
      `create temporary table maskline_rows (target integer, record integer, ordinal integer, vals text[])
         on commit drop;
       create index on pg_temp.maskline_rows (record, target, ordinal)`,
    );
  for (const [index, { columns, rows, records }] of sections.entries()) {
    const names = columns.map((_, column) => `c${column + 1}`);
    const lines = isOne ? 'maskline_lines' : `maskline_lines_${index + 1}`;
    const fields = `array[${names.join(', ')}]::text[] as vals`;
    await client.query(
      `create temporary table ${lines} (
         ordinal integer generated always as identity, ${names.map((name) => `${name} text`).join(', ')}
       ) on commit drop`,
    );
    const copied = await copyRows(client, `pg_temp.${lines}`, names, rows);
    if (copied !== records.length) throw corrupt();
    if (isOne)
      await client.query(
        `create temporary view maskline_rows as select ordinal, ${fields} from pg_temp.${lines}`,
      );
    else
      await client.query(
        `insert into pg_temp.maskline_rows select $1, ($2::int[])[ordinal], ordinal, ${fields} from pg_temp.${lines}`,
        [index + 1, records.map((record) => record + 1)],
      );
  }
  if (!isOne) await client.query('analyze pg_temp.maskline_rows');
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
