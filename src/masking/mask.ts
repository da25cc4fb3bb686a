import type {
  Batch,
  InputRecord,
  MaskedBatch,
  MessageHead,
  RecordKey,
  Rejection,
  RejectionCode,
} from '../batch.js';
import type { Clock } from '../clock.js';
import { NULL_FIELD, encodeRows } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import type { CustomPlace, CustomSettings } from './custom.js';
import { groupsOf } from './groups.js';
import type { Keyring } from './keyring.js';
import { asMasked } from './masked.js';
import { type TableLimits, beyondLimit } from './limits.js';
import { maskOf, placeOf } from './masks.js';
import { type ColumnPolicy, type ColumnSpec, needsKeyId, tokenMaskOf } from './methods.js';
import { masksOf, partsOf } from './parts.js';
import { sealRaw } from './quarantined.js';
import type { RawRecord } from './raw-record.js';
import { companionReaderOf, readerOf } from './reading.js';
import { type Normalized, noneNormalized } from './refusal.js';
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
  const columns = compileColumns(policy, keyring, clock, placeOf(policy, settings));
  const copied = columns.map((column) => column.spec.mask.method !== 'drop');
  const known = knownFields(policy);
  const vaulted = columns.filter(({ spec }) => isVaulted(spec));
  return {
    wanted: (batch) => (vaulted.length === 0 ? [] : wantedBy(batch, policy, vaulted, keyring)),
    mask: (batch, tokens) => {
      const ready = tokens === undefined ? columns : withTokens(columns, tokens, keyring);
      const work = readBodies(batch, policy);
      const normalized = noneNormalized();
      const cells = ready.map((column) => {
        const fields = maskColumn(work, column, normalized);
        if (limits) refuseBeyond(work, column.spec, fields, limits);
        return fields;
      });
      const fieldsDropped = checkUnknownFields(work, policy, known);
      const masked = countMasked(work, columns, cells);
      const isKeyed = columns.some(({ spec }) => isKeyedMask(spec) && (masked[spec.mask.method] ?? 0) > 0);
      const rejections = sealRejections(work, policy, keyring, clock);
      return {
        masked: {
          batchId: batch.batchId,
          runId: batch.runId,
          pipeline: batch.pipeline,
          messages: batch.messages.length,
          ...groupsOf(batch),
          receivedAt: batch.messages.reduce(
            (first, head) => Math.min(first, head.receivedAt),
            Number.MAX_SAFE_INTEGER,
          ),
          policySha256: policy.sha256,
          kids: isKeyed ? [keyring.primaryKid] : [],
          columns: policy.columns.filter((_, c) => copied[c] === true).map((spec) => spec.name),
          keys: work.live.map((i) => keyOf(batch, i)),
          rows: asMasked(
            encodeRows(
              cells.filter((_, c) => copied[c] === true),
              work.live,
            ),
          ),
          rejections,
        },
        counts: { rows: work.live.length, rejected: rejections.length, masked, normalized, fieldsDropped },
      };
    },
  };
}

function compileColumns(
  policy: ColumnPolicy,
  keyring: Keyring,
  clock: Clock,
  place: CustomPlace,
): readonly CompiledColumn[] {
  if (policy.columns.every(({ mask }) => mask.method === 'drop')) {
    throw new PipelineError(
      'config_invalid',
      `pipeline ${policy.pipeline} copies no column: keep or mask at least one`,
    );
  }
  return policy.columns.map((spec) => ({
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
): void {
  const limit = limits.current?.get(name);
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
  vaulted: readonly CompiledColumn[],
  keyring: Keyring,
): readonly VaultEntry[] {
  const entries = new VaultEntries(keyring);
  const work = readBodies(batch, policy);
  for (const column of vaulted)
    maskColumn(work, { ...column, mask: maskOf(column.spec, keyring, entries.add) }, noneNormalized());
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
  work: Work,
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
    counts[method] = work.live.filter(isMasked).length;
  }
  return counts;
}

function sealRejections(
  work: Work,
  policy: ColumnPolicy,
  keyring: Keyring,
  clock: Clock,
): readonly Rejection[] {
  return work.reasons.flatMap((reason, i) => {
    if (!reason) return [];
    const quarantineId = clock.id();
    return [
      {
        ...keyOf(work.batch, i),
        quarantineId,
        ...reason,
        kind: 'raw' as const,
        ...sealRaw(keyring, quarantineId, rawRecordOf(work.batch, i)),
        held: policy.onReject === 'dlq',
      },
    ];
  });
}

/** What was rejected for these had been opened. */
const OPENED: ReadonlySet<RejectionCode> = new Set(['crashed_worker', 'no_route']);

function rawRecordOf(batch: Batch, i: number): RawRecord {
  const { record, head } = recordAt(batch, i);
  const { receivedAt, attributes, groupId, sequenceNumber } = head;
  return {
    body: record.body,
    badEnvelope: record.rejected !== undefined && !OPENED.has(record.rejected),
    receivedAt,
    attributes,
    ...(groupId === undefined ? {} : { groupId }),
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
  };
}

function keyOf(batch: Batch, i: number): RecordKey {
  const { record, head } = recordAt(batch, i);
  return { id: record.id, sentAt: head.sentAt, messageId: head.messageId, message: record.message };
}

function recordAt(batch: Batch, i: number): { readonly record: InputRecord; readonly head: MessageHead } {
  const record = batch.records[i];
  const head = record && batch.messages[record.message];
  if (!head) throw new RangeError('no such record');
  return { record, head };
}
