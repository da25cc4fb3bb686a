import type { Clock } from '../clock.js';
import type { Config } from '../config/config.js';
import { asPipelineError } from '../errors.js';
import type { Service } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { ensureLedgerPartitions } from '../load/ledger.js';
import { asOutage } from '../load/postgres-error.js';
import { type Pruned, prune } from '../load/prune.js';
import { ensureTargetPartitions } from '../load/target-partitions.js';
import type { Logger } from '../ops/logger.js';
import { outlast } from '../policy.js';
import type { Deployment } from './deployment.js';

const DAILY_MS = 24 * 3_600_000;
/** After a failure that is no outage, such as a missing right, which somebody may be mending. */
const AFTER_FAILURE_MS = 3_600_000;

/** What it takes of a deployment. */
interface MaintenanceParts extends Pick<Deployment, 'clock' | 'onWait'> {
  readonly config: Pick<Config, 'retention'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
}

interface Maintained {
  readonly ledger_partitions_made: number;
  readonly target_partitions_made: number;
  /** Null: another process is pruning. */
  readonly pruned: Pruned | null;
}

/** Makes the partitions that will be needed and deletes what is past its retention. Safe when several do it at once. */
async function maintain(
  { config, clock }: MaintenanceParts,
  pool: PostgresPool,
  signal: AbortSignal,
): Promise<Maintained> {
  const made = await ensureLedgerPartitions(pool, config.retention.ledgerMs);
  const target_partitions_made = await ensureTargetPartitions(pool);
  return {
    ledger_partitions_made: made,
    target_partitions_made,
    pruned: await prune(pool, config.retention, { clock, signal }),
  };
}

/**
 * Maintains at once, then every day until stopped; one that falls into an outage is made up for when it ends. Never
 * fails: what stands in the way is in the log.
 */
export function startMaintenance(deployment: MaintenanceParts, pool: PostgresPool): Service {
  const { clock, log, onWait } = deployment;
  const stopped = new AbortController();
  const { signal } = stopped;
  const once = async (): Promise<number> => {
    try {
      // Locks that others hold pass like an outage.
      const work = (): Promise<Maintained> => asOutage(() => maintain(deployment, pool, signal));
      const done = await outlast(clock, work, signal, onWait);
      const { pruned, ledger_partitions_made, target_partitions_made } = done;
      if (pruned === null) log.info({ event: 'maintenance_elsewhere' }, 'another process is at it');
      else
        log.info({
          event: 'maintenance',
          counts: { ledger_partitions_made, target_partitions_made, ...pruned },
        });
      return DAILY_MS;
    } catch (error) {
      if (!signal.aborted) log.warn({ event: 'maintenance_failed', error: asPipelineError(error) });
      return AFTER_FAILURE_MS;
    }
  };
  const looping = loop(clock, signal, once);
  return {
    stop: async () => {
      stopped.abort();
      await looping;
    },
  };
}

async function loop(clock: Clock, signal: AbortSignal, once: () => Promise<number>): Promise<void> {
  while (!signal.aborted) await clock.sleep(await once(), signal);
}
