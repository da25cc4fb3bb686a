import type { BatchReport, MaskedBatch, RecordKey, Rejection } from '../batch.js';
import type { Stops } from './groups.js';
import type { LinedEntry, Refusal } from './isolate.js';
import { ledgerKey } from './ledger.js';
import { type MaskedForm, maskedRecord, maskedRow } from './quarantine.js';
import { type Section, countRows, rowsOf } from './sections.js';

/** A record of the batch that has to be settled: a row, or a rejection. */
export interface Entry extends LinedEntry {
  readonly key: RecordKey;
  readonly rejection: Rejection | null;
}

/** A batch's records, each once. */
export interface Sorted {
  readonly entries: readonly Entry[];
  /** Lines whose record came before in the same batch. */
  readonly repeatedLines: ReadonlySet<number>;
  /** Lines whose message is held. */
  readonly heldLines: ReadonlySet<number>;
  /** Records that came before in the same batch. */
  readonly repeated: number;
  /** Records that are left to SQS, by `on_reject: dlq` or with their group: no table hears of them. */
  readonly heldRecords: number;
  /** Indexes of their messages. */
  readonly held: readonly number[];
}

/** What became of a batch's records; indexes are those of the entries. */
export interface Tally {
  readonly known: ReadonlySet<number>;
  readonly refused: ReadonlyMap<number, Refusal>;
  readonly bytes: number;
}

/** Tells the batch's distinct records from repeats and from what is held. */
export function sortOut(batch: MaskedBatch, stops: Stops): Sorted {
  const seen = new Set<string>();
  const isFirst = (key: RecordKey): boolean => seen.size < seen.add(ledgerKey(key)).size;
  const entries: Entry[] = [];
  const repeatedLines = new Set<number>();
  const heldLines = new Set<number>();
  for (const [line, key] of batch.keys.entries()) {
    if (stops.isHeld(key.message)) heldLines.add(line);
    else if (isFirst(key))
      entries.push({ id: key.id, sentAt: key.sentAt, outcome: 'loaded', line, key, rejection: null });
    else repeatedLines.add(line);
  }
  const held: Rejection[] = [];
  let repeatedRejections = 0;
  for (const rejection of batch.rejections) {
    if (rejection.held || stops.isHeld(rejection.message)) {
      held.push(rejection);
      continue;
    }
    const { id, sentAt } = rejection;
    if (isFirst(rejection))
      entries.push({ id, sentAt, outcome: 'quarantined', line: null, key: rejection, rejection });
    else repeatedRejections += 1;
  }
  return {
    entries,
    repeatedLines,
    repeated: repeatedLines.size + repeatedRejections,
    heldLines,
    heldRecords: heldLines.size + held.length,
    held: [...new Set([...held.map((rejection) => rejection.message), ...stops.held])].sort((a, b) => a - b),
  };
}

/** How refused rows are put away. */
export interface RefusedRows {
  /** Seals under the quarantine key; `id` is the quarantine row's. Throws `key_unavailable`. */
  readonly seal: Seal;
  readonly newId: () => string;
}

/** Seals what is left of a refused record under the quarantine key. */
export type Seal = (
  id: string,
  plain: Buffer,
  form: MaskedForm,
) => { readonly kid: number; readonly sealed: Buffer };

/** What goes to quarantine: the rejections that the ledger did not know, and the rows that the table refused. */
export function toQuarantine(
  sections: readonly Section[],
  sorted: Sorted,
  tally: Tally,
  how: RefusedRows,
): readonly Rejection[] {
  const rejections: Rejection[] = [];
  for (const [index, entry] of sorted.entries.entries()) {
    if (tally.known.has(index)) continue;
    const refusal = tally.refused.get(index);
    if (entry.rejection) rejections.push(entry.rejection);
    else if (refusal && entry.line !== null) {
      const quarantineId = how.newId();
      const { column, section } = refusal;
      const path = column === null ? null : (sections[section]?.paths.get(column) ?? null);
      rejections.push({
        ...entry.key,
        quarantineId,
        code: `refused_${refusal.sqlstate}`,
        path,
        kind: 'masked',
        held: false,
        ...sealRefused(quarantineId, sections, entry.line, how.seal),
      });
    }
  }
  return rejections;
}

function sealRefused(id: string, sections: readonly Section[], record: number, seal: Seal): ReturnType<Seal> {
  const parts = sections.map((section) => {
    const { place, columns } = section;
    return { table: place.table, columns, lines: rowsOf(section, record) };
  });
  const [own] = parts;
  const [line] = own?.lines ?? [];
  return own && line && parts.length === 1
    ? seal(id, maskedRow(own.columns, line), 'row')
    : seal(id, maskedRecord(parts), 'record');
}

/** How many rows were loaded into each further table; null where there is none. */
export function furtherRows(
  [, ...further]: readonly Section[],
  sorted: Sorted,
  tally: Tally,
): { readonly [table: string]: number } | null {
  if (further.length === 0) return null;
  const loaded = new Set<number>();
  for (const [index, { line }] of sorted.entries.entries())
    if (line !== null && !tally.known.has(index) && !tally.refused.has(index)) loaded.add(line);
  return countRows(further, loaded);
}

/** The batch's report but for what is measured: it adds up by construction. */
export function report(
  batch: MaskedBatch,
  sorted: Sorted,
  tally: Tally,
  quarantined: readonly Rejection[],
): Omit<BatchReport, 'copies' | 'ms'> {
  const codes: { [code: string]: number } = {};
  for (const { code } of quarantined) codes[code] = (codes[code] ?? 0) + 1;
  return {
    batchId: batch.batchId,
    runId: batch.runId,
    pipeline: batch.pipeline,
    received: batch.keys.length + batch.rejections.length,
    loaded: sorted.entries.length - tally.known.size - quarantined.length,
    duplicates: sorted.repeated + tally.known.size,
    quarantined: quarantined.length,
    released: sorted.heldRecords,
    bytes: tally.bytes,
    codes,
  };
}
