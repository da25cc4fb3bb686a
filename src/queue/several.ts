// The rows of further tables in the frame of a masked batch.

import type { FurtherRows, MaskedBatch } from '../batch.js';
import { lineEnds } from '../copy-text.js';
import { type Parts, corrupt, integer, list, text } from './frame.js';

type Several = NonNullable<MaskedBatch['several']>;

/** As they come out of a frame: its reader vouches that what was sealed is masked. */
export type FrameRows = Omit<FurtherRows, 'rows'> & { readonly rows: Buffer };

/** What the head says of them; the rows are parts of the frame, in the same order. */
export function writeSeveral({ table, further }: Several): readonly unknown[] {
  return [table, further.map((rows) => [rows.table, rows.columns, rows.records, rows.rows.length])];
}

/** The same read back, for a batch of so many rows of its own. Throws `payload_corrupt`. */
export function readSeveral(
  value: unknown,
  keys: number,
  parts: Parts,
): { readonly table: string; readonly further: readonly FrameRows[] } {
  const [table, further] = list(value, 'the tables', 2);
  return {
    table: text(table, 'a table'),
    further: list(further, 'the further tables').map((item) => readFurther(item, keys, parts)),
  };
}

function readFurther(value: unknown, keys: number, parts: Parts): FrameRows {
  const [table, columns, items, length] = list(value, 'a further table', 4);
  let least = 0;
  const records = list(items, 'the records of a further table').map((item) => {
    // Whatever is not in order would be cut out of the rows of another record.
    least = integer(item, 'the record of a further row', least, keys - 1);
    return least;
  });
  const rows = parts.bytes(integer(length, 'the length of further rows'));
  if (countLines(rows) !== records.length) throw corrupt('the count of further rows');
  return {
    table: text(table, 'a table'),
    columns: list(columns, 'the columns').map((column) => text(column, 'a column')),
    records,
    rows,
  };
}

/** How many rows COPY would see. Throws `payload_corrupt` when the last of them has no end. */
export function countLines(rows: Buffer): number {
  try {
    return lineEnds(rows).length;
  } catch {
    throw corrupt('the last row');
  }
}
