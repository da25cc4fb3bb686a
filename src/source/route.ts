import type { Delivery } from '../batch.js';
import { parsedOrNull } from './json-text.js';

/** Where a record says whose it is: in its body, by members and elements, or in an attribute of its message. */
export type RouteField =
  | { readonly kind: 'body'; readonly path: readonly (string | number)[] }
  | { readonly kind: 'attribute'; readonly name: string };

/** Whose the records of a queue are that several pipelines share. */
export interface RouteTable {
  /** All of them; the first stands for them. */
  readonly pipelines: readonly [string, ...string[]];
  /** The first that fits takes a record. */
  readonly entries: readonly {
    readonly pipeline: string;
    readonly from: RouteField;
    readonly equals: readonly string[];
  }[];
  /** Which takes what fits none; null: the first takes it, rejected as `no_route`. */
  readonly otherwise: string | null;
}

type LooseRecord = Delivery['records'][number];

/** A record, and the pipeline that it is for. */
export interface Routed {
  readonly pipeline: string;
  readonly record: LooseRecord;
}

const BYTE_ORDER_MARK = 0xfeff;

/**
 * Whose a record is. A value fits when it is that text, or a number or boolean that JSON prints so. A body that is no JSON
 * object fits nothing and keeps its own fault: masking rejects it, in whichever pipeline.
 */
export function routed(table: RouteTable, record: LooseRecord, attributes: Attributes): Routed {
  const { entries, otherwise, pipelines } = table;
  const fields = needsBody(table) && record.rejected === undefined ? fieldsOf(record.body) : null;
  for (const { pipeline, from, equals } of entries) {
    const value = from.kind === 'attribute' ? ownOf(attributes, from.name) : valueAt(fields, from.path);
    const text = textOf(value);
    if (text !== null && equals.includes(text)) return { pipeline, record };
  }
  if (otherwise !== null) return { pipeline: otherwise, record };
  const hasFault = record.rejected !== undefined || (fields ?? fieldsOf(record.body)) === null;
  return { pipeline: pipelines[0], record: hasFault ? record : { ...record, rejected: 'no_route' } };
}

/** The record as that pipeline sees it: what is another one's is `no_route` here. Null: all records are its own. */
export function ownRecord<R extends Pick<LooseRecord, 'body' | 'rejected'>>(
  table: RouteTable | null,
  pipeline: string,
  record: R,
  attributes: Attributes,
): R {
  if (table === null) return record;
  const to = routed(table, { id: '', ...record }, attributes);
  const isOwn = to.pipeline === pipeline && to.record.rejected === record.rejected;
  return isOwn ? record : { ...record, rejected: 'no_route' };
}

type Attributes = Readonly<{ [name: string]: string }>;

function needsBody({ entries }: RouteTable): boolean {
  return entries.some(({ from }) => from.kind === 'body');
}

/** As masking reads a body; null where it would see no object in it. */
function fieldsOf(body: string): object | null {
  const value = parsedOrNull(body.charCodeAt(0) === BYTE_ORDER_MARK ? body.slice(1) : body);
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
}

function valueAt(fields: object | null, path: readonly (string | number)[]): unknown {
  let value: unknown = fields;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    if (Array.isArray(value) !== (typeof step === 'number')) return undefined;
    value = ownOf(value, step);
  }
  return value;
}

function ownOf(holder: object, name: string | number): unknown {
  return Object.hasOwn(holder, name) ? Reflect.get(holder, name) : undefined;
}

function textOf(value: unknown): string | null {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
}
