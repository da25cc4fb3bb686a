import { PipelineError } from '../errors.js';
import type { PostgresPool } from '../load/connection.js';
import {
  type QuarantineCount,
  type QuarantineFilter,
  countEntries,
  deleteEntries,
  pageEntries,
  serverTime,
} from '../load/quarantine-entries.js';
import { recordPurge } from '../roles/quarantine-audit.js';
import { confirm } from './confirmation.js';
import type { Command } from './context.js';
import { withPool } from './database.js';
import { openAuditLog, openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { declined } from './failed.js';
import { quarantineFilter } from './quarantine-selection.js';
import { codesText, openByCode } from './quarantine-text.js';
import { type SelectionOptions, readTargets } from './selection.js';

interface PurgeOptions extends SelectionOptions {
  readonly replayed?: boolean;
  readonly open?: boolean;
  readonly dryRun?: boolean;
}

/** `quarantine purge`: deletes entries; of open ones nothing is left anywhere afterwards. */
export const quarantinePurge: Command<PurgeOptions> = async (context, options) => {
  const { out } = context;
  const deployment = openDeployment(context, 'cli');
  const targets = readTargets(options, deployment.clock.now());
  const state = stateOf(options, targets.ids.length > 0);
  return withPool(deployment, 'cli', async (pool) => {
    const found = await quarantineFilter(pool, context, targets, state);
    // What comes in while the question is answered was not asked about.
    const filter = { ...found, until: await serverTime(pool) };
    const counts = await countEntries(pool, filter);
    const sum = (of: (count: QuarantineCount) => number): number => counts.reduce((n, one) => n + of(one), 0);
    const totals = { open: sum((one) => one.open), replayed: sum((one) => one.replayed) };
    const all = Math.min(totals.open + totals.replayed, targets.limit ?? Infinity);
    if (options.dryRun || all === 0) {
      const text = `${all} entries would be deleted: at most ${totals.open} open, ${totals.replayed} replayed`;
      out.result({ dry_run: options.dryRun ?? false, deleted: 0, would_delete: all, ...totals }, text);
      return exitCode.ok;
    }
    if (!(await confirm(context, questionOf(all, totals.open, counts)))) return declined(context);
    // Before anything is deleted: a purge that is killed half-way is on record too.
    recordPurge(openAuditLog(context), { records: all, ids: filter.ids ?? [] });
    const deleted = await deleteAll(pool, filter, targets.limit);
    out.result({ dry_run: false, deleted }, `${deleted} entries deleted.`);
    return exitCode.ok;
  });
};

/** Which entries `--all` means: never open ones by mistake. */
function stateOf(
  { replayed = false, open = false }: PurgeOptions,
  isById: boolean,
): QuarantineFilter['state'] {
  if (isById || (replayed && open)) return 'any';
  if (replayed) return 'replayed';
  if (open) return 'open';
  throw new PipelineError(
    'usage',
    '--all needs --replayed (what was loaded since), --open (what was never loaded, and is lost by it), or both',
  );
}

function questionOf(all: number, open: number, counts: readonly QuarantineCount[]): string {
  if (open === 0) return `${all} replayed entries are to be deleted; their rows were loaded. Delete them?`;
  return (
    `${all} entries are to be deleted, ${Math.min(all, open)} of them open (${codesText(openByCode(counts))}). ` +
    'Open ones were never loaded, and their messages were deleted from SQS: their data is gone for good. Delete them?'
  );
}

async function deleteAll(
  pool: PostgresPool,
  filter: QuarantineFilter,
  limit: number | null,
): Promise<number> {
  let deleted = 0;
  for await (const page of pageEntries(pool, filter, 'oldest_first', limit)) {
    const ids = page.map(({ id }) => id);
    // Under their state, as a replay may have come before.
    deleted += await deleteEntries(pool, ids, filter.state);
  }
  return deleted;
}
