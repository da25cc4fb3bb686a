// The values that a batch's masks were given, read once more from its messages: what may not be in what leaves.

import type { Batch, InputRecord, MaskedBatch } from '../batch.js';
import type { Clock } from '../clock.js';
import { parseBody } from './body.js';
import { trimAscii } from './canonical.js';
import { elementsAt, valueAtPath } from './field-path.js';
import { memberSource } from './json-source.js';
import type { ColumnPolicy, ColumnSpec, TablePolicy } from './methods.js';
import { isOfElement, partsOf } from './parts.js';
import { type Reader, type Row, readerOf } from './reading.js';

/** That a record has a value, in one of the masked columns. */
export interface Occurrence {
  readonly value: number;
  readonly record: number;
  /** Of which element of the list of its table; null: it is the same for all of them. */
  readonly element: number | null;
  readonly column: MaskedColumn;
}

/** A column, and the table that it is in: the number of it among those of the policy. */
export interface TableColumn {
  readonly spec: ColumnSpec;
  readonly table: number;
}

/** And the list of which the table has a row for each element, as it is written. */
export interface MaskedColumn extends TableColumn {
  readonly list: string | null;
}

/** Each different value once, by its number, and where it occurs. */
export interface RawValues {
  readonly texts: readonly string[];
  readonly occurrences: readonly Occurrence[];
  /** By table, the record of each row that the messages make. */
  readonly records: readonly (readonly number[])[];
}

/** Reads what a policy masks. */
export interface RawValueReader {
  /** Null when the rows are not made of the records of this batch, in their order. */
  read(batch: Batch, masked: MaskedBatch): RawValues | null;
}

const malformed = /\p{Cs}/u;

/** The tables of a policy: the first is that of a row for each record. */
export function tablesOf({ columns, several }: ColumnPolicy): readonly TablePolicy[] {
  return [{ table: several?.table ?? '', columns, each: null }, ...(several?.further ?? [])];
}

/**
 * Looks at columns of any method but `keep` whose values come from who sent the message; ids and times that SQS or
 * maskline gave are nobody's. Values are strings, without white space at their ends, and numbers, or lists of them.
 */
export function rawValueReader(policy: ColumnPolicy, clock: Clock): RawValueReader {
  const tables = tablesOf(policy).map((table, number) => ({
    each: table.each?.place ?? null,
    columns: table.columns
      .flatMap(partsOf)
      .filter((spec) => spec.mask.method !== 'keep' && isSendersOwn(spec))
      .map((spec): ReadColumn => ({
        spec,
        table: number,
        list: table.each?.path ?? null,
        read: readerOf(spec, clock),
      })),
  }));
  return {
    read: (batch, masked) => {
      const records = recordsOfRows(batch, masked);
      if (records === null) return null;
      const values = new Values(batch);
      const rows: number[][] = tables.map(() => []);
      for (const [number, record] of records.entries()) {
        const head = batch.messages[record.message];
        const fields = parseBody(record.body, policy);
        if (!head || typeof fields === 'string') return null;
        const row = { record, head, fields };
        for (const [table, { each, columns }] of tables.entries()) {
          const elements = each === null ? [row] : elementsOf(row, each);
          if (elements === null) return null;
          for (const _ of elements) rows[table]?.push(number);
          values.add(number, columns, each === null ? null : elements, row);
        }
      }
      return { texts: [...values.numbers.keys()], occurrences: values.occurrences, records: rows };
    },
  };
}

interface ReadColumn extends MaskedColumn {
  readonly read: Reader;
}

class Values {
  readonly numbers = new Map<string, number>();
  readonly occurrences: Occurrence[] = [];
  readonly #batch: Batch;

  constructor(batch: Batch) {
    this.#batch = batch;
  }

  /** What a record has in the columns of a table; `elements` are its rows there, null where it is one itself. */
  add(record: number, columns: readonly ReadColumn[], elements: readonly Row[] | null, whole: Row): void {
    for (const column of columns) {
      if (elements === null || !isOfElement(column.spec)) this.#note(record, null, column, whole);
      else for (const [element, row] of elements.entries()) this.#note(record, element, column, row);
    }
  }

  #note(record: number, element: number | null, column: ReadColumn, row: Row): void {
    for (const text of textsOf(column.read(row, this.#batch), row.record, column.spec)) {
      const value = this.numbers.get(text) ?? this.numbers.size;
      this.numbers.set(text, value);
      this.occurrences.push({ value, record, element, column });
    }
  }
}

/** A row for each element of the list at that place; null where something else is there. */
function elementsOf(row: Row, place: NonNullable<TablePolicy['each']>['place']): readonly Row[] | null {
  const items = valueAtPath(row.fields, place);
  if (items === null || items === undefined) return [];
  if (!Array.isArray(items)) return null;
  let texts: readonly (string | null)[] | null = null;
  const text = (index: number): string => {
    texts ??= elementsAt(row.record.body, place);
    return texts[index] ?? 'null';
  };
  return items.map((value: unknown, index) => ({
    ...row,
    element: { index, value, text: () => text(index) },
  }));
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
