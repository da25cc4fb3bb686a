import type { Command as Commander } from 'commander';
import { type Action, collect, wholeNumber } from './action.js';

/** The keyring, and what is masked under its keys. */
export function addKeyCommands(program: Commander, action: Action): void {
  const keys = program.command('keys').description('the keyring');
  keys
    .command('init')
    .description('write a new keyring with one primary key')
    .option('--kek-file <path>', 'create a key-encryption key in this file (mode 0600) and use it')
    .option('--kms <key arn>', 'have this key of AWS KMS make and keep it')
    .action(action(async () => (await import('./keys.js')).keysInit));
  keys
    .command('list')
    .description('key ids and states')
    .action(action(async () => (await import('./keys.js')).keysList));
  keys
    .command('check')
    .description('open every key with the key-encryption key')
    .action(action(async () => (await import('./keys.js')).keysCheck));
  keys
    .command('add')
    .description('add a new key, which opens only until it is promoted')
    .action(action(async () => (await import('./keys-change.js')).keysAdd));
  keys
    .command('promote')
    .description('mask with that key from now on; the one before it opens only')
    .argument('<kid>', 'its key id')
    .action(action(async () => (await import('./keys-change.js')).keysPromote));
  keys
    .command('rewrap')
    .description(
      'wrap all keys with another key-encryption key, by default MASKLINE_NEW_KEK; no data changes',
    )
    .option('--kek-file <path>', 'the one in this file, which is created (mode 0600) when it is not there')
    .option('--kms <key arn>', 'one that this key of AWS KMS makes and keeps')
    .action(action(async () => (await import('./keys-change.js')).keysRewrap));
  keys
    .command('derive')
    .description(
      'write a file with the keys of some domains only, for processes that are to hold no master key',
    )
    .option('--domain <name>', 'this domain; may be repeated (default: those of the pipelines)', collect)
    .option('--method <name>', 'of this method only; may be repeated', collect)
    .requiredOption('--out <file>', 'write this new file (mode 0600)')
    .option('--kek-file <path>', 'wrap it with the key in this file, created when it is not there')
    .option('--kms <key arn>', 'wrap it with a key of AWS KMS')
    .action(action(async () => (await import('./keys-derive.js')).keysDerive));
  keys
    .command('destroy')
    .description('destroy a key for ever, when nothing needs it any more')
    .argument('<kid>', 'its key id')
    .option('--dry-run', 'only look whether anything needs it')
    .action(action(async () => (await import('./keys-destroy.js')).keysDestroy));
  program
    .command('remask')
    .description(
      'bring rows, quarantined records and the vault from an old key to the primary, while loading goes on',
    )
    .requiredOption('--from-kid <kid>', 'the key id that they are under', wholeNumber)
    .option('--rate <rows>', 'rows a second, at most', wholeNumber, 5000)
    .option('--dry-run', 'read and open everything, and write nothing')
    .action(action(async () => (await import('./remask.js')).remaskCommand));
}
