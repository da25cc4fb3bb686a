import type { Command as Commander } from 'commander';
import type { Action } from './action.js';
import { addSelectionOptions } from './selection.js';

const ID = 'its id, or the beginning of it';

/** Records that could not be loaded. */
export function addQuarantineCommands(program: Commander, action: Action): void {
  const quarantine = program.command('quarantine').description('records that could not be loaded, sealed');
  addSelectionOptions(
    quarantine.command('list').description('what is in quarantine, newest first, and what to do about it'),
  )
    .option('--all', 'all of them (default: the latest 20)')
    .option('--replayed', 'also those that were replayed')
    .option('--by-code', 'count them by pipeline, code and path instead')
    .option('--by-cause', 'the same by policy too, each with a sample and the command that mends it')
    .action(action(async () => (await import('./quarantine.js')).quarantineList));
  quarantine
    .command('show')
    .description('all about one record but its content; with --unseal that too')
    .argument('<id>', ID)
    .option('--unseal', 'open it; goes on record')
    .option('--reason <text>', 'why it is unsealed')
    .action(action(async () => (await import('./quarantine.js')).quarantineShow));
  addSelectionOptions(
    quarantine.command('export').description('records as JSON, one a line; with --unseal their content too'),
  )
    .argument('[id...]')
    .option('--all', 'all open ones, or all that the filters let through')
    .option('--replayed', 'with --all: also those that were replayed')
    .option('--to <file>', 'write this new file (mode 0600) instead of stdout')
    .option('--unseal', 'open them; goes on record')
    .option('--reason <text>', 'why they are unsealed')
    .action(action(async () => (await import('./quarantine-export.js')).quarantineExport));
  addSelectionOptions(
    quarantine
      .command('replay')
      .description('load records once more, by the policy of today, each pipeline as a run of its own'),
  )
    .argument('[id...]')
    .option('--all', 'all open ones, or all that the filters let through')
    .option('--dry-run', 'only mask them by the settings of today, and say what would become of each cause')
    .action(action(async () => (await import('./quarantine-replay.js')).quarantineReplay));
  addSelectionOptions(
    quarantine.command('purge').description('delete records for good; open ones are the last copy'),
  )
    .argument('[id...]')
    .option('--all', 'all that the filters let through; with --replayed, --open, or both')
    .option('--replayed', 'with --all: those that were replayed')
    .option('--open', 'with --all: those that were never loaded')
    .option('--dry-run', 'only count them')
    .action(action(async () => (await import('./quarantine-purge.js')).quarantinePurge));
}
