import * as nodeModule from 'node:module';

import type { Place, Unfit } from './custom-exchange.js';
import type { CustomFile } from './custom-files.js';
import { type Modules, UNKNOWN_IMPORT, initialize, load, resolve } from './custom-hooks.js';

/** The exports of a masker's first file, or why there are none. */
export type Loaded = { readonly exports: { readonly [name: string]: unknown } } | Unfit;

/** What the compiler throws. Its message and snippet quote the file. */
interface CompilerError {
  readonly code: string;
  readonly startLine: number;
  readonly startColumn: number;
}

/** Files that were written anew: their lines are no longer where they were. */
const moved = new Set<string>();
const HOOKS = new URL('custom-hooks.js', import.meta.url);
const isTypeScript = /\.m?ts$/;
const moduleName = /^[@A-Za-z0-9_][@A-Za-z0-9_./-]{0,213}$/;
const notFound = /^Cannot find (?:package|module) '([^']+)'/;
const noSuchName = /does not provide an export named/;
const stackFrame = /^ {4}at (?:.{0,200} \()?(file:[^)]{1,4096}?):([0-9]{1,7}):([0-9]{1,7})\)?$/;

/** Loads a masker in this thread, once. TypeScript is compiled, and not checked for its types. Never rejects. */
export async function loadModules(files: readonly CustomFile[]): Promise<Loaded> {
  const [first] = files;
  if (!first) throw new TypeError('a masker has at least one file');
  try {
    const modules: { [url: string]: Modules[string] } = {};
    for (const file of files) modules[file.url] = await moduleOf(file);
    installHooks(modules);
    const exports: unknown = await import(first.url);
    return { exports: Object.fromEntries(Object.entries(exports ?? {})) };
  } catch (error) {
    return whyNot(error, files);
  }
}

/** Where an error was thrown in a masker's files, by its stack; null when it can't be told. */
export function placeOf(error: unknown, files: readonly CustomFile[]): Place | null {
  const stack = error instanceof Error && typeof error.stack === 'string' ? error.stack : '';
  for (const frame of stack.split('\n')) {
    const [, url, line, column] = stackFrame.exec(frame) ?? [];
    const file = files.find((one) => one.url === url && !moved.has(url));
    // What stands above the frames is the error's own text: what is no line of the file is no place.
    if (file && Number(line) >= 1 && Number(line) <= file.text.split('\n').length)
      return { name: file.name, line: Number(line), column: Number(column) };
  }
  return null;
}

/** An error of a masker, without a word of its text. */
export function unfit(
  why: Unfit['why'],
  { subject = null, place = null }: Partial<Pick<Unfit, 'subject' | 'place'>> = {},
): Unfit {
  return { kind: 'unfit', why, subject, place };
}

class NotCompiled extends Error {
  readonly place: Place;

  constructor(place: Place) {
    super('not compiled');
    this.place = place;
  }
}

async function moduleOf(file: CustomFile): Promise<Modules[string]> {
  if (file.name.endsWith('.json')) return { format: 'json', source: file.text };
  return { format: 'module', source: isTypeScript.test(file.name) ? await compiled(file) : file.text };
}

/** Types become white space, so that lines and columns stay; only what is more than types is written anew. */
async function compiled(file: CustomFile): Promise<string> {
  const compiler = await import('@swc/wasm-typescript');
  const compile = (mode: 'strip-only' | 'transform'): string =>
    compiler.transformSync(file.text, { mode, module: true, filename: file.name }).code;
  try {
    return compile('strip-only');
  } catch (error) {
    if (!isCompilerError(error)) throw error;
    if (error.code !== 'UnsupportedSyntax') throw new NotCompiled(startOf(error, file));
  }
  try {
    moved.add(file.url);
    return compile('transform');
  } catch (error) {
    throw isCompilerError(error) ? new NotCompiled(startOf(error, file)) : error;
  }
}

function startOf({ startLine, startColumn }: CompilerError, { name }: CustomFile): Place {
  return { name, line: startLine, column: startColumn + 1 };
}

/** Node's newer versions run hooks in this thread; the older ones in one of their own. */
function installHooks(modules: Modules): void {
  const inThread: unknown = Reflect.get(nodeModule, 'registerHooks');
  if (typeof inThread !== 'function') {
    nodeModule.register(HOOKS, { data: modules });
    return;
  }
  void initialize(modules);
  Reflect.apply(inThread, undefined, [{ resolve, load }]);
}

async function whyNot(error: unknown, files: readonly CustomFile[]): Promise<Unfit> {
  if (error instanceof NotCompiled) return unfit('syntax', { place: error.place });
  if (!(error instanceof Error)) return unfit('threw');
  const code = 'code' in error ? error.code : null;
  if (code === UNKNOWN_IMPORT) return unfit('unknown_import');
  if (code === 'ERR_MODULE_NOT_FOUND' || code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') {
    const [, name = ''] = notFound.exec(error.message) ?? [];
    return unfit('unknown_package', { subject: moduleName.test(name) ? name : null });
  }
  const place = placeOf(error, files);
  if (!(error instanceof SyntaxError) || place !== null) return unfit('threw', { place });
  return noSuchName.test(error.message)
    ? unfit('no_such_name')
    : unfit('syntax', { place: await syntaxErrorIn(files) });
}

/** Where the first of the files that is no JavaScript goes wrong: Node says so only in a text that quotes it. */
async function syntaxErrorIn(files: readonly CustomFile[]): Promise<Place | null> {
  for (const file of files) {
    if (file.name.endsWith('.json')) continue;
    try {
      await compiled(file);
    } catch (error) {
      if (error instanceof NotCompiled) return error.place;
    }
  }
  return null;
}

function isCompilerError(error: unknown): error is CompilerError {
  return typeof error === 'object' && error !== null && 'startLine' in error && 'startColumn' in error;
}
