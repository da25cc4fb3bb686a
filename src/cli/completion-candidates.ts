// What may come next on a command line, by the commands that commander knows.

import type { Command as Commander, Option } from 'commander';
import type { RunState } from '../batch.js';
import { rejectionCodes } from '../masking/remedies.js';
import { logLevels } from '../ops/logger.js';
import { policies } from '../policy.js';

/** A word that may stand there, and what it is. */
export interface Candidate {
  readonly word: string;
  readonly about: string;
}

/** What may stand there. */
export interface Completion {
  readonly candidates: readonly Candidate[];
  /** Whether the name of a file may. */
  readonly files: boolean;
}

/** The names of the pipelines of a file, or of the one that is found. */
type Pipelines = (file: string | null) => readonly string[];

const NOTHING: Completion = { candidates: [], files: false };
const FILES: Completion = { candidates: [], files: true };
const RUN_STATES: readonly RunState[] = [
  ...(['running', 'succeeded', 'failed', 'canceled', 'breaker_open', 'abandoned'] as const),
];
/** Names of arguments, and of values in the help of options, that are files. */
const FILE_VALUES = new Set(['file', 'path', 'dir', 'cases.yaml']);
const ARGUMENT_WORDS: Readonly<{ [argument: string]: readonly string[] }> = {
  role: ['ingest', 'transform', 'load', 'admin', 'all'],
  stage: ['ingest', 'transform', 'load'],
  shell: ['bash', 'zsh', 'fish'],
};

/** Candidates for the last of the words, which may be empty; the words are those after `maskline`. */
export function complete(program: Commander, words: readonly string[], pipelines: Pipelines): Completion {
  const last = words.at(-1) ?? '';
  const at = follow(program, words.slice(0, -1));
  const names = (): readonly string[] => pipelines(at.config);
  if (at.awaited) return valuesOf(at, at.awaited, last, '', names);
  const [, name, , value] = /^(--[^=]+)(=)(.*)$/s.exec(last) ?? [];
  if (name !== undefined && value !== undefined) {
    const option = optionsOf(at.command).find((one) => one.long === name);
    return option ? valuesOf(at, option, value, `${name}=`, names) : NOTHING;
  }
  if (last.startsWith('-') && !at.isLiteral) return { candidates: optionCandidates(at, last), files: false };
  const commands = at.positions === 0 ? commandCandidates(at.command) : [];
  const argument = argumentAt(at);
  const isFile = argument !== null && FILE_VALUES.has(argument);
  const given = argument === 'pipeline' ? names() : (ARGUMENT_WORDS[argument ?? ''] ?? []);
  const unused = given
    .filter((word) => !at.given.includes(word))
    .map((word) => ({ word, about: argument ?? '' }));
  return { candidates: startingWith([...commands, ...unused], last), files: isFile };
}

/** Where a command line has come to. */
interface Place {
  readonly command: Commander;
  /** Arguments of the command so far. */
  readonly positions: number;
  readonly given: readonly string[];
  /** Whose value comes next; null: no option's. */
  readonly awaited: Option | null;
  readonly config: string | null;
  /** After `--`, nothing is an option. */
  readonly isLiteral: boolean;
  readonly used: readonly Option[];
}

function follow(program: Commander, words: readonly string[]): Place {
  let place: Place = {
    command: program,
    ...{ positions: 0, given: [], awaited: null, config: null, isLiteral: false, used: [] },
  };
  for (const word of words) place = after(place, word);
  return place;
}

function after(place: Place, word: string): Place {
  const { command, awaited, used } = place;
  if (awaited) {
    const config = awaited.long === '--config' ? word : place.config;
    return { ...place, awaited: null, config };
  }
  if (word === '--' && !place.isLiteral) return { ...place, isLiteral: true };
  if (word.startsWith('-') && !place.isLiteral) {
    const [name, value] = word.split('=', 2);
    const option = optionsOf(command).find(({ short, long }) => short === name || long === name);
    if (option === undefined) return place;
    const config = option.long === '--config' && value !== undefined ? value : place.config;
    const takes = value === undefined && (option.required || option.optional);
    return { ...place, config, awaited: takes ? option : null, used: [...used, option] };
  }
  const next = place.positions === 0 ? command.commands.find((one) => one.name() === word) : undefined;
  if (next) return { ...place, command: next, given: [] };
  return { ...place, positions: place.positions + 1, given: [...place.given, word] };
}

/** The options of a command and of those that it is below: they may stand anywhere. */
function optionsOf(command: Commander): readonly Option[] {
  const own = command.createHelp().visibleOptions(command);
  return command.parent === null ? own : [...own, ...optionsOf(command.parent)];
}

function optionCandidates({ command, used }: Place, prefix: string): readonly Candidate[] {
  const seen = new Set(used.filter((option) => !/may be repeated/.test(option.description)));
  const candidates = optionsOf(command).flatMap((option) =>
    seen.has(option) || option.long === undefined || option.long === null
      ? []
      : [{ word: option.long, about: option.description }],
  );
  const distinct = new Map(candidates.map((candidate) => [candidate.word, candidate]));
  return startingWith([...distinct.values()], prefix);
}

function commandCandidates(command: Commander): readonly Candidate[] {
  const visible = command.createHelp().visibleCommands(command);
  // `help COMMAND` is commander's own, and `--help` does as well.
  return visible
    .filter((one) => one.name() !== 'help')
    .map((one) => ({ word: one.name(), about: one.description() }));
}

/** The name of the argument that comes next; null when none does. */
function argumentAt({ command, positions }: Place): string | null {
  const { registeredArguments: all } = command;
  const last = all.at(-1);
  return (all[positions] ?? (last?.variadic ? last : undefined))?.name() ?? null;
}

function valuesOf(
  { command }: Place,
  option: Option,
  prefix: string,
  before: string,
  pipelines: () => readonly string[],
): Completion {
  const placeholder = /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1] ?? '';
  if (FILE_VALUES.has(placeholder)) return FILES;
  const words = wordsOf(option.long ?? '', command, pipelines).filter((word) => word.startsWith(prefix));
  return {
    candidates: words.map((word) => ({ word: `${before}${word}`, about: placeholder })),
    files: false,
  };
}

function wordsOf(name: string, command: Commander, pipelines: () => readonly string[]): readonly string[] {
  if (name === '--pipeline') return pipelines();
  if (name === '--log-level') return logLevels;
  if (name === '--state') return RUN_STATES;
  if (name !== '--code') return [];
  return command.parent?.name() === 'failed' ? Object.keys(policies) : rejectionCodes;
}

function startingWith(candidates: readonly Candidate[], prefix: string): readonly Candidate[] {
  return candidates.filter(({ word }) => word.startsWith(prefix));
}
