import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { before, test } from 'node:test';
import { commandLinesOf, problemOf } from '../support/named-commands.js';
import { type Page, ROOT, parsePage, readPages } from '../support/documents.js';

/** Signs of a synopsis: a choice, a part that may be left out, or more of the same. */
const SYNOPSIS = /[[\]|…<>]/;
/** A sentence may name a command without all that it needs, or a group of them. */
const LEFT_OUT =
  /required option .* not specified|argument missing|missing required argument|: Usage: maskline/;

let pages: readonly Page[];
before(async () => {
  pages = await readPages();
});

/** What is wrong with a link of a page. */
function problemOfLink(page: Page, url: string): string | null {
  if (/^(?:https?|mailto):/.test(url)) return null;
  const [path = '', anchor] = url.split('#');
  const file = path === '' ? page.file : normalize(join(dirname(page.file), decodeURIComponent(path)));
  if (!existsSync(join(ROOT, file))) return `${file} does not exist`;
  if (anchor === undefined) return null;
  const target = pages.find((one) => one.file === file);
  if (target === undefined) return `${file} has no headings`;
  return target.anchors.has(anchor) ? null : `${file} has no heading for #${anchor}`;
}

test('each link of each page leads to a file that is there, and to a heading of it', () => {
  const links = pages.flatMap((page) => page.links.map((link) => ({ page, ...link })));
  assert.ok(links.length > 40, `only ${links.length} links were found`);
  const broken = links.flatMap(({ page, url, line }) => {
    const problem = problemOfLink(page, url);
    return problem === null ? [] : [`${page.file}:${line} ${url}: ${problem}`];
  });
  assert.deepEqual(broken, []);
});

test('each page of docs is in its index', () => {
  const index = pages.find(({ file }) => file === 'docs/README.md');
  const listed = index?.links.map(({ url }) => url.split('#')[0]);
  const own = pages.map(({ file }) => file).filter((file) => /^docs\/[^/]+\.md$/.test(file));
  const missing = own.filter(
    (file) => file !== 'docs/README.md' && !listed?.includes(file.slice('docs/'.length)),
  );
  assert.deepEqual(missing, []);
});

test('each page that the code, a recipe or an example names is there, and the heading of it', () => {
  const folders = ['src', 'workers', 'deploy', 'examples', 'scripts'];
  const files = folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder, name))
      .filter((file) => !file.endsWith('.md') && statSync(join(ROOT, file)).isFile()),
  );
  const named = files.flatMap((file) =>
    [...readFileSync(join(ROOT, file), 'utf8').matchAll(/\bdocs\/([a-z-]+\.md)(#[\w-]+)?/g)].map(
      ([, page = '', anchor = '']) => ({ file, url: `docs/${page}${anchor}` }),
    ),
  );
  assert.ok(named.length > 5, `only ${named.length} were found`);
  const top: Page = { file: 'top', blocks: [], links: [], anchors: new Set(), spans: [] };
  const broken = named.flatMap(({ file, url }) => {
    const problem = problemOfLink(top, url);
    return problem === null ? [] : [`${file}: ${problem}`];
  });
  assert.deepEqual(broken, []);
});

test('each command that a sentence or a block of a page names is one of the program, with its options', async () => {
  const texts = pages.flatMap(({ file, spans, blocks }) => [
    ...spans.filter(({ text }) => !SYNOPSIS.test(text)).map((span) => ({ file, ...span, isWhole: false })),
    ...blocks.map(({ text, line }) => ({ file, text, line, isWhole: true })),
  ]);
  const lines = texts.flatMap(({ file, line, text, isWhole }) =>
    commandLinesOf(text).map((args) => ({ where: `${file}:${line}`, args, isWhole })),
  );
  assert.ok(lines.length > 60, `only ${lines.length} were found`);
  const wrong: string[] = [];
  for (const { where, args, isWhole } of lines) {
    const problem = args.length === 0 ? null : await problemOf(args);
    if (problem !== null && (isWhole || !LEFT_OUT.test(problem))) wrong.push(`${where} ${problem}`);
  }
  assert.deepEqual(wrong, []);
});

test('each command that a message or a comment of the code names is one of the program, with its options', async () => {
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  const named = files
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      [...readFileSync(join(ROOT, 'src', file), 'utf8').matchAll(/`(maskline [a-z][^`\\$]*)\\?`/g)].map(
        ([, text = '']) => ({ file, text }),
      ),
    )
    .filter(({ text }) => !SYNOPSIS.test(text));
  assert.ok(named.length > 40, `only ${named.length} were found`);
  const wrong: string[] = [];
  for (const { file, text } of named) {
    for (const args of commandLinesOf(text)) {
      const problem = await problemOf(args);
      if (problem !== null && !LEFT_OUT.test(problem)) wrong.push(`${file} ${problem}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('each script that a block runs is one of package.json, and each filter finds tests', () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    readonly scripts: Readonly<{ [name: string]: string }>;
  };
  const tests = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' });
  const commands = pages.flatMap(({ blocks, spans }) =>
    [...blocks, ...spans].flatMap(({ text }) => [
      ...text.matchAll(/npm (run [\w:-]+|test(?: -- [\w -]+)?)/g),
    ]),
  );
  assert.ok(commands.length > 10, `only ${commands.length} were found`);
  for (const [, command = ''] of commands) {
    const [what, name = ''] = command.split(/ (?:-- )?/);
    if (what === 'run') assert.ok(name in scripts, command);
    else
      for (const filter of command.split(' ').slice(2))
        assert.ok(
          tests.some((file) => file.includes(filter)),
          command,
        );
  }
});

test('a page is read with its blocks, what they show, links, anchors and code, also within lists and tables', async () => {
  const text = [
    '# A `thing`: one, two & more',
    '## Twice\n## Twice',
    '- see [b](b.md#c)\n\n  ```sh\n  maskline drain\n  ```\n',
    '| a | b |\n| --- | --- |\n| [t](t.md) | `maskline prove` |\n',
    '```sh\nnpx maskline prove\n```\n\n```text\nall well\n```\n',
    '```yaml\nversion: 1\n```',
  ].join('\n');
  const page = await parsePage('x.md', text);
  assert.deepEqual([...page.anchors], ['a-thing-one-two--more', 'twice', 'twice-1']);
  assert.deepEqual(
    page.links.map(({ url }) => url),
    ['b.md#c', 't.md'],
  );
  assert.deepEqual(
    page.blocks.map(({ text: commands, shows }) => [commands, shows]),
    [
      ['maskline drain', null],
      ['npx maskline prove', 'all well'],
    ],
  );
  assert.deepEqual(
    page.spans.map((span) => span.text),
    ['thing', 'maskline prove'],
  );
});

test('a command is found behind npx, variables and pipes, and an unknown option of it is refused', async () => {
  const found = commandLinesOf(
    'A=1 maskline drain --max 5 # once\nx | npx maskline reveal - --purpose "a b" > y\ncd maskline && ls',
  );
  assert.deepEqual(found, [
    ['drain', '--max', '5'],
    ['reveal', '-', '--purpose', 'a b'],
  ]);
  assert.equal(await problemOf(['drain', '--max', 'N']), null);
  assert.match((await problemOf(['drain', '--maximum', '5'])) ?? '', /unknown option '--maximum'/);
  assert.match((await problemOf(['drane'])) ?? '', /unknown command 'drane'/);
});
