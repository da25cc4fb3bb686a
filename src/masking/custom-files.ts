// The files of a custom mask: its own, and what that imports from beside it. Their bytes are part of the policy.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** One file as it was read. */
export interface CustomFile {
  /** Its place as a `file:` URL, by which others import it. */
  readonly url: string;
  /** Its place from the folder of the first file, with `/`. */
  readonly name: string;
  readonly text: string;
}

/** A masker's files, the one that is named in the pipeline file first. */
export interface CustomFiles {
  readonly files: readonly CustomFile[];
  /** SHA-256, in hex, over names and bytes of all of them. */
  readonly sha256: string;
}

/** A masker is some pages of code; what is more is a slip, such as a path to a bundle or a data file. */
const MOST_FILES = 100;
const MOST_BYTES = 8 * 1024 * 1024;
const EXTENSIONS = ['.ts', '.mts', '.js', '.mjs'];
const IMPORTED = [...EXTENSIONS, '.json'];
/** TypeScript imports a file by the name that it will have once it is compiled. */
const COMPILED: Readonly<{ [extension: string]: string }> = { '.js': '.ts', '.mjs': '.mts' };
/** Any text that could be such an import. One too many does no harm; a path that is put together is not found. */
const relativeText = /(['"`])(\.{1,2}\/[^'"`\\\r\n]{1,1024})\1/g;

/** Whether a custom mask may be in a file of that name. */
export function isCode(file: string): boolean {
  return EXTENSIONS.includes(path.extname(file)) && !/\.d\.m?ts$/.test(file);
}

/** The places where what is imported by that URL may be, in the order in which they are looked at. */
export function candidatesOf(url: string): readonly string[] {
  const extension = path.posix.extname(url);
  const source = COMPILED[extension];
  return source === undefined ? [url] : [url, url.slice(0, -extension.length) + source];
}

/** Reads a masker's files, or says why they can't be. Whatever is imported from a package is not among them. */
export function readCustomFiles(file: string): CustomFiles | { readonly wrong: string } {
  const first = pathToFileURL(file);
  const folder = path.dirname(file);
  const files = new Map<string, CustomFile>();
  const hash = createHash('sha256');
  const waiting = [first.href];
  let bytes = 0;
  for (let url = waiting.shift(); url !== undefined; url = waiting.shift()) {
    if (files.has(url)) continue;
    const read = readFile(url);
    if (typeof read === 'string') {
      if (files.size === 0) return { wrong: `cannot be read (${read})` };
      continue;
    }
    bytes += read.length;
    if (files.size >= MOST_FILES || bytes > MOST_BYTES)
      return { wrong: `with what it imports has more than ${MOST_FILES} files, or more than 8 MiB` };
    const name = path.relative(folder, fileURLToPath(url)).split(path.sep).join('/');
    hash.update(`${name}\0${read.length}\0`).update(read);
    const text = read.toString('utf8');
    files.set(url, { url, name, text });
    if (name.endsWith('.json')) continue;
    for (const [, , specifier = ''] of text.matchAll(relativeText)) {
      const target = new URL(specifier, url).href;
      if (!IMPORTED.includes(path.posix.extname(target))) continue;
      waiting.push(...candidatesOf(target));
    }
  }
  return { files: [...files.values()], sha256: hash.digest('hex') };
}

/** The bytes, or the code of the error. */
function readFile(url: string): Buffer | string {
  try {
    return readFileSync(new URL(url));
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  }
}
