import { Command as Commander, CommanderError, InvalidArgumentError } from 'commander';
import type { Command, GlobalOptions } from './context.js';
import { packageVersion } from '../version.js';
import { exitCode } from './exit.js';

/** A command line, ready to be run. */
export interface Program {
  /** Parses the arguments and runs their command. Resolves to the exit code; rejects with what the command threw. */
  run(): Promise<number>;
}

/** Loads a command's module only when it is the one that was asked for: `--help` must not wait for drivers. */
type Loader<Options> = () => Promise<Command<Options>>;

/** The commands of `maskline`, over the arguments of a process (`argv` as Node has it). */
export function buildProgram(argv: readonly string[]): Program {
  let code: number = exitCode.ok;
  const program = new Commander('maskline')
    .description(
      'Moves events that carry personal data from SQS into Postgres: masked, once each, on a schedule.',
    )
    .version(packageVersion(), '--version', 'print the version')
    .option('-c, --config <file>', 'the configuration (default: MASKLINE_CONFIG or ./maskline.yaml)')
    .option('-p, --pipeline <name>', 'keep to this pipeline; may be repeated', collect)
    .option('--json', 'print data as JSON, one object a line (the default off a terminal)')
    .option('--log-level <level>', 'trace, debug, info, warn, error or silent (default: LOG_LEVEL or info)')
    .option('--no-color', 'no colours (as NO_COLOR does)')
    .option('--yes', 'answer yes to every question')
    .helpOption('-h, --help', 'print help')
    .showHelpAfterError('(see `maskline --help`)')
    .exitOverride();
  const action =
    <Options extends object>(load: Loader<Options>) =>
    async (...given: unknown[]): Promise<void> => {
      const command = given.at(-1);
      if (!(command instanceof Commander)) throw new TypeError('commander passes the command last');
      const { createContext } = await import('./context.js');
      const run = await load();
      const options: Options = { ...command.opts<Options>(), args: command.args };
      code = await run(createContext(command.optsWithGlobals<GlobalOptions>()), options);
    };
  addSetUpCommands(program, action);
  addRunCommands(program, action);
  return {
    run: async () => {
      try {
        await program.parseAsync([...argv]);
      } catch (error) {
        if (!(error instanceof CommanderError)) throw error;
        return error.exitCode === 0 ? exitCode.ok : exitCode.unfit;
      }
      return code;
    },
  };
}

type Action = <Options extends object>(load: Loader<Options>) => (...given: unknown[]) => Promise<void>;

function addSetUpCommands(program: Commander, action: Action): void {
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

function addRunCommands(program: Commander, action: Action): void {
  program
    .command('run')
    .description('run a role until told to stop: ingest, transform, load or all (one process)')
    .argument('[role]', 'ingest, transform, load or all', 'all')
    .option('-j, --jobs <n>', 'batches worked on at once', wholeNumber)
    .action(action(async () => (await import('./run.js')).run));
  program
    .command('drain')
    .description('run each pipeline once: receive until its queue is empty, and wait until all is committed')
    .argument('[pipeline...]', 'pipelines to drain (default: all)')
    .option('--ingest-only', 'leave masking and loading to workers elsewhere')
    .option('--max <n>', 'stop receiving after so many records', wholeNumber)
    .option('--timeout <duration>', 'stop cleanly after so long, e.g. 10m')
    .action(action(async () => (await import('./drain.js')).drainCommand));
  const schedule = program.command('schedule').description('when pipelines run');
  schedule
    .command('pause')
    .description('start no run by the schedule until resumed')
    .argument('<pipeline...>')
    .option('--reason <text>', 'why, for those who look')
    .action(action(async () => (await import('./schedule.js')).schedulePause));
  schedule
    .command('resume')
    .description('end a pause, and close the breaker')
    .argument('<pipeline...>')
    .action(action(async () => (await import('./schedule.js')).scheduleResume));
  const runs = program.command('runs').description('runs and their reports');
  runs
    .command('list')
    .description('the latest runs')
    .option('--limit <n>', 'how many', wholeNumber, 20)
    .action(action(async () => (await import('./runs.js')).runsList));
  runs
    .command('show')
    .description('one run and its batches')
    .argument('<run_id>')
    .action(action(async () => (await import('./runs.js')).runsShow));
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}
