import type { Batch, MaskedBatch } from '../batch.js';
import { policies } from '../policy.js';
import type { Deployment } from './deployment.js';

/** An hour more than the loader itself refuses: what is taken here is to be young enough for it too when it gets there. */
const LEDGER_MARGIN_MS = 13 * 3_600_000;

/**
 * Why a batch is too old to be retried, as what the ledger may have forgotten cannot be told from what was never loaded;
 * null when it is not.
 */
export function tooOld(
  { config, clock }: Pick<Deployment, 'config' | 'clock'>,
  batch: Batch | MaskedBatch,
): string | null {
  const times = 'records' in batch ? batch.messages : [...batch.keys, ...batch.rejections];
  const oldest = times.reduce((least, { sentAt }) => Math.min(least, sentAt), Infinity);
  if (oldest > clock.now() - config.retention.ledgerMs + LEDGER_MARGIN_MS) return null;
  return (
    `expired: its messages were sent from ${new Date(oldest).toISOString()} on, too long ago to tell whether they ` +
    `were loaded before (retention.ledger); ${policies.expired.remedy}`
  );
}
