import type { Command as Commander } from 'commander';
import { type Action, wholeNumber } from './action.js';

/** What moves messages. */
export function addRunCommands(program: Commander, action: Action): void {
  program
    .command('run')
    .description('run a role until told to stop: ingest, transform, load, admin or all (one process)')
    .argument('[role]', 'ingest, transform, load, admin or all', 'all')
    .option('-j, --jobs <n>', 'batches worked on at once', wholeNumber)
    .action(action(async () => (await import('./run.js')).run));
  program
    .command('drain')
    .description('run each pipeline once: receive until its queue is empty, and wait until all is committed')
    .argument('[pipeline...]', 'pipelines to drain (default: all)')
    .option('--dlq', "drain the queues' dead-letter queues instead")
    .option('--ingest-only', 'leave masking and loading to workers elsewhere')
    .option('--max <n>', 'stop receiving after so many records', wholeNumber)
    .option('--timeout <duration>', 'stop cleanly after so long, e.g. 10m')
    .action(action(async () => (await import('./drain.js')).drainCommand));
}
