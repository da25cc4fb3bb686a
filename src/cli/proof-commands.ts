import type { Command as Commander } from 'commander';
import { type Action, wholeNumber } from './action.js';

/** What proves that maskline keeps its promise. */
export function addProofCommands(program: Commander, action: Action): void {
  program
    .command('prove')
    .description(
      'compare runs, batches, ledger, quarantine and target tables with each other: every difference by id, exit 1 when there is one',
    )
    .argument('[pipeline...]', 'pipelines to prove (default: all)')
    .option(
      '--since <duration or time>',
      'only what began since, e.g. 2h (default: as far back as the ledger goes)',
    )
    .option('--accept', 'take the rows that the target tables have now for right, after showing what differs')
    .action(action(async () => (await import('./prove.js')).proveCommand));
  program
    .command('torture')
    .description(
      'kill everything over and over under load, and count what is lost, double or leaked: on a stack of its own, ' +
        'or with -c on the deployment that is named',
    )
    .option('--messages <n>', 'messages to send', wholeNumber, 5000)
    .option('--kills <n>', 'kills of processes and servers', wholeNumber, 20)
    .option('--seed <n>', 'decides what fails, and how', wholeNumber, 1)
    .option('--profile <name>', 'storm: everything; committed: only kills between COMMIT and ack', 'storm')
    .option('--backend <name>', 'where the queues of its own stack are: redis or postgres (default: redis)')
    .option('--keep', 'keep logs and data though all is right')
    .option('--yes-really', 'with -c: also where it looks like production')
    .action(action(async () => (await import('./torture.js')).tortureCommand));
  program
    .command('bench')
    .description(
      'what a message costs on this machine, in CPU of each stage and against the least that it could cost: on a stack of its own',
    )
    .option('--profile <name>', 'end-to-end, ingest, transform, load, growth, latency or scale', 'end-to-end')
    .option('--rows <n>', 'messages of each run (default: as the profile has it)', wholeNumber)
    .option(
      '--runs <n>',
      'runs, each with servers and processes of its own (default: as the profile has it)',
      wholeNumber,
    )
    .option(
      '--cpu-profile <dir>',
      'let each process write a CPU profile there; the figures then include the profiler',
    )
    .action(action(async () => (await import('./bench.js')).benchCommand));
}
