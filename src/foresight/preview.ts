import type { Envelope } from '../batch.js';
import type { Clock } from '../clock.js';
import type { Keyring } from '../masking/keyring.js';
import { parseBody } from '../masking/body.js';
import type { ColumnPolicy, ColumnSpec } from '../masking/methods.js';
import { partsOf } from '../masking/parts.js';
import { eachUnknown, knownFields } from '../masking/unknown-fields.js';
import { rawValues } from './raw-values.js';
import { type Rehearsed, type RehearsedPipeline, rehearse } from './rehearsal.js';
import { type ShapeCount, countShapes } from './shape.js';
import { type TableRows, columnName, tableRows } from './tables.js';

/** One value of a record, before and after; only for who may see it. */
export interface Example {
  readonly before: unknown;
  readonly after: string | null;
}

/** What the masks make of one column's values. */
export interface ColumnPreview {
  readonly column: string;
  readonly from: string;
  readonly method: string;
  /** Over the rows: values that are not null, and how many different ones. */
  readonly values: number;
  readonly distinct: number;
  readonly before: readonly ShapeCount[];
  readonly after: readonly ShapeCount[];
  readonly examples: readonly Example[];
}

/** Records that would be quarantined, or fields that no column takes, by name. */
export interface Preview {
  readonly pipeline: string;
  readonly records: number;
  readonly rows: number;
  readonly quarantined: number;
  /** By `schema.table`; absent where the pipeline has but one table. */
  readonly further_rows?: Readonly<{ [table: string]: number }>;
  readonly columns: readonly ColumnPreview[];
  readonly rejections: readonly RejectionCount[];
  readonly dropped_fields: readonly FieldCount[];
}

/** How many records are rejected for one reason. */
export interface RejectionCount {
  readonly code: string;
  readonly path: string | null;
  readonly records: number;
}

/** A field that no column takes, and in how many records it is. */
export interface FieldCount {
  readonly field: string;
  readonly records: number;
}

const MOST_SHAPES = 3;
const MOST_FIELDS = 50;
/** Other keys may be somebody's data. */
const SOUND_NAME = /^[\p{L}_$@][\p{L}\p{N}_$@.:-]{0,62}$/u;
const LONG_NUMBER = /[0-9]{5}/;
const ANY_OTHER_KEY = '*';

/** Masks the messages and says, by column, what became of them. `examples` of values are for who may see these. */
export function preview(
  pipeline: RehearsedPipeline,
  keyring: Keyring,
  clock: Clock,
  envelopes: readonly Envelope[],
  examples: number,
): Preview {
  const all = rehearse(pipeline, keyring, clock, envelopes);
  const rows = all.filter(({ outcome }) => 'row' in outcome);
  const tables = tableRows(pipeline.policy, rows);
  return {
    pipeline: pipeline.name,
    records: all.length,
    rows: rows.length,
    quarantined: all.length - rows.length,
    ...(pipeline.policy.several === undefined ? {} : { further_rows: countFurther(tables) }),
    columns: tables.flatMap(({ table, columns, rows: own }) =>
      columns.flatMap(partsOf).map((column) => ({
        ...previewColumn(column, own, clock, examples),
        column: columnName(table, column.name),
      })),
    ),
    rejections: countRejections(all),
    dropped_fields: countDropped(all, pipeline.policy),
  };
}

function countFurther(tables: readonly TableRows[]): Readonly<{ [table: string]: number }> {
  return Object.fromEntries(
    tables.flatMap(({ table, rows }) => (table === null ? [] : [[table, rows.length]])),
  );
}

function previewColumn(
  column: ColumnSpec,
  rows: readonly Rehearsed[],
  clock: Clock,
  examples: number,
): ColumnPreview {
  const before = column.mask.method === 'drop' ? [] : rawValues(column, rows, clock);
  const after = rows.map((row) => cellOf(row, column.name));
  const present = after.filter((cell) => cell !== null);
  return {
    column: column.name,
    from: column.path,
    method: column.mask.method,
    values: present.length,
    distinct: new Set(present).size,
    before: countShapes(before, MOST_SHAPES),
    after: column.mask.method === 'drop' ? [] : countShapes(after, MOST_SHAPES),
    examples: before.slice(0, examples).map((value, i) => ({ before: value, after: after[i] ?? null })),
  };
}

/** What a row holds in a column; null for NULL. */
export function cellOf({ outcome }: Rehearsed, column: string): string | null {
  return 'row' in outcome ? (outcome.row.get(column) ?? null) : null;
}

/** Rejected records by reason, the most frequent first. */
export function countRejections(records: readonly Rehearsed[]): readonly RejectionCount[] {
  const counts = new Map<string, RejectionCount>();
  for (const { outcome } of records) {
    if ('row' in outcome) continue;
    const { code, path } = outcome.rejected;
    const key = `${code} ${path ?? ''}`;
    counts.set(key, { code, path, records: (counts.get(key)?.records ?? 0) + 1 });
  }
  return [...counts.values()].toSorted((a, b) => b.records - a.records);
}

function countDropped(records: readonly Rehearsed[], policy: ColumnPolicy): readonly FieldCount[] {
  const known = knownFields(policy);
  const counts = new Map<string, number>();
  for (const { record, outcome } of records) {
    const fields = 'row' in outcome ? parseBody(record.body, policy) : 'not_json';
    if (typeof fields === 'string') continue;
    const shown = new Set<string>();
    eachUnknown(fields, known, (name, way) =>
      shown.add([...way, isSound(name) ? name : ANY_OTHER_KEY].join('.')),
    );
    for (const name of shown) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts]
    .map(([field, count]) => ({ field, records: count }))
    .toSorted((a, b) => b.records - a.records)
    .slice(0, MOST_FIELDS);
}

function isSound(name: string): boolean {
  return SOUND_NAME.test(name) && !LONG_NUMBER.test(name);
}
