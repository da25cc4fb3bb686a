// The rows of a batch, table by table.

import type { MaskedBatch } from '../batch.js';
import { lineAt, lineEnds, withoutLines } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import type { Place } from './postgres-error.js';
import type { LoadTarget } from './upsert.js';

/** A table that rows go to. */
export interface SinkTarget {
  readonly target: LoadTarget;
  /** The configured path (`from`) of each column, for the path of a refused row. */
  readonly paths: ReadonlyMap<string, string>;
}

/** The rows of a batch that go to one table. */
export interface Section extends SinkTarget {
  readonly place: Place & { readonly kind: 'target' };
  readonly columns: readonly string[];
  readonly rows: Buffer;
  /** Where each line ends. */
  readonly ends: readonly number[];
  /** The record of each line, as an index of the batch's keys; they ascend. */
  readonly records: readonly number[];
}

/** Lines of a section, and their rows. */
export interface SectionRows {
  readonly rows: Buffer;
  readonly lines: readonly number[];
}

/** What of a batch its rows are known by. */
export interface SectionedBatch extends Pick<
  MaskedBatch,
  'batchId' | 'pipeline' | 'columns' | 'rows' | 'several'
> {
  /** One for each record. */
  readonly keys: readonly unknown[];
}

/**
 * The rows of a batch, in the order of its pipeline's tables. Throws `table_unfit` when they are for other tables than
 * these, or another is the first, `payload_corrupt` when there are more or fewer lines than it says.
 */
export function sectionsOf(batch: SectionedBatch, tables: readonly SinkTarget[]): readonly Section[] {
  const { several } = batch;
  const own = { columns: batch.columns, records: [...batch.keys.keys()], rows: batch.rows };
  const parts = several ? [{ ...own, table: several.table }, ...several.further] : [own];
  return parts.map((part, index) => {
    // By its name: what is for one table must not get into another, whatever became of the configuration meanwhile. A
    // batch counts rows of its first table by its records, so that no other may stand there.
    const wanted = 'table' in part ? part.table : null;
    const known = index === 0 ? tables.slice(0, 1) : tables.slice(1);
    const found = wanted === null ? tables[0] : known.find(({ target }) => tableOf(target) === wanted);
    if (!found) throw strange(batch, wanted ?? '');
    const place = { kind: 'target', table: tableOf(found.target), columns: part.columns } as const;
    return { ...found, ...part, place, ends: endsOf(batch, part) };
  });
}

function tableOf({ schema, table }: LoadTarget): string {
  return `${schema}.${table}`;
}

function strange({ batchId, pipeline }: SectionedBatch, table: string): PipelineError {
  return new PipelineError(
    'table_unfit',
    `batch ${batchId} holds rows for table ${table}, which pipeline ${pipeline} does not load here: start transform and ` +
      'load workers with the same configuration',
  );
}

function endsOf(
  { batchId }: SectionedBatch,
  { rows, records }: Pick<Section, 'rows' | 'records'>,
): readonly number[] {
  let ends: readonly number[] = [];
  try {
    ends = lineEnds(rows);
  } catch {
    // Falls short of the keys below, unless there are none.
  }
  const complete = (ends.at(-1) ?? 0) === rows.length;
  if (ends.length === records.length && complete) return ends;
  throw new PipelineError(
    'payload_corrupt',
    `batch ${batchId} has ${records.length} keys and ${ends.length} whole lines`,
  );
}

/** The error of a table that kept fewer rows than it was sent, and named no error. */
export function rowsDropped(
  { place }: Section,
  { batchId }: Pick<MaskedBatch, 'batchId'>,
  sent: number,
  kept: number,
): PipelineError {
  return new PipelineError(
    'row_count_differs',
    `table ${place.table} was sent ${sent} rows of batch ${batchId} and kept ${kept}: a trigger or rule drops rows`,
  );
}

/** The section without the rows of these records. */
export function rowsWithout({ rows, ends, records }: Section, drop: ReadonlySet<number>): SectionRows {
  const lines = records.flatMap((record, line) => (drop.has(record) ? [] : [line]));
  if (lines.length === records.length) return { rows, lines };
  const dropped = new Set(records.flatMap((record, line) => (drop.has(record) ? [line] : [])));
  return { rows: withoutLines(rows, ends, dropped), lines };
}

/** The rows of one record. */
export function rowsOf({ rows, ends, records }: Section, record: number): readonly Buffer[] {
  const lines: Buffer[] = [];
  for (let line = records.indexOf(record); records[line] === record; line += 1) {
    if (line === -1) break;
    lines.push(lineAt(rows, ends, line));
  }
  return lines;
}

/** How many rows of those records the sections have, by table. */
export function countRows(
  sections: readonly Section[],
  records: ReadonlySet<number>,
): { readonly [table: string]: number } {
  return Object.fromEntries(
    sections.map((section) => [
      section.place.table,
      section.records.filter((record) => records.has(record)).length,
    ]),
  );
}
