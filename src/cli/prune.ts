import { ensureLedgerPartitions } from '../load/ledger.js';
import { checkSchema } from '../load/migrate.js';
import { prune } from '../load/prune.js';
import type { Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';

/** `prune`: what the admin role does every day, now. */
export const pruneCommand: Command<{ readonly dryRun?: boolean }> = async (context, { dryRun = false }) => {
  const deployment = openDeployment(context, 'prune');
  const { config, clock } = deployment;
  const { made, pruned } = await withPool(deployment, 'cli', async (pool) => {
    await checkSchema(pool);
    return {
      made: dryRun ? 0 : await ensureLedgerPartitions(pool, config.retention.ledgerMs),
      pruned: await prune(pool, config.retention, { clock, dryRun }),
    };
  });
  if (pruned === null) {
    context.out.note('Another process is pruning at this moment; there is nothing left to do here.');
    return exitCode.ok;
  }
  const counts = { ledger_partitions_made: made, ...pruned };
  const lines = [
    `${pruned.ledger_partitions} daily partitions of the ledger, and ${pruned.ledger_rows} rows outside of them`,
    `${pruned.runs} runs and ${pruned.loads} batches`,
    `${pruned.quarantine} replayed quarantine entries`,
    `${pruned.processes} processes that ended without a word`,
  ];
  context.out.result(
    { dry_run: dryRun, ...counts },
    [dryRun ? 'Would delete:' : 'Deleted:', ...lines.map((line) => `  ${line}`)].join('\n'),
  );
  if (pruned.ledger_partitions_left === 0) return exitCode.ok;
  context.out.note(
    `${pruned.ledger_partitions_left} partitions of the ledger were too busy to be dropped: run it again, best when little is loaded.`,
  );
  return exitCode.failed;
};
