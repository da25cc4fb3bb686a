import type { LogStream } from '../ops/logger.js';
import { type Environment, readEnvironment } from '../roles/environment.js';
import { type Output, createOutput } from './output.js';
import { StatusLine, type TerminalStream } from './status-line.js';

/** What a command line reads and writes, as Node's `process` has it. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly stdout: TerminalStream;
  readonly stderr: TerminalStream;
  /** Where the log goes; default: file descriptor 2. */
  readonly logStream?: LogStream;
  /** Aborts when nobody reads stdout any more; default: never. */
  readonly unread?: AbortSignal;
}

/** Options that every command takes. */
export interface GlobalOptions {
  readonly config?: string;
  readonly pipeline?: readonly string[];
  readonly json?: boolean;
  readonly logLevel?: string;
  readonly color?: boolean;
  readonly yes?: boolean;
}

/** What a command works with: the edge of the process, read once. */
export interface CliContext {
  readonly environment: Environment;
  readonly configFile: string;
  /** Whether `-c` named it: what is done to a deployment that was named must not be done to one that was found. */
  readonly isConfigNamed: boolean;
  /** Names of pipelines to keep to; empty: all. */
  readonly pipelines: readonly string[];
  readonly logLevel: string;
  /** True when people read stderr. */
  readonly isTerminal: boolean;
  readonly color: boolean;
  /** Every question is answered with yes. */
  readonly yes: boolean;
  readonly out: Output;
  /** The last line of the terminal. */
  readonly line: StatusLine;
  readonly logStream: LogStream | undefined;
  /** Aborts when nobody reads stdout any more. */
  readonly unread: AbortSignal;
}

/** A command: returns the exit code, or throws what it ended with. */
export type Command<Options> = (context: CliContext, options: Options) => Promise<number>;

/** Reads the environment and the streams; MASKLINE_KEK leaves the environment here. */
export function createContext(
  options: GlobalOptions,
  { env, stdout, stderr, logStream, unread = new AbortController().signal }: Surroundings,
): CliContext {
  const environment = readEnvironment(env);
  const isTerminal = stderr.isTTY ?? false;
  const line = new StatusLine(stderr);
  return {
    environment,
    configFile: options.config ?? (environment.variables['MASKLINE_CONFIG'] || './maskline.yaml'),
    isConfigNamed: options.config !== undefined,
    pipelines: options.pipeline ?? [],
    logLevel: options.logLevel ?? environment.logLevel ?? 'info',
    isTerminal,
    color: isTerminal && options.color !== false && !environment.variables['NO_COLOR'],
    yes: options.yes ?? false,
    out: createOutput({
      stdout,
      stderr,
      isTerminal: stdout.isTTY ?? false,
      json: options.json ?? false,
      line,
    }),
    line,
    logStream,
    unread,
  };
}
