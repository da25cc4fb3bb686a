import type { Batch, InputRecord, MessageHead } from '../batch.js';
import type { Clock } from '../clock.js';
import { PipelineError } from '../errors.js';
import type { Fields } from './body.js';
import { trimAscii } from './canonical.js';
import {
  listSources,
  sourceAt,
  sourceAtSteps,
  sourcesAtSteps,
  valueAtPath,
  valueAtSteps,
  wrongShape,
} from './field-path.js';
import { mayLoseDigits } from './json-source.js';
import { readExact } from './json-tree.js';
import { type ColumnSpec, type FieldPath, type JsonMask, companionOf, isList } from './methods.js';
import { isWhole } from './values.js';

/** A record whose body was read. */
export interface Row {
  readonly record: InputRecord;
  readonly head: MessageHead;
  readonly fields: Fields;
  /** The element of a list that the row is, where it is not the whole record. */
  readonly element?: Element;
}

/** An element of a list. */
export interface Element {
  /** Its number in the list, from 0. */
  readonly index: number;
  readonly value: unknown;
  /** Its JSON text as it was sent. */
  text(): string;
}

/**
 * A column's value in a row; null or undefined when there is none, `wrongShape` when something else is in its way. A
 * list is an array of values.
 */
export type Reader = (row: Row, batch: Batch) => unknown;

const timeNames = ['sent_at', 'received_at', 'loaded_at'] as const;
type TimeName = (typeof timeNames)[number];

/** Where Postgres reads a time, it takes this word for the time of the transaction that loads it. */
const TRANSACTION_TIME = 'now';
const DATE_CHARACTERS = 10;
const DAY_MS = 86_400_000;

/**
 * How a column's values are come by. `maskKid` is the key id that its rows are masked under. Throws `config_invalid`
 * when its source cannot have its type.
 */
export function readerOf(column: ColumnSpec, clock: Clock, maskKid = 0): Reader {
  const { source } = column;
  if (source.kind === 'field') return fieldReader(column, { name: source.name, steps: [] });
  if (source.kind === 'path') return fieldReader(column, source);
  if (source.kind === 'rest') return ({ record, fields }) => exactly(record.body, fields, () => record.body);
  const read =
    source.kind === 'attribute'
      ? attributeReader(source.name)
      : metaReader(column, source.name, clock, maskKid);
  if (column.type !== 'jsonb' || column.mask.method !== 'keep') return read;
  return (row, batch) => {
    const value = read(row, batch);
    return value === undefined || value === null ? value : JSON.stringify(value);
  };
}

/** The other field that a column's mask needs; null when it needs none. */
export function companionReaderOf({ mask }: ColumnSpec): Reader | null {
  if (mask.method === 'json') return companionsReader(mask);
  const path = companionOf(mask);
  return path === null ? null : (row) => valueAt(row, path);
}

/** A list, with the other field of each member's mask. */
function companionsReader({ members }: JsonMask): Reader | null {
  const paths = members.map((member) => companionOf(member.mask));
  if (paths.every((path) => path === null)) return null;
  return (row) => {
    const values = paths.map((path) => (path === null ? null : valueAt(row, path)));
    return values.includes(wrongShape) ? wrongShape : values;
  };
}

/** The value as JSON.parse made it, or with the digits of its numbers where that may have lost some. */
function exactly(body: string, value: unknown, source: () => string): unknown {
  return mayLoseDigits(body) ? readExact(source()) : value;
}

function valueAt({ fields, element }: Row, path: FieldPath): unknown {
  return path.within === undefined
    ? valueAtPath(fields, path)
    : valueAtSteps(element?.value, path.steps.slice(path.within));
}

/** The JSON text that holds the value at a path: that of the element, or of the body. */
function textAround({ record, element }: Row, { within }: FieldPath): string {
  return within === undefined ? record.body : (element?.text() ?? 'null');
}

function sourceOf(row: Row, path: FieldPath, value: unknown): string {
  const text = textAround(row, path);
  return path.within === undefined
    ? sourceAt(text, path, value)
    : sourceAtSteps(text, path.steps.slice(path.within), value);
}

function sourcesOf(row: Row, path: FieldPath, items: readonly unknown[]): readonly string[] {
  const text = textAround(row, path);
  return path.within === undefined
    ? listSources(text, path, items)
    : sourcesAtSteps(text, path.steps.slice(path.within), items);
}

/** Kept numbers and `jsonb`, and buckets, need the text that was sent, since parsed numbers have lost digits. */
function fieldReader(column: ColumnSpec, path: FieldPath): Reader {
  const { type, mask } = column;
  const read = (row: Row): unknown => valueAt(row, path);
  if (mask.method === 'json') {
    return (row) => {
      const value = read(row);
      if (value === undefined || value === null || value === wrongShape) return value;
      return exactly(textAround(row, path), value, () => sourceOf(row, path, value));
    };
  }
  const isNumber = type === 'integer' || type === 'bigint' || type === 'numeric';
  const needsSource = mask.method === 'bucket' || (mask.method === 'keep' && (isNumber || type === 'jsonb'));
  if (!needsSource) return read;
  const inList = isList(column);
  return (row) => {
    const value = read(row);
    if (value === undefined || value === null || value === wrongShape) return value;
    if (!inList) return asSent(column, value, () => sourceOf(row, path, value));
    if (!Array.isArray(value)) return wrongShape;
    const items: readonly unknown[] = value;
    const sources = sourcesOf(row, path, items);
    return items.map((item, i) => asSent(column, item, () => sources[i] ?? ''));
  };
}

/** The value in the form that its mask takes; `source` gives its JSON text. */
function asSent({ type, mask, required }: ColumnSpec, value: unknown, source: () => string): unknown {
  if (value === undefined || value === null) return value;
  if (mask.method === 'keep' && type === 'jsonb') {
    const isBlank = typeof value === 'string' && trimAscii(value) === '';
    return isBlank && required ? undefined : source();
  }
  if (typeof value !== 'number') return value;
  if (mask.method === 'bucket' || type === 'numeric') return source();
  // 0.99999999999999999999 is no integer, though JSON.parse makes 1 of it.
  return isWhole(source()) ? value : Number.NaN;
}

const LEADING_ZEROS = /^0+(?=[0-9])/;

function attributeReader(name: string): Reader {
  return ({ head }) => (Object.hasOwn(head.attributes, name) ? head.attributes[name] : undefined);
}

function metaReader(
  column: ColumnSpec,
  name: Extract<ColumnSpec['source'], { kind: 'meta' }>['name'],
  clock: Clock,
  maskKid: number,
): Reader {
  switch (name) {
    case 'message_id':
      return ({ head }) => head.messageId;
    case 'group_id':
      return ({ head }) => head.groupId;
    case 'sequence_number':
      // SQS may write it with zeros in front, which no number in JSON has.
      return column.type === 'numeric'
        ? ({ head }) => head.sequenceNumber?.replace(LEADING_ZEROS, '')
        : ({ head }) => head.sequenceNumber;
    case 'batch_id':
      return (_, batch) => batch.batchId;
    case 'run_id':
      return (_, batch) => batch.runId;
    case 'mask_kid':
      return () => maskKid;
    case 'index':
      return ({ element }) => element?.index;
    default:
      return timeReader(column, name, clock);
  }
}

/** Whether the column keeps a time of the message: its reader gives COPY text that needs no further check. */
export function isKeptTime(column: ColumnSpec): boolean {
  const { source, mask } = column;
  return mask.method === 'keep' && source.kind === 'meta' && timeNames.some((name) => name === source.name);
}

/** Times in UTC: ISO 8601, or its first ten characters for a date. */
function timeReader(column: ColumnSpec, name: TimeName, clock: Clock): Reader {
  const type = column.mask.method === 'keep' ? column.type : 'text';
  if (type !== 'date' && type !== 'timestamptz' && type !== 'text') {
    throw new PipelineError(
      'config_invalid',
      `column ${column.name}: ${column.path} is a time: its type must be date, timestamptz or text, not ${type}`,
    );
  }
  const format = type === 'date' ? utcDates() : (ms: number): string => new Date(ms).toISOString();
  if (name === 'sent_at') return ({ head }) => format(head.sentAt);
  if (name === 'received_at') return ({ head }) => format(head.receivedAt);
  return type === 'text' ? () => format(clock.now()) : () => TRANSACTION_TIME;
}

/** The UTC date of an epoch ms; the last one is remembered, since most messages of a batch are of one day. */
function utcDates(): (ms: number) => string {
  let lastDay = Number.NaN;
  let text = '';
  return (ms) => {
    const day = Math.floor(ms / DAY_MS);
    if (day !== lastDay) {
      text = new Date(ms).toISOString().slice(0, DATE_CHARACTERS);
      lastDay = day;
    }
    return text;
  };
}
