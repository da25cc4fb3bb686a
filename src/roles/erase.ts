// Everything that maskline keeps of one subject, done away with as far as it can be found, and a certificate of it.

import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { type OriginColumns, originColumns } from '../load/baseline.js';
import type { PostgresPool } from '../load/connection.js';
import type { TableName } from '../load/copy.js';
import {
  type ErasedColumn,
  type ErasedVault,
  type ErasureMode,
  certifyErasure,
  eraseColumn,
  eraseVault,
  forgetErased,
} from '../load/erasure.js';
import { deleteEntries, pageContents } from '../load/quarantine-entries.js';
import { readCatalog } from '../load/target-catalog.js';
import { canonicalEntity } from '../masking/date-shift.js';
import { holdsStored, holdsValue, storedForms, vaultLookups } from '../masking/erasure.js';
import type { Keyring } from '../masking/keyring.js';
import { openMasked, openRaw } from '../masking/quarantined.js';
import { partsOf } from '../masking/parts.js';
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
  const tables = await Promise.all(
    order.pipelines.map(async ({ target }) => (await readCatalog(pool, target)).table),
  );
  return pool.transaction(async (client) => {
    const { keyring, pipelines, mode } = order;
    const columns: ErasedColumn[] = [];
    for (const [i, { name, policy, target }] of pipelines.entries()) {
      const catalog = tables[i];
      if (!catalog) continue;
      const [kidColumn = null] = kidColumnsOf(policy);
      const place = { pipeline: name, target, catalog, origin: originOf(pipelines, target), erasure, mode };
      for (const column of policy.columns) {
        for (const isClear of [false, true]) {
          const parts = partsOf(column).filter(({ mask }) => (mask.method === 'keep') === isClear);
          const forms = parts.flatMap((part) => storedForms(part, keyring, subject) ?? []);
          if (forms.length === 0) continue;
          columns.push(await eraseColumn(client, place, { name: column.name, forms, isClear, kidColumn }));
        }
      }
    }
    if (!dryRun) await forgetErased(client);
    // At the end, as nobody else can change the vault meanwhile.
    const subjects = keyring.kids().map((kid) => subjectHmac(keyring, subject, kid));
    const specs = pipelines.flatMap(({ policy }) => policy.columns.flatMap(partsOf));
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

/** Of the pipelines that share a table, any may tell what its rows came from. */
function originOf(pipelines: readonly PipelineConfig[], { schema, table }: TableName): OriginColumns {
  const all = pipelines
    .filter(({ target }) => target.schema === schema && target.table === table)
    .map(({ policy }) => originColumns(policy.columns));
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
      policy.columns
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
