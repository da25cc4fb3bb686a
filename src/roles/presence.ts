import { asPipelineError } from '../errors.js';
import type { Service } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import { type ProcessStops, processGone, processSeen, processStops } from '../load/processes.js';
import { attempt } from '../ops/attempt.js';
import type { Logger } from '../ops/logger.js';
import { actionFor } from '../policy.js';
import { packageVersion } from '../version.js';
import type { Deployment } from './deployment.js';

/** How often a process says that it is alive, besides when one of its pipelines stops or goes on. */
const PRESENCE_MS = 10_000;
/** Who has been silent for so long counts as gone. */
export const GONE_MS = 3 * PRESENCE_MS;
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
 * never fails: an outage is waited out, and what else stands in the way is said once in the log.
 */
export function startPresence(
  deployment: Pick<Deployment, 'clock' | 'events' | 'onWait' | 'owner'> & {
    readonly log: Pick<Logger, 'warn'>;
  },
  pool: Pick<PostgresPool, 'query'>,
  { role, pipelines, stops = () => ({}) }: Present,
): Service {
  const { clock, events, log, onWait, owner } = deployment;
  const identity = { id: clock.id(), role, owner, version: packageVersion() };
  let isStopped = false;
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
  // Ingesters elsewhere receive on until they know.
  let changed = new AbortController();
  const unlisten = events.on('pipeline_stopped', () => changed.abort());
  const loop = async (): Promise<void> => {
    while (!isStopped) {
      changed = new AbortController();
      await present().catch(failed);
      await clock.sleep(PRESENCE_MS, changed.signal);
    }
  };
  const looping = loop();
  let leaving: Promise<void> | null = null;
  const leave = async (): Promise<void> => {
    unlisten();
    isStopped = true;
    changed.abort();
    // Not before the loop has ended, which would put it on record again. What it has stopped outlasts it: its supervisor
    // may not start it again, and nothing is to be received for who can't work.
    const goodbye = async (): Promise<void> => {
      await looping;
      await (Object.keys(stops()).length > 0 ? present() : processGone(pool, identity.id));
    };
    await attempt(goodbye, GOODBYE_LIMIT_MS);
  };
  return { stop: () => (leaving ??= leave()) };
}
