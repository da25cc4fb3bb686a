import { readFileSync } from 'node:fs';
import { PipelineError } from '../errors.js';
import { assembleConfig } from './assembly.js';
import type { Config } from './config.js';
import { parseConfigText } from './document.js';
import { type Environment, type ReadText, errorCode, interpolate } from './interpolation.js';
import { type ConfigProblem, type Findings, type Path, formatProblem, sortProblems } from './problem.js';

/** Where a configuration comes from. `env` is looked at, never changed; `read` is for tests. */
export interface ConfigOrigin {
  readonly file: string;
  readonly env: Environment;
  readonly read?: ReadText;
}

/** What a look at the file gave: the configuration, unless there are errors, and all problems in file order. */
export interface CheckedConfig {
  readonly config: Config | null;
  readonly problems: readonly ConfigProblem[];
}

const readUtf8: ReadText = (path) => readFileSync(path, 'utf8');

/** The frozen configuration. Throws one `config_invalid` that lists every error, a line each, with its place. */
export function loadConfig(origin: ConfigOrigin): Config {
  const { config, problems } = checkConfig(origin);
  if (config !== null) return config;
  const errors = problems.filter((problem) => problem.severity === 'error');
  throw new PipelineError('config_invalid', errors.map(formatProblem).join('\n'));
}

/** As `loadConfig`, but returns problems, warnings included, instead of throwing. */
export function checkConfig({ file, env, read = readUtf8 }: ConfigOrigin): CheckedConfig {
  const problems: ConfigProblem[] = [];
  const report = (place: Pick<ConfigProblem, 'line' | 'column'>, path: Path, message: string): void => {
    problems.push({ file, ...place, path: path.join('.'), message, severity: 'error' });
  };
  const text = readConfigText(file, read, (message) => report({ line: 1, column: 1 }, [], message));
  const document =
    text === null ? null : parseConfigText(text, (scalar) => interpolate(scalar, env, read), report);
  if (document === null) return { config: null, problems: sortProblems(problems) };
  // One error a place: what follows from it would only confuse.
  const excused = new Set(problems.map(({ path }) => path).filter((path) => path !== ''));
  const find = (
    severity: ConfigProblem['severity'],
    path: Path,
    message: string,
    part: 'key' | 'value' = 'value',
  ): void => {
    const dotted = path.join('.');
    if (excused.has(dotted)) return;
    if (severity === 'error' && dotted !== '') excused.add(dotted);
    problems.push({ file, ...document.locate(path, part), path: dotted, message, severity });
  };
  const findings: Findings = {
    error: (path, message, part) => find('error', path, message, part),
    warn: (path, message) => find('warning', path, message),
    excuse: (path) => void excused.add(path.join('.')),
  };
  const config = assembleConfig(file, document.data, env, findings);
  const failed = problems.some((problem) => problem.severity === 'error');
  return { config: failed || config === null ? null : deepFreeze(config), problems: sortProblems(problems) };
}

function readConfigText(file: string, read: ReadText, wrong: (message: string) => void): string | null {
  try {
    return read(file);
  } catch (error) {
    wrong(
      `cannot be read (${errorCode(error)}); name another with --config, or let \`maskline init\` write one`,
    );
    return null;
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
