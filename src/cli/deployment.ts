import { type Config } from '../config/config.js';
import { loadConfig } from '../config/load.js';
import { PipelineError } from '../errors.js';
import { type LogLevel, type Logger, createLogger, logLevels } from '../ops/logger.js';
import { type Deployment, createDeployment } from '../roles/deployment.js';
import type { CliContext } from './context.js';

/** The configuration that the command line and the environment name. Throws `config_invalid`. */
export function readConfig({ configFile, environment }: CliContext): Config {
  return loadConfig({ file: configFile, env: environment.variables });
}

/** A deployment of that configuration, with a logger on stderr. */
export function openDeployment(context: CliContext, role: string, config = readConfig(context)): Deployment {
  return createDeployment(config, context.environment, openLogger(context, role));
}

/** A logger on stderr at the level that was asked for. Throws `usage` for a level that there is not. */
export function openLogger(context: CliContext, role: string): Logger {
  const level: LogLevel | undefined = logLevels.find((known) => known === context.logLevel);
  if (level === undefined) {
    throw new PipelineError('usage', `the log level must be one of ${logLevels.join(', ')}`);
  }
  return loggerOf(context, level, role);
}

/** A logger for what must go on record, however quiet the others were asked to be. */
export function openAuditLog(context: CliContext): Logger {
  return loggerOf(context, 'info', 'cli');
}

function loggerOf({ isTerminal, color, logStream, line }: CliContext, level: LogLevel, role: string): Logger {
  // A terminal is written to in the call too, and what shows how far things are steps aside.
  const aside = { write: (text: string) => line.write(text) };
  const stream = logStream ?? (isTerminal ? aside : undefined);
  return createLogger({ level, base: { role }, pretty: isTerminal, color, stream });
}
