import { InvalidArgumentError } from 'commander';
import type { Command } from './context.js';

/** Loads a command's module only when it is the one that was asked for: `--help` must not wait for drivers. */
export type Loader<Options> = () => Promise<Command<Options>>;

/** Makes what commander calls of a command. */
export type Action = <Options extends object>(
  load: Loader<Options>,
) => (...given: unknown[]) => Promise<void>;

/** Collects an option that may be repeated. */
export function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** Reads the value of an option that is a count. */
export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Expected a whole number.');
  return Number(text);
}
