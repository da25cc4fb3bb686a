// Masked rows of the quarantine as batches: they are loaded as they are, into the tables that they were masked for.

import type { Clock } from '../clock.js';
import type { TableConfig } from '../config/tables.js';
import type { QuarantineEntry } from '../load/quarantine-entries.js';
import type { ReplayBatch, Stay } from '../load/replay.js';
import type { CatalogColumn } from '../load/target-catalog.js';
import { type MaskedTable, joinRows, linesOf } from '../masking/quarantined.js';
import { namedTable } from './tables.js';

/** A table of a pipeline, with its columns as the database has them now; none where it has no such table. */
export interface TableNow extends Pick<TableConfig, 'target' | 'columns'> {
  readonly found: readonly Pick<CatalogColumn, 'name' | 'generated'>[];
}

/** A refused record, and its rows by table. */
export interface MaskedEntry {
  readonly entry: QuarantineEntry;
  readonly rows: readonly MaskedTable[];
}

/** SQLSTATEs (PostgreSQL documentation, appendix A): undefined_table, undefined_column and generated_always. */
const UNDEFINED_TABLE = '42P01';
const UNDEFINED_COLUMN = '42703';
const GENERATED_ALWAYS = '428C9';

/**
 * Why the tables can't take a masked record any more; null when they may. It is one row of the pipeline's first table:
 * by that its records are counted.
 */
export function unfit(tables: readonly TableNow[], { entry, rows }: MaskedEntry): Stay | null {
  const { id } = entry;
  for (const [i, part] of rows.entries()) {
    const at = placeOf(tables, part);
    const table = tables[at];
    const isInPlace = i === 0 ? at === 0 && linesOf(part.rows).length === 1 : at > 0;
    if (!table || !isInPlace) return { id, code: `refused_${UNDEFINED_TABLE}`, path: null };
    for (const name of part.columns) {
      const found = table.found.find((column) => column.name === name);
      if (found && !found.generated) continue;
      const path = table.columns.find((column) => column.name === name)?.path ?? null;
      return { id, code: `refused_${found ? GENERATED_ALWAYS : UNDEFINED_COLUMN}`, path };
    }
  }
  return null;
}

/** Which of the tables rows are for; -1: of none. */
function placeOf(tables: readonly TableNow[], { table }: MaskedTable): number {
  const named = namedTable(tables, table);
  return named ? tables.indexOf(named) : -1;
}

/** A batch for each list of tables and columns, and policy under which rows were masked. */
export function maskedBatches(
  about: Pick<ReplayBatch, 'runId' | 'pipeline'>,
  tables: readonly TableNow[],
  entries: readonly MaskedEntry[],
  clock: Clock,
): readonly ReplayBatch[] {
  const groups = new Map<string, MaskedEntry[]>();
  for (const one of entries) {
    const layout = one.rows.map(({ table, columns }) => [table, columns]);
    const key = JSON.stringify([layout, one.entry.policy_sha256]);
    const group = groups.get(key);
    if (group) group.push(one);
    else groups.set(key, [one]);
  }
  return [...groups.values()].map((group) => maskedBatch(about, tables, group, clock));
}

function maskedBatch(
  about: Pick<ReplayBatch, 'runId' | 'pipeline'>,
  tables: readonly TableNow[],
  group: readonly MaskedEntry[],
  clock: Clock,
): ReplayBatch {
  const [first] = group;
  const [own, ...others] = first?.rows ?? [];
  // Without the fate of its batch, of a row's keys only that is known under which it was sealed, at about that time.
  const kids = group.flatMap(({ entry }) => entry.kids ?? [entry.kid]);
  return {
    ...about,
    batchId: clock.id(),
    receivedAt: clock.now(),
    policySha256: first?.entry.policy_sha256 ?? null,
    kids: [...new Set(kids)].sort((a, b) => a - b),
    columns: own?.columns ?? [],
    rows: joinRows(partsOf(group, 0)),
    ...(own && own.table !== null
      ? { several: { table: own.table, further: furtherOf(tables, group, others) } }
      : {}),
    ids: group.map(({ entry }) => entry.id),
    sentAts: group.map(({ entry }) => Date.parse(entry.sent_at)),
    stays: [],
    unopened: [],
  };
}

/** The i-th table's rows of each record. */
function partsOf(group: readonly MaskedEntry[], i: number): readonly MaskedTable['rows'][] {
  return group.flatMap(({ rows }) => rows[i]?.rows ?? []);
}

/** In the order of today: what rows refer to is to be there before them. */
function furtherOf(
  tables: readonly TableNow[],
  group: readonly MaskedEntry[],
  others: readonly MaskedTable[],
): NonNullable<ReplayBatch['several']>['further'] {
  return others
    .map((one, i) => {
      const parts = partsOf(group, i + 1);
      return {
        place: placeOf(tables, one),
        table: one.table ?? '',
        columns: one.columns,
        records: parts.flatMap((rows, record) => linesOf(rows).map(() => record)),
        rows: joinRows(parts),
      };
    })
    .toSorted((a, b) => a.place - b.place)
    .map(({ place: _, ...section }) => section);
}
