import { readFileSync } from 'node:fs';
import type { Command as Commander } from 'commander';
import { pipelineNames } from '../config/pipeline-names.js';
import { PipelineError } from '../errors.js';
import type { Command } from './context.js';
import { complete } from './completion-candidates.js';
import { completionScripts } from './completion-scripts.js';
import { exitCode } from './exit.js';

interface Words {
  readonly args: readonly string[];
}

/** `completion`: the script for a shell, which asks `__complete` for candidates. */
export const completion: Command<Words> = async ({ out }, { args: [shell = ''] }) => {
  const script = Object.entries(completionScripts).find(([name]) => name === shell)?.[1];
  if (script === undefined) {
    throw new PipelineError(
      'usage',
      `there is no completion for ${shell}; there is for ${Object.keys(completionScripts).join(', ')}`,
    );
  }
  out.text(script);
  return exitCode.ok;
};

/** `__complete`: candidates for the last of the words, a line each: the word, a tab, and what it is. */
export function candidatesOf(program: Commander): Command<Words> {
  return async ({ out, environment }, { args }) => {
    const { candidates, files } = complete(program, args, (named) => {
      const file = named ?? (environment.variables['MASKLINE_CONFIG'] || './maskline.yaml');
      try {
        return pipelineNames(readFileSync(file, 'utf8'));
      } catch {
        // Who has no file yet has no pipelines.
        return [];
      }
    });
    const lines = candidates.map(({ word, about }) => `${word}\t${about}\n`);
    out.text([...lines, ...(files ? [':files\n'] : [])].join('') || '\n');
    return exitCode.ok;
  };
}
