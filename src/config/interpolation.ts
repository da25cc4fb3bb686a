import type { Reading } from './scalars.js';

/** Reads a text file; throws what `fs.readFileSync` throws. */
export type ReadText = (path: string) => string;

/** Environment variables by name. */
export type Environment = Readonly<{ [name: string]: string | undefined }>;

const EXPRESSION = /\$\$\{|\$\{([^{}]*)\}|\$\{/g;
const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?$/s;
const FILE_PREFIX = 'file:';

/** The variable's value; undefined when it is not set or empty, which mean the same everywhere. */
export function envText(env: Environment, name: string): string | undefined {
  const value = env[name];
  return value === '' ? undefined : value;
}

/**
 * Replaces `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `${file:/path}` in one scalar; `$${` stands for a
 * plain `${`. Null when there is nothing to replace. What is wrong names variables and paths, never a value.
 */
export function interpolate(text: string, env: Environment, read: ReadText): Reading<string> | null {
  if (!text.includes('${')) return null;
  const wrong: string[] = [];
  const value = text.replace(EXPRESSION, (whole: string, inner: string | undefined) => {
    if (whole === '$${') return '${';
    const reading = inner === undefined ? malformed : expand(inner, env, read);
    if ('value' in reading) return reading.value;
    wrong.push(reading.wrong);
    return '';
  });
  return wrong.length > 0 ? { wrong: wrong.join('; ') } : { value };
}

const malformed: Reading<string> = {
  wrong:
    'a "${" is not closed or holds another; write ${VAR}, ${VAR:-default}, ${VAR:?message} or ${file:/path}, or $${ for a plain "${"',
};

function expand(inner: string, env: Environment, read: ReadText): Reading<string> {
  if (inner.startsWith(FILE_PREFIX)) return fileText(inner.slice(FILE_PREFIX.length), read);
  const [, name, operator, rest = ''] = VARIABLE.exec(inner) ?? [];
  if (name === undefined) return malformed;
  const value = envText(env, name);
  if (value !== undefined) return { value };
  if (operator === ':-') return { value: rest };
  if (operator === ':?') return { wrong: `the environment variable ${name} is not set: ${rest}` };
  return { wrong: `the environment variable ${name} is not set; set it, or write \${${name}:-default}` };
}

function fileText(path: string, read: ReadText): Reading<string> {
  try {
    const value = read(path).replace(/\r?\n$/, '');
    return value === '' ? { wrong: `the file ${path} is empty` } : { value };
  } catch (error) {
    return { wrong: `the file ${path} cannot be read (${errorCode(error)})` };
  }
}

/** `ENOENT` and the like, for messages. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : 'unknown error';
}
