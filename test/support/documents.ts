// The project's pages in Markdown, as a reader meets them: commands, what they are said to show, links and anchors.
// Prettier's parser of Markdown is CommonMark's with tables.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parsers } from 'prettier/plugins/markdown';

/** The top of the checkout. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** A fenced block of shell commands. */
export interface CommandBlock {
  readonly document: string;
  readonly line: number;
  readonly text: string;
  /** What the block right after it, of `text` or `json`, says that it shows; null without one. */
  readonly shows: string | null;
}

/** A page. */
export interface Page {
  /** Its path below the top of the checkout. */
  readonly file: string;
  readonly blocks: readonly CommandBlock[];
  readonly links: readonly { readonly url: string; readonly line: number }[];
  /** Names of its headings, as GitHub makes anchors of them. */
  readonly anchors: ReadonlySet<string>;
  /** Code within sentences. */
  readonly spans: readonly { readonly text: string; readonly line: number }[];
}

/** A node of the tree, as far as it is looked at: https://github.com/syntax-tree/mdast. */
interface Node {
  readonly type: string;
  readonly value?: string;
  readonly lang?: string | null;
  readonly url?: string;
  readonly children?: readonly Node[];
  readonly position?: { readonly start: { readonly line: number } };
}

/** Below these folders every page is one of ours. */
const FOLDERS = ['docs', 'deploy', 'examples'];

/** All pages but the changelog, which tells of what was. */
export async function readPages(): Promise<readonly Page[]> {
  const above = readdirSync(ROOT).filter((name) => name.endsWith('.md') && name !== 'CHANGELOG.md');
  const below = FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  );
  assert.ok(existsSync(join(ROOT, 'docs')), 'there is no docs folder');
  return Promise.all([...above, ...below].toSorted().map(readPage));
}

async function readPage(file: string): Promise<Page> {
  return parsePage(file, readFileSync(join(ROOT, file), 'utf8'));
}

/** A page of that text. */
export async function parsePage(file: string, text: string): Promise<Page> {
  // Of a formatter's options its parser wants none.
  const tree: unknown = await Reflect.apply(parsers.markdown.parse, undefined, [text, {}]);
  assert.ok(isNode(tree), `${file} has no tree`);
  const all = [...walk(tree)];
  const lineOf = (node: Node): number => node.position?.start.line ?? 0;
  return {
    file,
    blocks: all.flatMap((node) => blocksOf(node, file)).toSorted((a, b) => a.line - b.line),
    links: all.flatMap((node) =>
      ['link', 'image', 'definition'].includes(node.type)
        ? [{ url: node.url ?? '', line: lineOf(node) }]
        : [],
    ),
    anchors: anchorsOf(all.filter(({ type }) => type === 'heading')),
    spans: all.flatMap((node) =>
      node.type === 'inlineCode' ? [{ text: node.value ?? '', line: lineOf(node) }] : [],
    ),
  };
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value;
}

function* walk(node: Node): Generator<Node> {
  yield node;
  for (const child of node.children ?? []) yield* walk(child);
}

/** The blocks of commands among the children of a node. */
function blocksOf({ children = [] }: Node, document: string): readonly CommandBlock[] {
  return children.flatMap((node, index) => {
    if (node.type !== 'code' || !['sh', 'bash', 'shell', 'console'].includes(node.lang ?? '')) return [];
    const next = children[index + 1];
    const isShown = next?.type === 'code' && ['text', 'json'].includes(next.lang ?? '');
    return [
      {
        document,
        line: node.position?.start.line ?? 0,
        text: node.value ?? '',
        shows: isShown ? (next.value ?? '') : null,
      },
    ];
  });
}

/** As https://github.com/Flet/github-slugger does: repeated ones get a number. */
function anchorsOf(headings: readonly Node[]): ReadonlySet<string> {
  const seen = new Map<string, number>();
  const anchors = headings.map((heading) => {
    const slug = plainText(heading)
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
      .replaceAll(' ', '-');
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    return times === 0 ? slug : `${slug}-${times}`;
  });
  return new Set(anchors);
}

function plainText({ value = '', children = [] }: Node): string {
  return value + children.map(plainText).join('');
}
