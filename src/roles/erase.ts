// Everything that maskline keeps of one subject, done away with as far as it can be found, and a certificate of it.

import type { PipelineConfig } from '../config/config.js';
import { type TableConfig, tablesOf } from '../config/tables.js';
import { PipelineError } from '../errors.js';
import { type OriginColumns, originColumns } from '../load/baseline.js';
import type { PostgresPool } from '../load/connection.js';
import type { TableName } from '../load/copy.js';
import type { ErasedColumn, ErasureMode, ErasureTarget, ReferringTable } from '../load/erased-rows.js';
import { type ErasedVault, certifyErasure, eraseColumn, eraseVault, forgetErased } from '../load/erasure.js';
import { deleteEntries, pageContents } from '../load/quarantine-entries.js';
import { readReferences } from '../load/references.js';
import { readCatalog } from '../load/target-catalog.js';
import { canonicalEntity } from '../masking/date-shift.js';
import { holdsStored, holdsValue, storedForms, vaultLookups } from '../masking/erasure.js';
import type { Keyring } from '../masking/keyring.js';
import { openMasked, openRaw } from '../masking/quarantined.js';
import type { ColumnSpec } from '../masking/methods.js';
import { allColumns, partsOf } from '../masking/parts.js';
import { kidColumnsOf } from '../masking/remask-rows.js';
import { subjectHmac } from '../masking/vault.js';
import type { Unsearched } from './unsearched.js';

/** Whose traces go, at whose word, and how. */
export interface ErasureOrder {
  readonly keyring: Keyring;
  readonly pipelines: readonly PipelineConfig[];
  readonly subject: string;
  readonly who: { readonly osUser: string; readonly purpose: string; readonly ticket: string | null };
  readonly mode: ErasureMode;
  /** Counts, and changes nothing; nor does it go on record. */
  readonly dryRun: boolean;
  /** Whether these are all pipelines: then the quarantine is searched for those that there were before, too. */
  readonly isWhole: boolean;
  /** Where else it may be: for the certificate. */
  readonly unsearched: readonly Unsearched[];
}

/** What went, or would go. */
export interface ErasureReport {
  readonly vault: ErasedVault;
  readonly columns: readonly ErasedColumn[];
  readonly quarantine: {
    readonly entries: number;
    /** Entries that could not be opened, so that nobody knows what is in them. */
    readonly unsearched: number;
  };
  readonly not_searched: readonly Unsearched[];
}

/** An error about one entry's own bytes or key, which leaves the others unharmed. */
const ENTRY_ERRORS: readonly string[] = ['key_unavailable', 'payload_newer', 'payload_corrupt'];

/**
 * Erases. First it goes on record that it begins; the vault, the tables and the certificate are one transaction, and
 * doing it again is harmless. Throws `usage` for what is no subject, `permission_denied`, `postgres_unavailable`.
 */
export async function erase(pool: PostgresPool, order: ErasureOrder): Promise<ErasureReport> {
  const subject = canonicalEntity(order.subject);
  if (typeof subject !== 'string')
    throw new PipelineError('usage', 'the subject is empty, or holds characters that no value can');
  const { dryRun, who } = order;
  const erasure = dryRun
    ? null
    : await pool.transaction((client) => certifyErasure(client, who, 'begun', null));
  const quarantine = await eraseQuarantine(pool, order, subject);
  const places = await placesOf(pool, order, erasure);
  return pool.transaction(async (client) => {
    const { keyring, pipelines } = order;
    const columns: ErasedColumn[] = [];
    // What refers to others goes before them.
    for (const { target, columns: specs } of places.toReversed()) {
      const [kidColumn = null] = kidColumnsOf({ columns: specs });
      for (const spec of specs) {
        for (const isClear of [false, true]) {
          const parts = partsOf(spec).filter(({ mask }) => (mask.method === 'keep') === isClear);
          const forms = parts.flatMap((part) => storedForms(part, keyring, subject) ?? []);
          if (forms.length === 0) continue;
          columns.push(
            ...(await eraseColumn(client, target, { name: spec.name, forms, isClear, kidColumn })),
          );
        }
      }
    }
    if (!dryRun) await forgetErased(client);
    // At the end, as nobody else can change the vault meanwhile.
    const subjects = keyring.kids().map((kid) => subjectHmac(keyring, subject, kid));
    const specs = pipelines.flatMap(({ policy }) => allColumns(policy).flatMap(partsOf));
    const lookups = specs.flatMap((column) => vaultLookups(column, keyring, subject));
    const vault = await eraseVault(client, subjects, lookups, dryRun);
    const report = {
      vault,
      columns: columns.filter(({ rows, action }) => rows > 0 || action === 'not_searched'),
      quarantine,
      not_searched: order.unsearched,
    };
    if (!dryRun) await certifyErasure(client, who, 'done', JSON.stringify(report));
    return report;
  });
}

/** A table to be searched, and the columns that a pipeline has there. */
interface SearchedTable {
  readonly target: ErasureTarget;
  readonly columns: readonly ColumnSpec[];
}

/** The tables that are there, in the order of the pipelines and of their tables, with what refers to them. */
async function placesOf(
  pool: PostgresPool,
  { pipelines, mode }: ErasureOrder,
  erasure: number | null,
): Promise<readonly SearchedTable[]> {
  const all = pipelines.flatMap((pipeline) =>
    tablesOf(pipeline).map((table) => ({ ...table, pipeline: pipeline.name })),
  );
  const places: (SearchedTable & { readonly target: { readonly referring: ReferringTable[] } })[] = [];
  for (const { pipeline, target, columns } of all) {
    const { table: catalog } = await readCatalog(pool, target);
    if (!catalog) continue;
    const origin = originOf(all, target);
    places.push({ columns, target: { pipeline, target, catalog, origin, erasure, mode, referring: [] } });
  }
  for (const { target } of places) {
    for (const { columns, ...name } of await readReferences(pool, target.target)) {
      const referring = places.find((one) => isSameTable(one.target.target, name));
      if (referring) target.referring.push({ target: referring.target, columns });
    }
  }
  return places;
}

function isSameTable(one: TableName, other: TableName): boolean {
  return one.schema === other.schema && one.table === other.table;
}

/** Of the pipelines that share a table, any may tell what its rows came from. */
function originOf(
  tables: readonly Pick<TableConfig, 'target' | 'columns'>[],
  name: TableName,
): OriginColumns {
  const all = tables
    .filter(({ target }) => isSameTable(target, name))
    .map(({ columns }) => originColumns(columns));
  return {
    messageId: all.find(({ messageId }) => messageId !== null)?.messageId ?? null,
    batchId: all.find(({ batchId }) => batchId !== null)?.batchId ?? null,
  };
}

/** Entries are sealed, so each is opened and looked through. */
async function eraseQuarantine(
  pool: PostgresPool,
  { keyring, pipelines, dryRun, isWhole }: ErasureOrder,
  subject: string,
): Promise<ErasureReport['quarantine']> {
  const stored = new Set(
    pipelines.flatMap(({ policy }) =>
      allColumns(policy)
        .flatMap(partsOf)
        .flatMap((column) => (storedForms(column, keyring, subject) ?? []).map((form) => form.stored)),
    ),
  );
  const filter = {
    ids: null,
    pipelines: isWhole ? [] : pipelines.map(({ name }) => name),
    codes: [],
    withoutCodes: [],
    since: null,
    until: null,
    state: 'any',
  } as const;
  let entries = 0;
  let unsearched = 0;
  for await (const page of pageContents(pool, filter)) {
    const found: string[] = [];
    for (const entry of page) {
      try {
        const isFound =
          entry.kind === 'raw'
            ? holdsValue(openRaw(keyring, entry), subject)
            : openMasked(keyring, entry).some(({ rows }) => holdsStored(rows, stored));
        if (isFound) found.push(entry.id);
      } catch (error) {
        if (!(error instanceof PipelineError) || !ENTRY_ERRORS.includes(error.code)) throw error;
        unsearched += 1;
      }
    }
    entries += dryRun || found.length === 0 ? found.length : await deleteEntries(pool, found, 'any');
  }
  return { entries, unsearched };
}
