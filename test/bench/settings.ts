import { parseArgs } from 'node:util';
import { PipelineError } from '../../src/errors.js';

/** A whole number that an argument sets: from 1 to `max`. */
export interface Setting {
  readonly byDefault: number;
  readonly max: number;
}

/** What was asked of a benchmark. */
export interface Asked<Name extends string> {
  readonly settings: Readonly<Record<Name, number>>;
  /** `--dir`, where the benchmark takes one and it was given. */
  readonly dir: string | null;
  readonly json: boolean;
  readonly help: boolean;
}

/**
 * Reads `--NAME N` for each setting, `--json`, `--help` and, where it is taken, `--dir`. Throws `usage`, with the usage
 * text.
 */
export function parseSettings<Name extends string>(
  args: readonly string[],
  settings: Readonly<Record<Name, Setting>>,
  usageText: string,
  { takesDir = false } = {},
): Asked<Name> {
  const entries = Object.entries<Setting>(settings);
  const names = entries.map(([name]) => name);
  const given = parse(args, takesDir ? [...names, 'dir'] : names, usageText);
  const values = entries.map(([name, { byDefault, max }]) => {
    const text = given[name];
    return [name, typeof text === 'string' ? wholeNumber(`--${name}`, text, max) : byDefault] as const;
  });
  return {
    settings: Object.fromEntries(values) as Record<Name, number>,
    dir: typeof given['dir'] === 'string' ? given['dir'] : null,
    json: given['json'] === true,
    help: given['help'] === true,
  };
}

/** A whole number from 1 to `max`. Throws `usage`. */
function wholeNumber(name: string, text: string, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new PipelineError('usage', `${name} must be a whole number from 1 to ${max}`);
}

function parse(
  args: readonly string[],
  names: readonly string[],
  usageText: string,
): { readonly [name: string]: unknown } {
  const texts = names.map((name) => [name, { type: 'string' }] as const);
  try {
    return parseArgs({
      args: [...args],
      options: { ...Object.fromEntries(texts), json: { type: 'boolean' }, help: { type: 'boolean' } },
    }).values;
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'the arguments cannot be read';
    throw new PipelineError('usage', `${reason}\n\n${usageText}`);
  }
}
