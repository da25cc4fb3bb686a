import { pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { type LogFields, allowedFields } from './log-fields.js';

/** From the most to the least talkative; what `LOG_LEVEL` and `--log-level` accept. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** One of `logLevels`. */
export type LogLevel = (typeof logLevels)[number];

/** Writes one line a call. Fields are those of `LogFields` only; `text` is a constant sentence, no data. */
export interface Logger {
  debug(fields: LogFields, text?: string): void;
  info(fields: LogFields, text?: string): void;
  warn(fields: LogFields, text?: string): void;
  error(fields: LogFields, text?: string): void;
}

/** Where log lines go; each chunk is one line. */
export interface LogStream {
  write(line: string): void;
}

/** How to log. */
export interface LoggerOptions {
  readonly level: LogLevel;
  /** Fields of every line, such as the role. */
  readonly base?: LogFields;
  /** Readable lines instead of JSON; for a terminal. */
  readonly pretty: boolean;
  readonly color?: boolean;
  /** Default: stderr, written to before the call returns, so that the last line before an exit is not lost. */
  readonly stream?: LogStream | undefined;
}

const STDERR = 2;

/** A logger of JSON lines (pino), or of readable ones. */
export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    level: options.level,
    base: { pid: process.pid, ...allowedFields(options.base ?? {}) },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const stream = options.stream ?? stderr();
  const log = pino(settings, options.pretty ? readable(stream, options.color ?? false) : stream);
  return {
    debug: (fields, text) => log.debug(allowedFields(fields), text),
    info: (fields, text) => log.info(allowedFields(fields), text),
    warn: (fields, text) => log.warn(allowedFields(fields), text),
    error: (fields, text) => log.error(allowedFields(fields), text),
  };
}

function stderr(): LogStream {
  const stream = pino.destination({ dest: STDERR, sync: true });
  // Nobody reads the log any more: no reason to stop loading.
  stream.on('error', () => undefined);
  return stream;
}

/** For people: local time, level, text and fields in one line. Formatted in this call, not in a stream of its own. */
function readable(stream: LogStream, colorize: boolean): LogStream {
  const format = prettyFactory({
    colorize,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss',
    ignore: 'pid,role,event',
    messageFormat: (line, messageKey) => [line['event'], line[messageKey]].filter(Boolean).join(': '),
  });
  return { write: (line) => stream.write(format(line)) };
}
