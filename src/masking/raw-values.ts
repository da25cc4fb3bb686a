// The values that a batch's masks were given, read once more from its messages: what may not be in what leaves.

import type { Batch, InputRecord, MaskedBatch } from '../batch.js';
import type { Clock } from '../clock.js';
import { parseBody } from './body.js';
import { trimAscii } from './canonical.js';
import { memberSource } from './json-source.js';
import type { ColumnPolicy, ColumnSpec } from './methods.js';
import { partsOf } from './parts.js';
import { readerOf } from './reading.js';

/** That a row has a value, in one of the masked columns. */
export interface Occurrence {
  readonly value: number;
  readonly row: number;
  readonly spec: ColumnSpec;
}

/** Each different value once, by its number, and where it occurs. */
export interface RawValues {
  readonly texts: readonly string[];
  readonly rows: number;
  readonly occurrences: readonly Occurrence[];
}

/** Reads what a policy masks. */
export interface RawValueReader {
  /** Null when the rows are not made of the records of this batch, in their order. */
  read(batch: Batch, masked: MaskedBatch): RawValues | null;
}

const malformed = /\p{Cs}/u;

/**
 * Looks at columns of any method but `keep` whose values come from who sent the message; ids and times that SQS or
 * maskline gave are nobody's. Values are strings, without white space at their ends, and numbers, or lists of them.
 */
export function rawValueReader(policy: ColumnPolicy, clock: Clock): RawValueReader {
  const columns = policy.columns
    .flatMap(partsOf)
    .filter((spec) => spec.mask.method !== 'keep' && isSendersOwn(spec))
    .map((spec) => ({ spec, read: readerOf(spec, clock) }));
  return {
    read: (batch, masked) => {
      const records = recordsOfRows(batch, masked);
      if (records === null) return null;
      const numbers = new Map<string, number>();
      const occurrences: Occurrence[] = [];
      for (const [row, record] of records.entries()) {
        const head = batch.messages[record.message];
        const fields = parseBody(record.body, policy);
        if (!head || typeof fields === 'string') return null;
        for (const { read, spec } of columns) {
          for (const text of textsOf(read({ record, head, fields }, batch), record, spec)) {
            const value = numbers.get(text) ?? numbers.size;
            numbers.set(text, value);
            occurrences.push({ value, row, spec });
          }
        }
      }
      return { texts: [...numbers.keys()], rows: records.length, occurrences };
    },
  };
}

/** Whether a column's values are what its sender wrote. */
export function isSendersOwn({ source }: ColumnSpec): boolean {
  return source.kind !== 'meta' || source.name === 'group_id';
}

/** The records that became rows; null when the rows' keys are not those of the batch, in their order. */
function recordsOfRows(batch: Batch, masked: MaskedBatch): readonly InputRecord[] | null {
  const records: InputRecord[] = [];
  for (const record of batch.records) {
    const key = masked.keys[records.length];
    if (key?.id !== record.id || key.message !== record.message) continue;
    if (key.messageId !== batch.messages[record.message]?.messageId) return null;
    records.push(record);
  }
  return records.length === masked.keys.length ? records : null;
}

function textsOf(value: unknown, { body }: InputRecord, { source }: ColumnSpec): readonly string[] {
  const texts: string[] = [];
  for (const item of Array.isArray(value) ? (value as readonly unknown[]) : [value]) {
    // JSON.parse rounds long numbers.
    if (typeof item === 'number')
      texts.push(
        source.kind === 'field' && item === value ? memberSource(body, source.name, item) : String(item),
      );
    if (typeof item !== 'string') continue;
    const text = trimAscii(item);
    // Half a character can't be in the text of a row.
    if (text !== '' && !malformed.test(text)) texts.push(text);
  }
  return texts;
}
