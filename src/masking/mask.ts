import type { Batch, FurtherRows, MaskedBatch } from '../batch.js';
import type { Clock } from '../clock.js';
import { NULL_FIELD, encodeRows } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import type { CustomPlace, CustomSettings } from './custom.js';
import { type CompiledTable, type FurtherCells, liveRows, maskFurther } from './further.js';
import { groupsOf } from './groups.js';
import type { Keyring } from './keyring.js';
import { asMasked } from './masked.js';
import { type TableLimits, beyondLimit } from './limits.js';
import { maskOf, placeOf } from './masks.js';
import { type ColumnPolicy, type ColumnSpec, tokenMaskOf } from './methods.js';
import { masksOf, needsKeyId, partsOf } from './parts.js';
import { companionReaderOf, readerOf } from './reading.js';
import { type Normalized, noneNormalized } from './refusal.js';
import { keyOf, sealRejections } from './rejections.js';
import { type CompiledColumn, type Work, liveOf, maskColumn, readBodies } from './rows.js';
import { sentinelTest } from './sentinels.js';
import { selfTest } from './siv.js';
import { type KnownFields, eachUnknown, knownFields } from './unknown-fields.js';
import { VaultEntries, type VaultEntry, type VaultTokens, foundTokens } from './vault.js';

/** What masking a batch did, for the metrics. */
export interface MaskCounts {
  readonly rows: number;
  readonly rejected: number;
  /** Rows by the method that masked a value of theirs; `keep` masks nothing. */
  readonly masked: Readonly<{ [method: string]: number }>;
  /** Values changed before they were masked, by kind, in whatever became of their records. */
  readonly normalized: Readonly<Normalized>;
  /** Fields that no column takes, in rows. */
  readonly fieldsDropped: number;
}

/** What became of a batch's records. */
export interface Masking {
  readonly masked: MaskedBatch;
  readonly counts: MaskCounts;
}

/** Masks batches of one pipeline. Synchronous; keeps nothing of a batch. */
export interface Masker {
  /**
   * COPY-ready rows of the records that can go on, sealed rejections of those that cannot. Throws `key_unavailable`:
   * a key error is never a record's fault. `tokens` are the vault's for what the batch wanted of it; without them,
   * columns of the method `vault` throw.
   */
  mask(batch: Batch, tokens?: VaultTokens): Masking;
}

/** Masks batches, in whatever time it takes. */
export interface BatchMasker {
  mask(batch: Batch): Masking | Promise<Masking>;
}

/** A masker that says beforehand what it will need of the vault. */
export interface VaultMasker extends Masker {
  /** What the batch's columns of the method `vault` hold, each value once; empty without such columns. */
  wanted(batch: Batch): readonly VaultEntry[];
}

/** What the table refuses, as it is known at the time; see `beyondLimit`. */
export interface KnownLimits {
  readonly current: TableLimits | null;
  /** The same for a further table, by its `schema.table`. */
  ofTable?(table: string): TableLimits | null;
  /** Called for each record that is refused by them. */
  noteRefusal(): void;
}

/** What a masker works with besides its policy and keys. */
export interface MaskerSettings extends CustomSettings {
  readonly limits?: KnownLimits;
}

const ANY_OTHER_KEY = '*';

/**
 * Prepares a policy: derives its keys, tests the cipher, and starts the threads of custom masks, which `settings` are
 * for. Throws `key_unavailable` or `config_invalid`.
 */
export function compileMasker(
  policy: ColumnPolicy,
  keyring: Keyring,
  clock: Clock,
  { limits, ...settings }: MaskerSettings = {},
): VaultMasker {
  selfTest();
  const { columns, tables } = compileTables(policy, keyring, clock, placeOf(policy, settings));
  const all = [columns, ...tables.map((table) => table.columns)].flat();
  const copied = columns.map((column) => column.spec.mask.method !== 'drop');
  const known = knownFields(policy);
  const isAnyVaulted = all.some(({ spec }) => isVaulted(spec));
  return {
    wanted: (batch) => (isAnyVaulted ? wantedBy(batch, policy, columns, tables, keyring) : []),
    mask: (batch, tokens) => {
      const ready = (some: readonly CompiledColumn[]): readonly CompiledColumn[] =>
        tokens === undefined ? some : withTokens(some, tokens, keyring);
      const work = readBodies(batch, policy);
      const normalized = noneNormalized();
      const cells = ready(columns).map((column) => {
        const fields = maskColumn(work, column, normalized);
        if (limits) refuseBeyond(work, column.spec, fields, limits, limits.current);
        return fields;
      });
      const further = tables.map(({ spec, columns: own }) =>
        maskFurther(work, { spec, columns: ready(own) }, normalized, (rows, column, fields) => {
          if (limits) refuseBeyond(rows, column, fields, limits, limits.ofTable?.(spec.table) ?? null);
        }),
      );
      const fieldsDropped = checkUnknownFields(work, policy, known);
      const masked = countMasked(work.live, columns, cells);
      const furtherRows = encodeFurther(further, work.live, masked);
      const isKeyed = all.some(({ spec }) => isKeyedMask(spec) && (masked[spec.mask.method] ?? 0) > 0);
      const rejections = sealRejections(work, policy, keyring, clock);
      return {
        masked: {
          ...headOf(batch, policy),
          kids: isKeyed ? [keyring.primaryKid] : [],
          keys: work.live.map((i) => keyOf(batch, i)),
          rows: asMasked(
            encodeRows(
              cells.filter((_, c) => copied[c] === true),
              work.live,
            ),
          ),
          rejections,
          ...(policy.several ? { several: { table: policy.several.table, further: furtherRows } } : {}),
        },
        counts: { rows: work.live.length, rejected: rejections.length, masked, normalized, fieldsDropped },
      };
    },
  };
}

/** What is true of a masked batch whatever its values. */
function headOf(
  batch: Batch,
  { sha256, columns }: ColumnPolicy,
): Omit<MaskedBatch, 'kids' | 'keys' | 'rows' | 'rejections'> {
  const { batchId, runId, pipeline, messages } = batch;
  return {
    batchId,
    runId,
    pipeline,
    messages: messages.length,
    ...groupsOf(batch),
    receivedAt: messages.reduce((first, head) => Math.min(first, head.receivedAt), Number.MAX_SAFE_INTEGER),
    policySha256: sha256,
    columns: columns.filter(({ mask }) => mask.method !== 'drop').map(({ name }) => name),
  };
}

/** The rows of further tables that go on; how many were masked is added to `masked`. */
function encodeFurther(
  tables: readonly FurtherCells[],
  live: readonly number[],
  masked: { [method: string]: number },
): readonly FurtherRows[] {
  return tables.map((cells) => {
    const { fields, places, ...rows } = liveRows(cells, live);
    const counts = countMasked(places, cells.table.columns, cells.cells);
    for (const [method, count] of Object.entries(counts)) masked[method] = (masked[method] ?? 0) + count;
    return { ...rows, rows: asMasked(encodeRows(fields, places)) };
  });
}

/** The columns of the first table, and the further tables. */
function compileTables(
  policy: ColumnPolicy,
  keyring: Keyring,
  clock: Clock,
  place: CustomPlace,
): { readonly columns: readonly CompiledColumn[]; readonly tables: readonly CompiledTable[] } {
  return {
    columns: compileColumns(policy, policy.columns, keyring, clock, place),
    tables: (policy.several?.further ?? []).map((spec) => ({
      spec,
      columns: compileColumns(policy, spec.columns, keyring, clock, place),
    })),
  };
}

function compileColumns(
  { pipeline }: ColumnPolicy,
  columns: readonly ColumnSpec[],
  keyring: Keyring,
  clock: Clock,
  place: CustomPlace,
): readonly CompiledColumn[] {
  if (columns.every(({ mask }) => mask.method === 'drop')) {
    throw new PipelineError(
      'config_invalid',
      `pipeline ${pipeline} copies no column into one of its tables: keep or mask at least one`,
    );
  }
  return columns.map((spec) => ({
    spec,
    read: readerOf(spec, clock, keyring.primaryKid),
    companion: companionReaderOf(spec),
    isSentinel: sentinelTest(spec),
    mask: maskOf(spec, keyring, undefined, place),
  }));
}

/** Rejects the records of which the table would refuse this column's field. */
function refuseBeyond(
  work: Work,
  { name, path, mask }: ColumnSpec,
  fields: readonly string[],
  limits: KnownLimits,
  ofTable: TableLimits | null,
): void {
  const limit = ofTable?.get(name);
  if (!limit || mask.method === 'drop') return;
  for (const i of work.live) {
    const code = beyondLimit(fields[i] ?? NULL_FIELD, limit);
    if (code === null) continue;
    work.reasons[i] = { code, path };
    limits.noteRefusal();
  }
  work.live = liveOf(work.reasons);
}

/** Whether results need a key to be made. */
function isKeyedMask(spec: ColumnSpec): boolean {
  return partsOf(spec).some((part) => tokenMaskOf(part) !== null || needsKeyId(part.mask));
}

function isVaulted(spec: ColumnSpec): boolean {
  return masksOf(spec).some(({ method }) => method === 'vault');
}

/** What vault columns hold, by masking them with tokens that nobody is to see. */
function wantedBy(
  batch: Batch,
  policy: ColumnPolicy,
  columns: readonly CompiledColumn[],
  tables: readonly CompiledTable[],
  keyring: Keyring,
): readonly VaultEntry[] {
  const entries = new VaultEntries(keyring);
  const asking = (all: readonly CompiledColumn[]): readonly CompiledColumn[] =>
    all
      .filter(({ spec }) => isVaulted(spec))
      .map((column) => ({ ...column, mask: maskOf(column.spec, keyring, entries.add) }));
  const work = readBodies(batch, policy);
  for (const column of asking(columns)) maskColumn(work, column, noneNormalized());
  for (const { spec, columns: own } of tables)
    maskFurther(work, { spec, columns: asking(own) }, noneNormalized());
  return entries.sorted();
}

/** The same columns; those of the vault take their tokens from what was found. */
function withTokens(
  columns: readonly CompiledColumn[],
  tokens: VaultTokens,
  keyring: Keyring,
): readonly CompiledColumn[] {
  return columns.map((column) => {
    const { spec } = column;
    if (!isVaulted(spec)) return column;
    return { ...column, mask: maskOf(spec, keyring, foundTokens(tokens, spec)) };
  });
}

/** Counts the fields that no column takes, or rejects their records, as the policy has it. */
function checkUnknownFields(work: Work, policy: ColumnPolicy, known: KnownFields): number {
  let dropped = 0;
  for (const i of work.live) {
    let unknown = 0;
    eachUnknown(work.rows[i]?.fields, known, () => (unknown += 1));
    if (unknown === 0) continue;
    if (policy.onUnknownField === 'drop') dropped += unknown;
    else work.reasons[i] = { code: 'unknown_field', path: ANY_OTHER_KEY };
  }
  if (policy.onUnknownField === 'quarantine') work.live = liveOf(work.reasons);
  return dropped;
}

function countMasked(
  live: readonly number[],
  columns: readonly CompiledColumn[],
  cells: readonly (readonly string[])[],
): { [method: string]: number } {
  const counts: { [method: string]: number } = {};
  for (const method of new Set(columns.map((column) => column.spec.mask.method))) {
    if (method === 'keep') continue;
    const ofMethod = cells.filter((_, c) => columns[c]?.spec.mask.method === method);
    const leavesNothing = method === 'null' || method === 'drop';
    const isMasked = (i: number): boolean =>
      leavesNothing || ofMethod.some((fields) => fields[i] !== NULL_FIELD);
    counts[method] = live.filter(isMasked).length;
  }
  return counts;
}
