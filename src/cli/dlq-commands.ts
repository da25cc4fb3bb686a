import type { Command as Commander } from 'commander';
import { type Action, wholeNumber } from './action.js';

/** What is done about a queue's own dead letters. */
export function addDlqCommands(program: Commander, action: Action): void {
  const dlq = program.command('dlq').description("the queue's own dead-letter queue");
  dlq
    .command('redrive')
    .description('send its messages back, so that the ledger still knows those that were loaded')
    .argument('[pipeline...]', 'pipelines (default: all)')
    .option('--max <n>', 'how many at most', wholeNumber)
    .option('--dry-run', 'only say how many there are')
    .action(action(async () => (await import('./dlq.js')).dlqRedrive));
}
