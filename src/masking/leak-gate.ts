// The last look at a masked batch before it leaves `transform`: does it hold a raw value that was just masked? It
// reads the values from the messages itself, and so depends on nothing that the masks did.

import { isDeepStrictEqual } from 'node:util';
import type { Batch, MaskedBatch } from '../batch.js';
import type { Clock } from '../clock.js';
import { lineEnds } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { type OnLeak, type Section, kindOf, searchSections } from './leak-search.js';
import type { ColumnPolicy } from './methods.js';
import { allColumns, partsOf } from './parts.js';
import { rawValueReader, tablesOf } from './raw-values.js';

/** Stops batches that would carry raw values away. */
export interface LeakGate {
  /**
   * Throws `leak_found`, which names columns and counts, when the rows of a batch for any of its tables, or the codes,
   * paths and ids beside them, hold a value that was masked. Synchronous; its time grows with the size of the batch.
   */
  check(batch: Batch, masked: MaskedBatch): void;
}

const rejectionCode = /^[a-z_]{1,32}$/;

/** A table of the policy, as its rows are to be. */
type Table = Omit<Section, 'rows' | 'records'>;

/** The gate of one pipeline. Throws `config_invalid` for columns that can't be read. */
export function compileLeakGate(policy: ColumnPolicy, clock: Clock): LeakGate {
  const reader = rawValueReader(policy, clock);
  const tables = tablesOf(policy).map(({ table, columns: all, each }, number): Table => {
    const columns = all.filter((spec) => spec.mask.method !== 'drop');
    return { number, table, columns, kinds: columns.map(kindOf), list: each?.path ?? null };
  });
  const paths = pathsOf(policy);
  return {
    check: (batch, masked) => {
      const raw = reader.read(batch, masked);
      const found = new Findings(tables);
      const sections = sectionsOf(masked, tables, found);
      if (raw === null || !sections.every((section, i) => hasRows(section, raw.records[i])))
        found.note('its rows are not those of its messages');
      else searchSections(sections, raw, found.add);
      const strange = masked.rejections.filter(
        ({ code, path }) => !paths.has(path) || !rejectionCode.test(code),
      );
      if (strange.length > 0)
        found.note(`${strange.length} of its rejections have a path or a code that is no configured one`);
      found.throwIfAny(batch, masked);
    },
  };
}

/** The paths that a rejection may name. */
function pathsOf(policy: ColumnPolicy): ReadonlySet<string | null> {
  const columns = allColumns(policy).flatMap((spec) => [spec, ...partsOf(spec)]);
  const lists = tablesOf(policy).map(({ each }) => each?.path ?? null);
  return new Set([null, '*', ...columns.map((spec) => spec.path), ...lists]);
}

const NO_ROWS = { rows: Buffer.alloc(0), records: [] };

/** The rows of each table. It is a finding when they are for other tables or columns. */
function sectionsOf(masked: MaskedBatch, tables: readonly Table[], found: Findings): readonly Section[] {
  const { columns, rows, several } = masked;
  const own = { table: several?.table ?? '', columns, rows, records: [...masked.keys.keys()] };
  const parts = [own, ...(several?.further ?? [])];
  const namesOf = (some: readonly { readonly table: string }[]): readonly string[] =>
    some.map(({ table }) => table);
  const columnsOf = tables.map((table) => table.columns.map(({ name }) => name));
  if (!isDeepStrictEqual(namesOf(parts), namesOf(tables)))
    found.note('its tables are not the configured ones');
  else if (
    !isDeepStrictEqual(
      parts.map((part) => [...part.columns]),
      columnsOf,
    )
  )
    found.note('its columns are not the configured ones');
  return tables.map((table, i) => {
    const { rows: lines, records } = parts[i] ?? NO_ROWS;
    return { ...table, rows: lines, records };
  });
}

/** Whether a section has a row for each that the messages make. */
function hasRows({ rows, records }: Section, expected: readonly number[] | undefined): boolean {
  return isDeepStrictEqual([...records], expected) && lineEnds(rows).length === records.length;
}

/** What was found, by the column that masks it and the column that shows it. */
class Findings {
  readonly #tables: readonly Table[];
  readonly #records = new Map<string, Set<number>>();
  readonly #notes: string[] = [];

  constructor(tables: readonly Table[]) {
    this.#tables = tables;
  }

  readonly add: OnLeak = (column, shownIn, record) => {
    const [name, shown] = [column, shownIn].map(({ spec, table }) =>
      table === 0 ? spec.name : `${this.#tables[table]?.table ?? ''}.${spec.name}`,
    );
    const what = name === shown ? `${name} is not masked` : `what ${name} masks is in ${shown}`;
    const records = this.#records.get(what) ?? new Set();
    this.#records.set(what, records.add(record));
  };

  note(text: string): void {
    this.#notes.push(text);
  }

  throwIfAny(batch: Batch, masked: MaskedBatch): void {
    const found = [...this.#records].map(
      ([what, { size }]) => `${what} (${size} of ${masked.keys.length} rows)`,
    );
    const all = [...found, ...this.#notes];
    if (all.length === 0) return;
    throw new PipelineError(
      'leak_found',
      `pipeline ${batch.pipeline}: the leak gate stopped batch ${batch.batchId}: ${all.join('; ')}: compare the fields of these columns, and mask or drop what repeats a masked one`,
    );
  }
}
