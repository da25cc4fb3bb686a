import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { initTemplate } from '../config/template.js';
import { PipelineError } from '../errors.js';
import type { Command } from './context.js';
import { exitCode } from './exit.js';

/** `init`: writes maskline.yaml and .env.example, and overwrites nothing. */
export const init: Command<{ readonly table?: string }> = async ({ configFile, out }, { table }) => {
  const { yaml, env } = initTemplate(table === undefined ? {} : { table });
  const files = [
    { path: configFile, text: yaml },
    { path: join(dirname(configFile), '.env.example'), text: env },
  ];
  const existing = files.filter(({ path }) => existsSync(path)).map(({ path }) => path);
  if (existing.length > 0) {
    throw new PipelineError(
      'usage',
      `${existing.join(' and ')} exists already; move it away, or name another with --config`,
    );
  }
  for (const { path, text } of files) writeFileSync(path, text, { flag: 'wx' });
  out.result(
    { written: files.map(({ path }) => path) },
    [
      `Wrote ${files.map(({ path }) => path).join(' and ')}. Next:`,
      '  1. set the variables of .env.example in the environment',
      '  2. maskline keys init       makes the keyring',
      '  3. maskline migrate         makes the tables',
      '  4. maskline validate --connect',
      '  5. maskline drain           runs once; `maskline run` runs by the schedule',
    ].join('\n'),
  );
  return exitCode.ok;
};
