import type { Command as Commander } from 'commander';
import { type Action, wholeNumber } from './action.js';

/** What is done before anything runs. */
export function addSetUpCommands(program: Commander, action: Action): void {
  program
    .command('demo')
    .description('the whole stack on this machine, embedded: SQS to rows in one command')
    .option('--rows <n>', 'valid events to send', wholeNumber, 10_000)
    .option('--bad <n>', 'invalid events besides (default: 1 % of rows)', wholeNumber)
    .option('--duplicates <n>', 'deliveries repeated after their commit (default: 1 % of rows)', wholeNumber)
    .option('--keep <dir>', 'leave maskline.yaml, keyring, .env and database in this directory')
    .option('--port <n>', 'port of the HTTP endpoints', wholeNumber)
    .option('--stay', 'keep everything up until Ctrl-C')
    .action(action(async () => (await import('./demo.js')).demoCommand));
  program
    .command('init')
    .description('write maskline.yaml and .env.example')
    .option('--table <name>', 'the target table')
    .action(action(async () => (await import('./init.js')).init));
  program
    .command('validate')
    .description('check the configuration; with --connect also queue, Redis, schema, table and keys')
    .option('--connect', 'look at what the configuration names')
    .option('--strict', 'treat warnings as errors')
    .action(action(async () => (await import('./validate.js')).validate));
  const migrate = program
    .command('migrate')
    .description("maskline's schema, the queue's, and the target tables");
  migrate
    .command('up', { isDefault: true })
    .description('bring everything up to date')
    .option('--dry-run', 'print the SQL instead')
    .action(action(async () => (await import('./migrate.js')).migrateUp));
  migrate
    .command('status')
    .description('which migrations are applied')
    .action(action(async () => (await import('./migrate.js')).migrateStatus));
  migrate
    .command('plan')
    .description('print the SQL that would make the target tables fit')
    .action(action(async () => (await import('./migrate.js')).migratePlan));
  const keys = program.command('keys').description('the keyring');
  keys
    .command('init')
    .description('write a new keyring with one primary key')
    .option('--kek-file <path>', 'create a key-encryption key in this file (mode 0600) and use it')
    .action(action(async () => (await import('./keys.js')).keysInit));
  keys
    .command('list')
    .description('key ids and states')
    .action(action(async () => (await import('./keys.js')).keysList));
  keys
    .command('check')
    .description('open every key with the key-encryption key')
    .action(action(async () => (await import('./keys.js')).keysCheck));
  program
    .command('schema')
    .description('print the JSON schema of maskline.yaml')
    .action(action(async () => (await import('./schema.js')).schema));
}
