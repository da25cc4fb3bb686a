// When an ingester stops waiting for a batch, and when its messages come back. Whether it may is decided by the
// sink: only a batch without a fate can be let go.

import type { Batch, MaskedBatch, Receipt } from './batch.js';
import type { BatchQueue } from './queue/queue.js';
import type { Held } from './run.js';

/** A batch that neither queue knows is missing only after this long: adding it may have taken a while. */
const MISSING_AFTER_MS = 30_000;
/** Released messages come back after this, doubled with every further receive: never a tight loop. */
const RELEASE_BASE_MS = 30_000;
const RELEASE_MAX_MS = 15 * 60_000;

/** The batches that have waited longer for a fate than is allowed. */
export function overdue(held: readonly Held[], now: number, residenceMs: number): readonly Held[] {
  return held.filter((batch) => now - batch.heldAt > residenceMs);
}

/** The batches whose job failed for good, or that neither queue knows any more (how a wiped Redis heals). */
export async function failedOrMissing(
  queues: {
    readonly transformQueue: Pick<BatchQueue<Batch>, 'states'>;
    readonly loadQueue: Pick<BatchQueue<MaskedBatch>, 'states'>;
  },
  held: readonly Held[],
  now: number,
): Promise<readonly Held[]> {
  const inTransform = await queues.transformQueue.states(held.map((batch) => batch.batchId));
  // Asked second: a load job is added before its transform job goes, so a live batch is in one of the two answers.
  const left = held.filter((_, index) => inTransform[index] === 'absent');
  const inLoad = await queues.loadQueue.states(left.map((batch) => batch.batchId));
  const failed = held.filter((_, index) => inTransform[index] === 'failed');
  const gone = left.filter((batch, index) => {
    if (inLoad[index] === 'failed') return true;
    return inLoad[index] === 'absent' && now - batch.heldAt > MISSING_AFTER_MS;
  });
  return [...failed, ...gone];
}

/** How long a released message stays away: 30 s at its first receive, doubling up to 15 min. */
export function releaseDelayMs(receipt: Receipt): number {
  return Math.min(RELEASE_MAX_MS, RELEASE_BASE_MS * 2 ** (receipt.receiveCount - 1));
}
