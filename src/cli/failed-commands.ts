import type { Command as Commander } from 'commander';
import type { Action } from './action.js';
import { addSelectionOptions } from './selection.js';

/** Batches that failed for good. */
export function addFailedCommands(program: Commander, action: Action): void {
  const failed = program.command('failed').description('batches that failed for good, kept in the queue');
  addSelectionOptions(
    failed.command('list').description('what failed, newest first, and what to do about it'),
  )
    .option('--by-cause', 'by what they have in common, each with a sample and the command that mends it')
    .action(action(async () => (await import('./failed.js')).failedList));
  failed
    .command('show')
    .description('all that is known of one failed job, without opening it')
    .argument('<job_id>')
    .action(action(async () => (await import('./failed.js')).failedShow));
  addSelectionOptions(
    failed.command('retry').description('load failed jobs once more, each pipeline as a run of its own'),
  )
    .argument('[job_id...]')
    .option('--all', 'all failed jobs, or all that the filters let through')
    .option('--dry-run', 'only mask them by the settings of today, and say what would become of each cause')
    .action(action(async () => (await import('./failed-retry.js')).failedRetry));
  addSelectionOptions(
    failed.command('discard').description('remove failed jobs; their messages are a matter of SQS'),
  )
    .argument('[job_id...]')
    .option('--all', 'all failed jobs, or all that the filters let through')
    .option('--dry-run', 'list what would be removed')
    .action(action(async () => (await import('./failed.js')).failedDiscard));
}
