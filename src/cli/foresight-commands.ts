import type { Command as Commander } from 'commander';
import { type Action, wholeNumber } from './action.js';

const THROWAWAY = 'mask with a key made for this process, not with the keyring';

/** What is seen before anything runs. */
export function addForesightCommands(program: Commander, action: Action): void {
  program
    .command('test')
    .description('unit tests of the masks: message in, row or rejection out; needs no server')
    .argument('[cases.yaml...]', 'files of cases (default: ./maskline.tests.yaml)')
    .option('--throwaway-key', THROWAWAY)
    .action(action(async () => (await import('./test.js')).test));
  program
    .command('preview')
    .description('what the masks make of messages, by column, as shapes; deletes and stores nothing')
    .option('--sample <file>', 'events of this JSONL file; - is stdin')
    .option('--from-queue <n>', 'receive so many messages and give them back at once', wholeNumber)
    .option('--throwaway-key', THROWAWAY)
    .option('--unseal', 'show some values too; goes on record')
    .option('--reason <text>', 'why they are shown')
    .action(action(async () => (await import('./preview.js')).preview));
  program
    .command('explain')
    .description('what another configuration would do to the same messages, as shapes')
    .requiredOption('--against <file>', 'the other maskline.yaml')
    .option('--sample <n>', 'receive so many messages and give them back at once (default 100)', wholeNumber)
    .option('--sample-file <file>', 'events of this JSONL file instead; - is stdin')
    .option('--throwaway-key', THROWAWAY)
    .action(action(async () => (await import('./explain.js')).explain));
}
