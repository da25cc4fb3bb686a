import type { Command as Commander } from 'commander';
import { type Action, wholeNumber } from './action.js';

/** Values had back, and done away with. */
export function addRevealCommands(program: Commander, action: Action): void {
  program
    .command('reveal')
    .description('turn tokens back into values; goes on record first')
    .argument('[token...]', 'tokens, or - for one a line on stdin')
    .option('--sql <query>', 'reveal what this query returns in --column')
    .option('--column <name>', 'the column of --sql; with --kid, of the pipeline, for ff1 and ipcrypt')
    .option('--kid <n>', 'the key id of those values, as it stands in their rows', wholeNumber)
    .option('--purpose <text>', 'why; at least 8 characters')
    .option('--ticket <id>', 'where it was asked for')
    .option('--request <id>', 'carry out a request that was approved')
    .option('--verify', 'walk the chain of records instead; with --head also look for that hash')
    .option('--head [hash]', 'print the end of the chain, to keep it where nobody can change it')
    .action(action(async () => (await import('./reveal.js')).revealCommand));
  program
    .command('approve')
    .description('approve a reveal of another database user that is beyond the quota')
    .argument('<id>', 'as reveal printed it')
    .action(action(async () => (await import('./approve.js')).approveCommand));
  program
    .command('erase')
    .description('do away with what is kept of a subject, as far as it can be found')
    .requiredOption('--subject <value>', 'whose; - reads it from stdin, out of sight of other users')
    .option('--purpose <text>', 'why; at least 8 characters')
    .option('--ticket <id>', 'where it was asked for')
    .option(
      '--mode <mode>',
      'null: empty the columns where they may be empty (default); delete: delete the rows',
    )
    .option('--dry-run', 'only count what would go')
    .action(action(async () => (await import('./erase.js')).eraseCommand));
}
