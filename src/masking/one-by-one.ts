import type { Batch, MaskedBatch } from '../batch.js';
import { PipelineError } from '../errors.js';
import { loopTurn } from './blocking.js';
import type { BatchMasker, Masking } from './mask.js';
import { joinRows } from './quarantined.js';

/** A batch of that record alone, in which all messages keep their places. */
export function onlyRecord(batch: Batch, index: number): Batch {
  return { ...batch, records: batch.records.slice(index, index + 1) };
}

/**
 * Masks a batch record by record, as some record may end the process: `before` is awaited in front of each. Records
 * in `crashed` are not looked at, but rejected as `crashed_worker`. The result is that of the whole batch. Throws
 * what the masker and `before` throw.
 */
export async function maskOneByOne(
  masker: BatchMasker,
  batch: Batch,
  crashed: ReadonlySet<number>,
  before: (index: number) => Promise<void>,
): Promise<Masking> {
  const none = await masker.mask({ ...batch, records: [] });
  const parts: Masking[] = [];
  for (const index of batch.records.keys()) {
    const alone = onlyRecord(batch, index);
    if (crashed.has(index)) {
      const records = alone.records.map((record) => ({ ...record, rejected: 'crashed_worker' as const }));
      parts.push(await masker.mask({ ...alone, records }));
      continue;
    }
    await before(index);
    parts.push(await masker.mask(alone));
  }
  return joined(none, parts);
}

type Several = NonNullable<MaskedBatch['several']>;

/** As often a custom mask may hold a record up before the batch is given back: each time it has seconds to start. */
const TRIES = 4;

/**
 * A masker that goes record by record when a custom mask holds the whole batch up, and lets the event loop turn in
 * between. `before` is awaited in front of each record. Throws what both throw; `masker_stuck` when that is no way out.
 */
export function unhurried(
  masker: BatchMasker,
  before: () => Promise<void> | void = () => undefined,
): BatchMasker {
  const mask = async (batch: Batch, tries: number): Promise<Masking> => {
    try {
      return await masker.mask(batch);
    } catch (error) {
      if (tries <= 1 || !(error instanceof PipelineError) || error.code !== 'masker_stuck') throw error;
    }
    await loopTurn();
    await before();
    if (batch.records.length === 1) return mask(batch, tries - 1);
    const each = { mask: (one: Batch) => mask(one, TRIES) };
    return maskOneByOne(each, batch, new Set(), async () => {
      await loopTurn();
      await before();
    });
  };
  return { mask: (batch) => mask(batch, TRIES) };
}

/** `none` is what is true of a batch whatever its records. */
function joined(none: Masking, parts: readonly Masking[]): Masking {
  return {
    masked: {
      ...none.masked,
      kids: [...new Set(parts.flatMap((part) => part.masked.kids))],
      keys: parts.flatMap((part) => part.masked.keys),
      rows: joinRows(parts.map((part) => part.masked.rows)),
      rejections: parts.flatMap((part) => part.masked.rejections),
      ...(none.masked.several ? { several: joinedTables(none.masked.several, parts) } : {}),
    },
    counts: {
      rows: sumOf(parts, ({ counts }) => counts.rows),
      rejected: sumOf(parts, ({ counts }) => counts.rejected),
      masked: Object.fromEntries(
        Object.keys(none.counts.masked).map((method) => [
          method,
          sumOf(parts, ({ counts }) => counts.masked[method] ?? 0),
        ]),
      ),
      normalized: {
        trimmed: sumOf(parts, ({ counts }) => counts.normalized.trimmed),
        empty_to_null: sumOf(parts, ({ counts }) => counts.normalized.empty_to_null),
        sentinel_to_null: sumOf(parts, ({ counts }) => counts.normalized.sentinel_to_null),
      },
      fieldsDropped: sumOf(parts, ({ counts }) => counts.fieldsDropped),
    },
  };
}

function joinedTables({ table, further }: Several, parts: readonly Masking[]): Several {
  let keys = 0;
  const starts = parts.map(({ masked }) => {
    keys += masked.keys.length;
    return keys - masked.keys.length;
  });
  const joinedTable = (none: Several['further'][number], index: number): Several['further'][number] => {
    const own = parts.map(({ masked }) => masked.several?.further[index] ?? none);
    return {
      ...none,
      records: own.flatMap(({ records }, p) => records.map((record) => record + (starts[p] ?? 0))),
      rows: joinRows(own.map(({ rows }) => rows)),
    };
  };
  return { table, further: further.map(joinedTable) };
}

function sumOf(parts: readonly Masking[], count: (part: Masking) => number): number {
  return parts.reduce((sum, part) => sum + count(part), 0);
}
