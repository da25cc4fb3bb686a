import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import test from 'node:test';
import { format, resolveConfig } from 'prettier';
import { commandsMarkdown } from '../../src/cli/command-reference.js';
import { buildProgram } from '../../src/cli/program.js';
import { ROOT } from '../support/documents.js';

const page = readFileSync(join(ROOT, 'docs/cli.md'), 'utf8');

function program(...args: readonly string[]): {
  printed: PassThrough;
  program: ReturnType<typeof buildProgram>;
} {
  const printed = new PassThrough();
  const surroundings = { env: {}, stdout: printed, stderr: printed };
  return { printed, program: buildProgram(['node', 'maskline', ...args], surroundings) };
}

test('the commands in docs/cli.md are what the program has', async () => {
  const style = await resolveConfig(join(ROOT, 'docs/cli.md'));
  const told = await format(commandsMarkdown(program().program.commands), { ...style, parser: 'markdown' });
  const part = /<!-- generated: commands -->\n\n(.*)\n\n<!-- end of generated -->/s.exec(page)?.[1];
  assert.equal(part, told.trim(), 'out of date: run npm run generate');
});

test('each command that the help names is in docs/cli.md, with the options of its own help', async () => {
  const { printed, program: asked } = program('--help');
  assert.equal(await asked.run(), 0);
  const names = [...String(printed.read()).matchAll(/^ {2}([a-z]+) .*/gm)].map(([, name = '']) => name);
  assert.ok(names.length > 20, `only ${names.length} commands`);
  for (const name of names.filter((one) => one !== 'help'))
    assert.match(page, new RegExp(`^## maskline ${name}\\b`, 'm'));

  const { printed: ofDrain, program: drain } = program('drain', '--help');
  assert.equal(await drain.run(), 0);
  const [, section = ''] = /\n## maskline drain\n(.*?)\n## /s.exec(page) ?? [];
  const flags = [...String(ofDrain.read()).matchAll(/ (--[a-z-]+)/g)].map(([, flag = '']) => flag);
  for (const flag of flags.filter((one) => one !== '--help')) assert.ok(section.includes(flag), flag);
});
