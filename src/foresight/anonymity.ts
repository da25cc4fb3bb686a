// What a sample shows of a policy that the policy alone does not: how many people share a row, and what got past the masks.

import type { Clock } from '../clock.js';
import type { Keyring } from '../masking/keyring.js';
import { type ColumnSpec, tokenMaskOf } from '../masking/methods.js';
import { partsOf } from '../masking/parts.js';
import { type ValueKind, kindOf, valueKinds } from './detectors.js';
import { type Rehearsed, type RehearsedPipeline, rehearse } from './rehearsal.js';
import { rawValues } from './raw-values.js';
import type { ColumnStrength } from './strength.js';
import { type TableRows, columnName, tableRows } from './tables.js';
import type { Envelope } from '../batch.js';

/** What the values of one column are like over the rows of a sample. */
export interface ColumnCounts {
  readonly column: string;
  readonly values: number;
  readonly nulls: number;
  readonly distinct: number;
}

/** A kept column whose values hold those of a field that another column masks. */
export interface SampleLeak {
  readonly column: string;
  readonly masked: string;
  readonly rows: number;
}

/** What a sample shows. */
export interface SampleStrength {
  readonly pipeline: string;
  readonly rows: number;
  readonly quarantined: number;
  readonly counts: readonly ColumnCounts[];
  /** The columns that groups are formed of: kept quasi-identifiers, and what shows a part of a value. */
  readonly quasi_identifiers: readonly string[];
  /** k-anonymity (Sweeney 2002): rows of the smallest group of equal quasi-identifiers; null without any. */
  readonly k: number | null;
  /** The share of rows in groups of fewer than five. */
  readonly share_below_5: number | null;
  readonly leaks: readonly SampleLeak[];
  readonly small_spaces: readonly SmallSpace[];
}

/** A column of tokens whose values are of a kind of which there are few enough to try out. */
export interface SmallSpace {
  readonly column: string;
  readonly space: string;
}

/** Health statistics agencies publish no cell of fewer than about so many people. */
const SMALL_GROUP = 5;
/** From this share of a column's values on, it is of that kind. */
const MOSTLY = 0.8;
/** How many there are of each kind; of some kinds, too many to be tried. */
const SPACES: Readonly<{ [kind in ValueKind]?: string }> = {
  ip: '2^32 (IPv4)',
  ssn: '10^9 (nine digits)',
  phone: 'about 10^10 (telephone numbers)',
  card: 'about 10^10 for each issuer (card numbers)',
};
/** Shorter values are in others by chance. */
const TELLING_CHARACTERS = 6;

/** Masks the sample, and looks at the rows. Throws `key_unavailable`. */
export function sampleStrength(
  pipeline: RehearsedPipeline,
  strengths: readonly ColumnStrength[],
  keyring: Keyring,
  clock: Clock,
  envelopes: readonly Envelope[],
): SampleStrength {
  const all = rehearse(pipeline, keyring, clock, envelopes);
  const rows = all.filter(({ outcome }) => 'row' in outcome);
  const tables = tableRows(pipeline.policy, rows);
  const names = new Set(pipeline.policy.columns.flatMap(partsOf).map(({ name }) => name));
  // Groups are of people, and so of records: rows of further tables are many of one.
  const ofRecords = strengths.filter(({ column }) => names.has(column));
  const columns = ofRecords.filter(({ exposure }) => exposure === 'quasi_identifier' || exposure === 'part');
  const quasi = columns.map(({ column }) => column);
  const groups = quasi.length === 0 ? [] : groupSizes(rows, quasi);
  const inSmall = groups.filter((size) => size < SMALL_GROUP).reduce((sum, size) => sum + size, 0);
  return {
    pipeline: pipeline.name,
    rows: rows.length,
    quarantined: all.length - rows.length,
    counts: tables.flatMap(({ table, columns: own, rows: some }) =>
      own
        .flatMap(partsOf)
        .filter(({ mask }) => mask.method !== 'drop')
        .map(({ name }) => ({ ...countsOf(some, name), column: columnName(table, name) })),
    ),
    quasi_identifiers: quasi,
    k: groups.length === 0 ? null : Math.min(...groups),
    share_below_5: groups.length === 0 ? null : inSmall / rows.length,
    leaks: tables.flatMap((table) => leaksOf(table, clock)),
    small_spaces: tables.flatMap(({ table, columns: own, rows: some }) =>
      own
        .flatMap(partsOf)
        .flatMap((column) => smallSpaceOf(some, column, clock))
        .map((found) => ({ ...found, column: columnName(table, found.column) })),
    ),
  };
}

function smallSpaceOf(rows: readonly Rehearsed[], column: ColumnSpec, clock: Clock): readonly SmallSpace[] {
  if (tokenMaskOf(column) === null || column.source.kind === 'meta') return [];
  const texts = rawTexts(rows, column, clock).flat();
  const kinds = texts.map(kindOf);
  for (const kind of valueKinds) {
    const space = SPACES[kind];
    const count = kinds.filter((one) => one === kind).length;
    if (space !== undefined && count > 0 && count >= texts.length * MOSTLY)
      return [{ column: column.name, space }];
  }
  return [];
}

function cellOf({ outcome }: Rehearsed, column: string): string | null {
  return 'row' in outcome ? (outcome.row.get(column) ?? null) : null;
}

function countsOf(rows: readonly Rehearsed[], column: string): ColumnCounts {
  const values = rows.map((row) => cellOf(row, column)).filter((cell) => cell !== null);
  return {
    column,
    values: values.length,
    nulls: rows.length - values.length,
    distinct: new Set(values).size,
  };
}

function groupSizes(rows: readonly Rehearsed[], columns: readonly string[]): readonly number[] {
  const groups = new Map<string, number>();
  for (const row of rows) {
    const key = JSON.stringify(columns.map((column) => cellOf(row, column)));
    groups.set(key, (groups.get(key) ?? 0) + 1);
  }
  return [...groups.values()];
}

/** Cells that are kept, or of custom masks, that hold the value of a masked field of their own row, or equal one of any row. */
function leaksOf({ table, columns: all, rows }: TableRows, clock: Clock): readonly SampleLeak[] {
  const columns = all.flatMap(partsOf);
  const kept = columns.filter(
    ({ mask, source }) => (mask.method === 'keep' || mask.method === 'custom') && source.kind !== 'meta',
  );
  const masked = columns.filter(({ mask, source }) => mask.method !== 'keep' && source.kind !== 'meta');
  return masked.flatMap((column) => {
    const raw = rawTexts(rows, column, clock);
    const anywhere = new Set(raw.flat());
    return kept.flatMap(({ name }) => {
      const leaking = rows.filter((row, i) => {
        const cell = cellOf(row, name);
        return cell !== null && (anywhere.has(cell) || (raw[i] ?? []).some((text) => cell.includes(text)));
      }).length;
      const [shown, hidden] = [columnName(table, name), columnName(table, column.name)];
      return leaking === 0 ? [] : [{ column: shown, masked: hidden, rows: leaking }];
    });
  });
}

function rawTexts(
  rows: readonly Rehearsed[],
  column: ColumnSpec,
  clock: Clock,
): readonly (readonly string[])[] {
  return rawValues(column, rows, clock).map((value) => {
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    return list
      .filter((one) => typeof one === 'string' || typeof one === 'number')
      .map((one) => String(one).trim())
      .filter((text) => text.length >= TELLING_CHARACTERS);
  });
}
