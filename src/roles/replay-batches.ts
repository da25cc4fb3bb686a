// Quarantine entries as batches that can be loaded: raw bodies through the policy of today, masked rows as they are.

import type { Batch, MessageHead } from '../batch.js';
import type { Clock } from '../clock.js';
import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { QuarantineEntry } from '../load/quarantine-entries.js';
import type { ReplayBatch, Stay } from '../load/replay.js';
import type { Keyring } from '../masking/keyring.js';
import type { LeakGate } from '../masking/leak-gate.js';
import type { BatchMasker } from '../masking/mask.js';
import { openMasked, openRaw } from '../masking/quarantined.js';
import type { RawRecord } from '../masking/raw-record.js';
import { ownRecord } from '../source/route.js';
import { type MaskedEntry, type TableNow, maskedBatches, unfit } from './replay-masked.js';
import { type LooseRecord, type Opening, openMessage, prepareOpening } from '../source/unwrap.js';

/** What it takes to make batches of one pipeline's entries. */
export interface ReplayMaker {
  readonly pipeline: PipelineConfig;
  readonly masker: BatchMasker;
  /** Null: what was masked is not looked through again. */
  readonly leakGate: LeakGate | null;
  readonly keyring: Keyring;
  readonly clock: Clock;
  /** The pipeline's tables, the first that of its records, as they are now. */
  readonly tables: readonly TableNow[];
}

/** An entry may hold many records; batches are closed at so many, as those of an ingester are by default. */
const BATCH_RECORDS = 1_000;

/** An error about one entry's own bytes or key, which leaves the others unharmed. */
const ENTRY_ERRORS = new Set<string>(['key_unavailable', 'payload_newer', 'payload_corrupt']);

interface OpenedRaw {
  readonly entry: QuarantineEntry;
  readonly record: RawRecord;
  /** Mostly one. */
  readonly records: readonly Pick<LooseRecord, 'body' | 'rejected'>[];
}

interface Opened {
  readonly raw: OpenedRaw[];
  readonly masked: MaskedEntry[];
  readonly stays: Stay[];
  readonly empty: string[];
  readonly unopened: ReplayBatch['unopened'][number][];
}

/**
 * The entries as batches: of what was raw or can't go on, and those of `maskedBatches`. Throws `key_unavailable` when
 * the key is missing that masking needs, and `leak_found`.
 */
export async function replayBatches(
  maker: ReplayMaker,
  runId: string,
  entries: readonly QuarantineEntry[],
): Promise<readonly ReplayBatch[]> {
  await prepareOpening(maker.pipeline.source.opening);
  const opened = openEntries(maker, entries);
  const batches: ReplayBatch[] = [];
  const { empty, stays, unopened } = opened;
  // What is not masked goes with the first.
  let rest = { empty, stays, unopened };
  for (const raw of inBatches(opened.raw, empty.length + stays.length + unopened.length > 0)) {
    batches.push(await rawBatch(maker, runId, raw, rest));
    rest = { empty: [], stays: [], unopened: [] };
  }
  const about = { runId, pipeline: maker.pipeline.name };
  return [...batches, ...maskedBatches(about, maker.tables, opened.masked, maker.clock)];
}

function openEntries(
  { pipeline, keyring, tables }: ReplayMaker,
  entries: readonly QuarantineEntry[],
): Opened {
  const opened: Opened = { raw: [], masked: [], stays: [], empty: [], unopened: [] };
  for (const entry of entries) {
    try {
      if (entry.kind === 'raw') {
        const raw = openedRaw(pipeline, entry, openRaw(keyring, entry));
        if (raw?.records.length === 0) opened.empty.push(entry.id);
        else if (raw) opened.raw.push(raw);
        else opened.stays.push({ id: entry.id, code: entry.code, path: entry.path });
        continue;
      }
      const masked = { entry, rows: openMasked(keyring, entry) };
      const stay = unfit(tables, masked);
      if (stay) opened.stays.push(stay);
      else opened.masked.push(masked);
    } catch (error) {
      if (!(error instanceof PipelineError) || !ENTRY_ERRORS.has(error.code)) throw error;
      opened.unopened.push({ id: entry.id, code: error.code });
    }
  }
  return opened;
}

/** One at least if `isOne`, though it be of nothing. */
function inBatches(raw: readonly OpenedRaw[], isOne: boolean): readonly (readonly OpenedRaw[])[] {
  const batches: OpenedRaw[][] = isOne ? [[]] : [];
  let count = 0;
  for (const one of raw) {
    const last = batches.at(-1);
    if (last !== undefined && count + one.records.length <= BATCH_RECORDS) last.push(one);
    else {
      batches.push([one]);
      count = 0;
    }
    count += one.records.length;
  }
  return batches;
}

async function rawBatch(
  maker: ReplayMaker,
  runId: string,
  raw: readonly OpenedRaw[],
  rest: Pick<Opened, 'stays' | 'empty' | 'unopened'>,
): Promise<ReplayBatch> {
  const { pipeline, masker, leakGate, clock } = maker;
  const batch: Batch = {
    batchId: clock.id(),
    runId,
    pipeline: pipeline.name,
    messages: raw.map(({ entry, record }) => headOf(entry, record)),
    records: raw.flatMap(({ entry, records }, message) =>
      records.map((record, index) => ({ ...record, id: `${entry.id}#${index}`, message })),
    ),
  };
  const { masked } = await masker.mask(batch);
  const refused = new Map<number, Stay>();
  for (const { message, code, path } of masked.rejections) {
    const id = raw[message]?.entry.id ?? '';
    if (!refused.has(message)) refused.set(message, { id, code, path });
  }
  // An entry is loaded as a whole or stays as a whole: rows of its other records are not to be in this batch.
  const isDivided = masked.keys.some(({ message }) => refused.has(message));
  if (isDivided) {
    const fit = raw.filter((_, message) => !refused.has(message));
    return rawBatch(maker, runId, fit, { ...rest, stays: [...rest.stays, ...refused.values()] });
  }
  leakGate?.check(batch, masked);
  return {
    batchId: batch.batchId,
    runId,
    pipeline: pipeline.name,
    receivedAt: clock.now(),
    policySha256: masked.policySha256,
    kids: masked.kids,
    columns: masked.columns,
    rows: masked.rows,
    ...(masked.several ? { several: masked.several } : {}),
    ids: masked.keys.map(({ message }) => raw[message]?.entry.id ?? ''),
    sentAts: masked.keys.map(({ sentAt }) => sentAt),
    stays: [...rest.stays, ...refused.values()],
    empty: rest.empty,
    unopened: rest.unopened,
  };
}

function headOf(entry: QuarantineEntry, record: RawRecord): MessageHead {
  const { receivedAt, attributes, groupId, sequenceNumber } = record;
  return {
    messageId: entry.message_id,
    sentAt: Date.parse(entry.sent_at),
    receivedAt,
    attributes,
    ...(groupId === undefined ? {} : { groupId }),
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
  };
}

/**
 * The records as they are to be masked. The settings may be what was mended: what they open today is opened, a whole
 * message also to many records, or none. What they can't open was opened before it was rejected, unless that is what it
 * was rejected for. Null for what points to S3, which a replay does not follow.
 */
function openedRaw(pipeline: PipelineConfig, entry: QuarantineEntry, record: RawRecord): OpenedRaw | null {
  const { source } = pipeline;
  const isPart = entry.record_id !== entry.message_id;
  const opening: Opening = isPart ? { ...source.opening, records: 'one' } : source.opening;
  const { records, attributes, points } = openMessage(entry.id, record.body, opening);
  if (points) return null;
  if (records[0]?.rejected && !record.badEnvelope)
    return ofRoute(pipeline, { entry, record, records: [record] });
  const whole = { ...record, attributes: { ...attributes, ...record.attributes } };
  return ofRoute(pipeline, { entry, record: whole, records });
}

/** What is another pipeline's stays: nobody but the queue brings it there. */
function ofRoute({ route, name }: PipelineConfig, { entry, record, records }: OpenedRaw): OpenedRaw {
  const own = records.map(({ body, rejected }) =>
    ownRecord(route, name, { body, ...(rejected === undefined ? {} : { rejected }) }, record.attributes),
  );
  return { entry, record, records: own };
}
