import { hostname } from 'node:os';
import type { PostgresPool } from '../load/connection.js';
import { noteUnsealing } from '../load/reveals.js';
import type { Logger } from '../ops/logger.js';
import { osUser, userName } from './os-user.js';

/** Who is about to see what was sealed, and why. */
export interface Unsealing {
  /** Why, in the words of who asks. */
  readonly reason: string;
  /** How many records; `ids` are theirs where they were named. */
  readonly records: number;
  readonly ids: readonly string[];
  readonly pipelines: readonly string[];
}

/**
 * Puts it on record, in the audit chain and the log, that quarantined bodies are unsealed. To be awaited before
 * anything of them is shown: what cannot be recorded is not shown.
 */
export async function recordUnsealing(
  pool: Pick<PostgresPool, 'query'>,
  log: Logger,
  { reason, records, ids, pipelines }: Unsealing,
): Promise<void> {
  await noteUnsealing(pool, { osUser: osUser(), purpose: reason }, { records, ids, pipelines });
  log.warn({
    event: 'quarantine_unsealed',
    user: userName(),
    host: hostname(),
    reason,
    records,
    ids,
    pipelines,
  });
}

/**
 * Puts it on record, in the audit chain and the log, that values of messages are shown before they are masked; to be
 * awaited before they are. Throws `postgres_unavailable`, `permission_denied`.
 */
export async function recordPreview(
  pool: Pick<PostgresPool, 'query'>,
  log: Logger,
  unsealing: Omit<Unsealing, 'ids'>,
): Promise<void> {
  const { reason, records, pipelines } = unsealing;
  await noteUnsealing(pool, { osUser: osUser(), purpose: reason }, { preview: true, records, pipelines });
  log.warn({ event: 'preview_unsealed', user: userName(), host: hostname(), reason, records, pipelines });
}

/** Puts it on record that entries were deleted for good. */
export function recordPurge(
  log: Logger,
  { records, ids }: { readonly records: number; readonly ids: readonly string[] },
): void {
  log.warn({ event: 'quarantine_purged', user: userName(), host: hostname(), records, ids });
}
