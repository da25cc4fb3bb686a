// Writes what is generated from the code: schema.json and the tables of keys in docs/reference.md. A unit test fails
// when they are out of date. Usage: node scripts/write-generated.mjs [BUILD_DIRECTORY]
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { format, resolveConfig } from 'prettier';

const build = resolve(process.argv[2] ?? 'dist', 'src/config');
const load = (file) => import(pathToFileURL(resolve(build, file)).href);
const { jsonSchema } = await load('json-schema.js');
const { referenceMarkdown } = await load('reference.js');

const style = await resolveConfig('schema.json');
writeFileSync('schema.json', await format(JSON.stringify(jsonSchema()), { ...style, parser: 'json' }));

const page = readFileSync('docs/reference.md', 'utf8');
const keys = /(?<=<!-- generated: keys -->\n\n).*?(?=\n\n<!-- end of generated -->)/s;
if (!keys.test(page)) throw new Error('docs/reference.md has lost the markers of its generated part');
writeFileSync(
  'docs/reference.md',
  page.replace(keys, () => referenceMarkdown()),
);
