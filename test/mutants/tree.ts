// A copy of the project that can be changed, built and tested without touching the project itself.

import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { escapePattern } from '../support/test-names.js';
import type { Witness } from './mutant.js';
import { run } from './process.js';

/** What building and testing read. */
const PARTS = ['src', 'workers', 'test', 'scripts', 'docs', 'deploy', 'examples'];
const FILES = [
  'package.json',
  'tsconfig.json',
  'schema.json',
  'README.md',
  'ecosystem.config.js',
  'docker-compose.yml',
];
/** What a mutant no longer uses is no error of it. */
const BUILD = ['--noUnusedLocals', 'false', '--noUnusedParameters', 'false'];
const BUILD_LIMIT_MS = 120_000;

/** A test or suite in TAP, but for what the name pattern left out; `#` and backslashes are escaped in names. */
const TAP_LINE = /^ *(not )?ok \d+ - (.*)(?<! # SKIP.*)$/gm;

/** A test or suite that ran. */
export interface Outcome {
  readonly name: string;
  readonly passed: boolean;
}

/** A text that must be in a file exactly once, and what takes its place. */
export interface Change {
  readonly file: string;
  readonly replace: string;
  readonly by: string;
}

/** What a run of some tests came to; `hung` when it was ended for taking too long. */
export interface Verdict {
  readonly outcomes: readonly Outcome[];
  readonly hung: boolean;
}

/** How often the text to be replaced is in its file below `root`. */
export function occurrences(root: string, { file, replace }: Change): number {
  const path = join(root, file);
  return existsSync(path) ? readFileSync(path, 'utf8').split(replace).length - 1 : 0;
}

/** The copy, in a temporary folder. */
export class Tree {
  readonly dir: string;
  #isStale = true;

  constructor(root: string) {
    this.dir = mkdtempSync(join(tmpdir(), 'maskline-mutants-'));
    for (const part of [...PARTS, ...FILES])
      if (existsSync(join(root, part))) cpSync(join(root, part), join(this.dir, part), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(this.dir, 'node_modules'));
  }

  /** Compiles what has changed. Throws what the compiler says where it is not right. */
  async build(): Promise<void> {
    if (!this.#isStale) return;
    const compiler = join(this.dir, 'node_modules', 'typescript', 'bin', 'tsc');
    const { code, stdout } = await run(process.execPath, [compiler, ...BUILD], {
      cwd: this.dir,
      limitMs: BUILD_LIMIT_MS,
    });
    if (code !== 0) throw new Error(`it does not compile:\n${stdout}`);
    this.#isStale = false;
  }

  /** Puts one text in the place of another; the result undoes it. Throws unless the text is there exactly once. */
  change(change: Change): () => void {
    const { file, replace, by } = change;
    const count = occurrences(this.dir, change);
    if (count !== 1) throw new Error(`${file} has this ${count} times, not once: ${replace}`);
    const path = join(this.dir, file);
    const before = readFileSync(path, 'utf8');
    const write = (text: string): void => {
      writeFileSync(path, text);
      // What is not compiled is read from where it is.
      if (file.endsWith('.ts')) this.#isStale = true;
    };
    write(before.replace(replace, () => by));
    return () => write(before);
  }

  /** Runs tests of one built file. */
  async test(file: string, names: readonly string[], limitMs: number): Promise<Verdict> {
    const built = join(this.dir, 'dist', 'test');
    const { code, stdout } = await run(
      process.execPath,
      [
        '--enable-source-maps',
        ...names.map((name) => `--test-name-pattern=${escapePattern(name)}`),
        '--test-reporter=tap',
        join(built, file.replace(/\.ts$/, '.js')),
      ],
      { cwd: this.dir, limitMs },
    );
    const outcomes = [...stdout.matchAll(TAP_LINE)].map(([, not, name = '']) => ({
      name: name.replace(/\\(.)/g, '$1'),
      passed: not === undefined,
    }));
    return { outcomes, hung: code === null };
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** The tests of each file. */
export function byFile(tests: readonly Witness[]): ReadonlyMap<string, readonly string[]> {
  const files = new Map<string, string[]>();
  for (const { file, name } of tests) files.set(file, [...(files.get(file) ?? []), name]);
  return files;
}
