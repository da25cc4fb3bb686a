import { Command as Commander, CommanderError } from 'commander';
import { packageVersion } from '../version.js';
import { type Loader, collect } from './action.js';
import type { GlobalOptions, Surroundings } from './context.js';
import { exitCode } from './exit.js';
import { addCompletionCommands } from './completion-commands.js';
import { addDlqCommands } from './dlq-commands.js';
import { addFailedCommands } from './failed-commands.js';
import { addKeyCommands } from './key-commands.js';
import { addForesightCommands } from './foresight-commands.js';
import { addProofCommands } from './proof-commands.js';
import { addQuarantineCommands } from './quarantine-commands.js';
import { addRevealCommands } from './reveal-commands.js';
import { addRunCommands } from './run-commands.js';
import { addSetUpCommands } from './set-up-commands.js';
import { addWatchCommands } from './watch-commands.js';

/** A command line, ready to be run. */
export interface Program {
  /** The tree of commands, to be described. */
  readonly commands: Commander;
  /** Parses the arguments and runs their command. Resolves to the exit code; rejects with what the command threw. */
  run(): Promise<number>;
}

/** The commands of `maskline`, over the arguments of a process (`argv` as Node has it). */
export function buildProgram(argv: readonly string[], surroundings: Surroundings): Program {
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
    .configureOutput({
      writeOut: (text) => surroundings.stdout.write(text),
      writeErr: (text) => surroundings.stderr.write(text),
    })
    .exitOverride();
  const action =
    <Options extends object>(load: Loader<Options>) =>
    async (...given: unknown[]): Promise<void> => {
      const command = given.at(-1);
      if (!(command instanceof Commander)) throw new TypeError('commander passes the command last');
      const { createContext } = await import('./context.js');
      const run = await load();
      const options: Options = { ...command.opts<Options>(), args: command.args };
      code = await run(createContext(command.optsWithGlobals<GlobalOptions>(), surroundings), options);
    };
  addSetUpCommands(program, action);
  addForesightCommands(program, action);
  addKeyCommands(program, action);
  addRunCommands(program, action);
  addWatchCommands(program, action);
  addFailedCommands(program, action);
  addDlqCommands(program, action);
  addQuarantineCommands(program, action);
  addRevealCommands(program, action);
  addProofCommands(program, action);
  addCompletionCommands(program, action);
  return {
    commands: program,
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
