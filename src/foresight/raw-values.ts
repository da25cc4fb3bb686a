import type { Clock } from '../clock.js';
import { type Fields, parseBody } from '../masking/body.js';
import { elementsAt, valueAtPath } from '../masking/field-path.js';
import { type ColumnSpec, isList } from '../masking/methods.js';
import { type Element, readerOf } from '../masking/reading.js';
import type { Rehearsed } from './rehearsal.js';

/** Limits were looked at when the records were masked. */
const NO_LIMITS = { maxDepth: 10_000, maxBody: Number.MAX_SAFE_INTEGER };
const NO_BATCH = { batchId: '', runId: '', pipeline: '', messages: [], records: [] };

/** What a column would have kept of each row, as it was sent; null where there is none or it can't be read. */
export function rawValues(
  column: ColumnSpec,
  records: readonly Rehearsed[],
  clock: Clock,
): readonly unknown[] {
  // Elements of lists as they are, not as JSON text.
  const type = isList(column) ? 'text[]' : column.type;
  const read = readerOf({ ...column, type, mask: { method: 'keep' } }, clock);
  return records.map(({ record, head, element }) => {
    const fields = record.rejected === undefined ? parseBody(record.body, NO_LIMITS) : 'bad_envelope';
    if (typeof fields === 'string') return null;
    try {
      const row = {
        record,
        head,
        fields,
        ...(element ? { element: elementOf(fields, record.body, element) } : {}),
      };
      const value = read(row, NO_BATCH);
      return value === undefined || typeof value === 'symbol' ? null : value;
    } catch {
      // Masking the record met the same, and rejected it.
      return null;
    }
  });
}

function elementOf(
  fields: Fields,
  body: string,
  { index, place }: NonNullable<Rehearsed['element']>,
): Element {
  const items = valueAtPath(fields, place);
  const value: unknown = Array.isArray(items) ? items[index] : undefined;
  return { index, value, text: () => elementsAt(body, place)[index] ?? 'null' };
}
