import type { Command as Commander } from 'commander';
import { type Action, collect, wholeNumber } from './action.js';

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
    .option('--from-sample <file>', 'propose columns and masks for the events of this JSONL file; - is stdin')
    .action(action(async () => (await import('./init.js')).init));
  program
    .command('validate')
    .description('check the configuration and how strong its masks are; with --connect also what it names')
    .option('--connect', 'look at what the configuration names')
    .option('--strict', 'treat warnings as errors')
    .option('--sample <file>', 'also look at what the masks make of these events (JSONL; - is stdin)')
    .action(action(async () => (await import('./validate.js')).validate));
  program
    .command('doctor')
    .description('what is wrong in this environment, and the remedy of each; exit 1 when something is')
    .option('--pm2 <file>', "a file of pm2's apps (default: ecosystem.config.js here, if there is one)")
    .option(
      '--grace <duration>',
      'how long containers are given to end, e.g. 30s: compared with what they need',
    )
    .option('--except <check>', 'leave this check out; may be repeated', collect)
    .action(action(async () => (await import('./doctor.js')).doctorCommand));
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
  program
    .command('schema')
    .description('print the JSON schema of maskline.yaml')
    .action(action(async () => (await import('./schema.js')).schema));
}
