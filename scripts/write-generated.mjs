// Writes what is generated from the code: schema.json, the tables of keys in docs/reference.md and the commands in
// docs/cli.md. A unit test fails when they are out of date. Usage: node scripts/write-generated.mjs [BUILD_DIRECTORY]
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { format, resolveConfig } from 'prettier';

const build = resolve(process.argv[2] ?? 'dist', 'src');
const load = (file) => import(pathToFileURL(resolve(build, file)).href);
const { jsonSchema } = await load('config/json-schema.js');
const { referenceMarkdown } = await load('config/reference.js');
const { buildProgram } = await load('cli/program.js');
const { commandsMarkdown } = await load('cli/command-reference.js');

const style = await resolveConfig('schema.json');
writeFileSync('schema.json', await format(JSON.stringify(jsonSchema()), { ...style, parser: 'json' }));

/** Puts the text between the markers of the page's generated part. */
function fill(page, part, text) {
  const whole = readFileSync(page, 'utf8');
  const pattern = new RegExp(
    `(?<=<!-- generated: ${part} -->\\n\\n).*?(?=\\n\\n<!-- end of generated -->)`,
    's',
  );
  if (!pattern.test(whole)) throw new Error(`${page} has lost the markers of its generated part`);
  writeFileSync(
    page,
    whole.replace(pattern, () => text),
  );
}

fill('docs/reference.md', 'keys', referenceMarkdown());
const pageStyle = await resolveConfig('docs/cli.md');
const commands = commandsMarkdown(buildProgram([], process).commands);
fill('docs/cli.md', 'commands', (await format(commands, { ...pageStyle, parser: 'markdown' })).trim());
