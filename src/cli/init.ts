import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { initTemplate } from '../config/template.js';
import { PipelineError } from '../errors.js';
import type { Command } from './context.js';
import { exitCode } from './exit.js';
import { proposeFile } from './init-sample.js';

interface InitOptions {
  readonly table?: string;
  readonly fromSample?: string;
}

/** `init`: writes maskline.yaml and .env.example, and overwrites nothing; with a sample, a mask for each of its fields. */
export const init: Command<InitOptions> = async ({ configFile, out }, { table, fromSample }) => {
  const paths = [configFile, join(dirname(configFile), '.env.example')] as const;
  const existing = paths.filter((path) => existsSync(path));
  if (existing.length > 0) {
    throw new PipelineError(
      'usage',
      `${existing.join(' and ')} exists already; move it away, or name another with --config`,
    );
  }
  const proposed = fromSample === undefined ? null : await proposeFile(configFile, fromSample, table);
  const { yaml, env } = proposed ?? initTemplate(table === undefined ? {} : { table });
  writeFileSync(paths[0], yaml, { flag: 'wx' });
  writeFileSync(paths[1], env, { flag: 'wx' });
  out.result(
    { written: paths, ...proposed?.report },
    [
      ...(proposed === null ? [] : [proposed.text, '']),
      `Wrote ${paths.join(' and ')}. Next:`,
      ...(proposed === null
        ? []
        : ['  0. read the masks in it: what a sample does not show, nobody could propose']),
      '  1. set the variables of .env.example in the environment',
      '  2. maskline keys init       makes the keyring',
      '  3. maskline migrate         makes the tables',
      '  4. maskline validate --connect',
      '  5. maskline drain           runs once; `maskline run` runs by the schedule',
    ].join('\n'),
  );
  return exitCode.ok;
};
