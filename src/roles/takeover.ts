import type { Batch } from '../batch.js';
import type { Clock } from '../clock.js';
import { PipelineError } from '../errors.js';
import type { BatchMasker, Masking } from '../masking/mask.js';
import { maskOneByOne, onlyRecord } from '../masking/one-by-one.js';
import { outlast } from '../policy.js';
import type { Mark, Takeover } from '../queue/takeover.js';
import type { Probe } from './suspect.js';

/** What masking a batch takes that was taken over. */
export interface TakeoverPorts {
  readonly masker: BatchMasker;
  readonly probe: Probe;
  readonly clock: Clock;
  /** Hears of every wait for something that is away. */
  readonly onWait: (error: unknown) => void;
}

/** So many workers that end in a row at one record are no accident, whatever the probe says. */
const ENDINGS_TO_BE_SURE = 2;

/** A record that a worker may have died of. */
interface Suspect {
  readonly index: number;
  /** How many workers in a row have ended there. */
  readonly endings: number;
}

/**
 * Masks a batch whose worker died or hung. It may have died of a record, so it goes record by record and notes the
 * index before each; where the last worker ended, a process of its own is tried on that record first. A record that
 * ends that process, or two workers in a row, is rejected as `crashed_worker`. Workers that are killed from outside
 * thus blame no record. Throws what the masker throws, and `canceled`.
 */
export async function maskTakenOver(
  ports: TakeoverPorts,
  batch: Batch,
  takeover: Takeover,
  hardStop: AbortSignal,
): Promise<Masking> {
  const { masker, probe, clock, onWait } = ports;
  const crashed = new Set(takeover.mark?.crashed ?? []);
  const suspect = suspectOf(takeover, batch);
  if (suspect !== null) {
    const isGuilty =
      suspect.endings >= ENDINGS_TO_BE_SURE || (await probe(onlyRecord(batch, suspect.index), hardStop));
    if (isGuilty) crashed.add(suspect.index);
  }
  const note = async (at: number | null): Promise<void> => {
    if (hardStop.aborted) throw new PipelineError('canceled', `batch ${batch.batchId} was cut short`);
    const endings = suspect !== null && suspect.index === at ? suspect.endings : 0;
    const mark: Mark = { at, endings, takeovers: takeover.count, crashed: [...crashed] };
    await outlast(clock, () => takeover.note(mark), hardStop, onWait);
  };
  const masking = await maskOneByOne(masker, batch, crashed, note);
  // What ends the worker from here on is not the last record.
  await note(null);
  return masking;
}

/** The record at which the last worker ended; null when it came to its end elsewhere, or was not the last to note. */
function suspectOf({ mark, count }: Takeover, batch: Batch): Suspect | null {
  if (mark === null || mark.at === null || mark.takeovers >= count || mark.at >= batch.records.length)
    return null;
  return { index: mark.at, endings: mark.endings + 1 };
}
