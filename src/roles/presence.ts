import { asPipelineError } from '../errors.js';
import type { Service } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { type ProcessStops, processGone, processSeen, processStops } from '../load/processes.js';
import { attempt } from '../ops/attempt.js';
import type { Logger } from '../ops/logger.js';
import { actionFor } from '../policy.js';
import { packageVersion } from '../version.js';
import type { Deployment } from './deployment.js';

/** How often a process says that it is alive. `status` takes one for gone after three times as long. */
export const PRESENCE_MS = 10_000;
/** A stop does not wait longer to say goodbye: whoever is silent counts as gone soon anyway. */
const GOODBYE_LIMIT_MS = 1_000;

/** What a process says of itself. */
export interface Present {
  readonly role: string;
  readonly pipelines: readonly string[];
  /** Those that are stopped at the moment, and why. */
  readonly stops?: () => ProcessStops;
}

/**
 * Keeps this process on record until stopped, with the pipelines that it serves by then, so that others can see it. It
 * never fails: an outage is waited out, and
 * what else stands in the way is said once in the log.
 */
export function startPresence(
  deployment: Pick<Deployment, 'clock' | 'onWait' | 'owner'> & { readonly log: Pick<Logger, 'warn'> },
  pool: Pick<PostgresPool, 'query'>,
  { role, pipelines, stops = () => ({}) }: Present,
): Service {
  const { clock, log, onWait, owner } = deployment;
  const identity = { id: clock.id(), role, owner, version: packageVersion() };
  const stopped = new AbortController();
  let isSaid = false;
  const failed = (error: unknown): void => {
    if (actionFor(error) === 'wait') return onWait(error);
    if (!isSaid) log.warn({ event: 'presence_failed', role, error: asPipelineError(error) });
    isSaid = true;
  };
  let said = '{}';
  const present = async (): Promise<void> => {
    await processSeen(pool, { ...identity, pipelines });
    const now = stops();
    if (JSON.stringify(now) === said) return;
    await processStops(pool, identity.id, now);
    said = JSON.stringify(now);
  };
  const loop = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await present().catch(failed);
      await clock.sleep(PRESENCE_MS, stopped.signal);
    }
  };
  const looping = loop();
  let leaving: Promise<void> | null = null;
  const leave = async (): Promise<void> => {
    stopped.abort();
    // Not before the loop has ended, which would put it on record again.
    await attempt(() => looping.then(() => processGone(pool, identity.id)), GOODBYE_LIMIT_MS);
  };
  return { stop: () => (leaving ??= leave()) };
}
