import { systemClock } from '../clock.js';
import { parsePath } from '../config/path.js';
import { trimAscii } from '../masking/canonical.js';
import type { ColumnSpec, ColumnType } from '../masking/methods.js';
import { type Row, readerOf } from '../masking/reading.js';
import { noneNormalized } from '../masking/refusal.js';
import { keepMask } from '../masking/values.js';
import type { Field } from './fields.js';

/** A field's values over a sample. */
export interface FieldValues {
  readonly field: Field;
  /** None of them null; the elements where the field is a list. */
  readonly values: readonly unknown[];
  /** Rows that hold a value that is neither null nor blank. */
  readonly present: number;
  readonly rows: number;
  /** The first type that takes them all, `text` where none does; null when only `jsonb` would do. */
  readonly type: ColumnType | null;
  /** Characters of the longest text. */
  readonly longest: number;
}

/** What texts may turn out to be, and numbers: the narrowest first. Numbers in quotes may have zeros to lose: text. */
const TEXT_TYPES = ['uuid', 'inet', 'timestamptz', 'date'] as const;
const NUMBER_TYPES = ['integer', 'bigint', 'numeric'] as const;
/** An integer that has come this far will go further. */
const NEARLY_FULL = 2 ** 29;

/** The values of a field, and the type that takes all of them, as the masks themselves read it. */
export function valuesOf(field: Field, rows: readonly Row[]): FieldValues {
  const read = readerOf(specOf(field, 'text'), systemClock);
  const sent = rows.map((row) => elements(read(row, emptyBatch)));
  const values = sent.flat();
  return {
    field,
    values,
    present: sent.filter((list) => list.some((value) => !isBlank(value))).length,
    rows: rows.length,
    type: typeOf(field, rows, values),
    longest: values.reduce<number>((most, value) => Math.max(most, lengthOf(value)), 0),
  };
}

const emptyBatch = { batchId: '', runId: '', pipeline: '', messages: [], records: [] };

function typeOf(field: Field, rows: readonly Row[], values: readonly unknown[]): ColumnType | null {
  const kinds = new Set(values.map((value) => typeof value));
  if (field.isList) {
    if (kinds.size === 0 || onlyOf(kinds, 'string')) return 'text[]';
    return onlyOf(kinds, 'number') || onlyOf(kinds, 'boolean') ? 'jsonb' : null;
  }
  if (kinds.size === 0) return 'text';
  if (onlyOf(kinds, 'boolean')) return 'boolean';
  if (onlyOf(kinds, 'string')) {
    const texts = values.filter((value) => !isBlank(value));
    if (texts.length === 0) return 'text';
    return TEXT_TYPES.find((type) => takesAll(field, rows, type)) ?? 'text';
  }
  if (!kinds.has('number') || kinds.has('boolean')) return null;
  const type = NUMBER_TYPES.find((one) => takesAll(field, rows, one)) ?? null;
  const isLarge = values.some((value) => Math.abs(Number(value)) > NEARLY_FULL);
  return type === 'integer' && isLarge ? 'bigint' : type;
}

function takesAll(field: Field, rows: readonly Row[], type: ColumnType): boolean {
  const spec = specOf(field, type);
  const read = readerOf(spec, systemClock);
  const values = rows
    .map((row) => read(row, emptyBatch))
    .filter((value) => value !== null && value !== undefined);
  return keepMask(spec)(values, noneNormalized()).every((cell) => typeof cell === 'string');
}

function specOf(field: Field, type: ColumnType): ColumnSpec {
  const path = parsePath(field.from);
  if (typeof path === 'string') throw new RangeError('a field has no path');
  const mask = { method: 'keep' } as const;
  const source = { kind: 'path', ...path } as const;
  return { name: 'sample', path: field.from, source, type, maxLength: null, required: false, mask };
}

function elements(value: unknown): readonly unknown[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((item) => item !== null && item !== undefined && typeof item !== 'symbol');
}

function isBlank(value: unknown): boolean {
  return typeof value === 'string' && trimAscii(value) === '';
}

function lengthOf(value: unknown): number {
  return typeof value === 'string' ? [...value].length : 0;
}

function onlyOf(kinds: ReadonlySet<string>, kind: string): boolean {
  return kinds.size === 1 && kinds.has(kind);
}
