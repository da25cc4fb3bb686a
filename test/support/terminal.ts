// A reader's terminal: commands are typed into one shell, one block after the other, and what is on the screen is for
// people. `maskline` and `npx maskline` are the built program, and `npm install maskline` links the checkout.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { ROOT } from './documents.js';
import { eventually } from './queue.js';

/** What a block of commands ended with, and what it printed. */
export interface Typed {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const MAIN = join(ROOT, 'dist/src/cli/main.js');
/** For one block: some of them make tables, drain a queue, or wait for a batch. */
const BLOCK_LIMIT_MS = 120_000;
const END_LIMIT_MS = 30_000;

/**
 * Lets the program believe that its streams are a terminal where they are those of the shell, and not in `$(…)` or
 * before a pipe; on stdin, where a reader would be asked, each answer is yes.
 */
const SCREEN = `import { fstatSync } from 'node:fs';
const streams = [['stdin', 0], ['stdout', 1], ['stderr', 2]];
const screen = (process.env.TEST_SCREEN ?? '').split(' ');
for (const [name, fd] of streams) {
  if (String(fstatSync(fd).ino) === screen[fd]) process[name].isTTY = true;
}
`;

/** Programs that stand in for what a reader has installed. */
function writePrograms(): string {
  const dir = mkdtempSync(join(tmpdir(), 'maskline-terminal-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  const screen = join(dir, 'screen.mjs');
  writeFileSync(screen, SCREEN);
  const program = (name: string, text: string): void => {
    writeFileSync(join(dir, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(dir, name), 0o755);
  };
  program('maskline', `exec '${process.execPath}' --import '${screen}' '${MAIN}' "$@"`);
  program(
    'npx',
    `[ "$1" = maskline ] || { echo "npx $1 is not for here" >&2; exit 64; }\nshift\nexec maskline "$@"`,
  );
  program(
    'npm',
    `[ "$*" = 'install maskline' ] || { echo "npm $* is not for here" >&2; exit 64; }
mkdir -p node_modules && ln -s '${ROOT}' node_modules/maskline`,
  );
  return dir;
}

let programs: string | null = null;

/** A shell (`sh -eu`) in a directory, with nothing of the surroundings' but PATH and the given environment. */
export class Terminal {
  readonly #child: ChildProcess;
  readonly #dir: string;
  readonly #ended: Promise<number>;
  #stdout = '';
  #stderr = '';
  #blocks = 0;

  constructor(cwd: string, env: Readonly<{ [name: string]: string }>) {
    programs ??= writePrograms();
    this.#dir = mkdtempSync(join(programs, 'typed-'));
    this.#child = spawn('sh', ['-eu'], {
      cwd,
      env: {
        PATH: [programs, process.env['PATH'] ?? ''].join(delimiter),
        TMPDIR: tmpdir(),
        HOME: cwd,
        NO_COLOR: '1',
        ...env,
      },
      stdio: 'pipe',
      // A process group of its own, for Ctrl-C to reach all that runs in it.
      detached: true,
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.#child.stdin?.on('error', () => undefined);
    this.#ended = new Promise((resolve) => this.#child.once('close', (code) => resolve(code ?? -1)));
    writeFileSync(join(this.#dir, 'answers'), 'y\n'.repeat(20));
    this.#type(
      `exec 8>&1 9>&2; TEST_SCREEN="$('${process.execPath}' -p "
        [process.argv[1], 8, 9].map((f) => fs[f > 0 ? 'fstatSync' : 'statSync'](f).ino).join(' ')" \\
        '${join(this.#dir, 'answers')}')"; exec 8>&- 9>&-; export TEST_SCREEN`,
    );
  }

  /** Types a block, and waits for its end. Unless a failure is expected, the first command that fails ends it. */
  async run(block: string, isToFail = false): Promise<Typed> {
    const end = `END-OF-BLOCK-${this.#enter(block, isToFail)}`;
    this.#type(`code=$?; echo "${end} $code"; echo '${end}' >&2; set -e`);
    const last = new RegExp(`${end} (\\d+)\\n`);
    const done = eventually(
      async () => [this.#stdout, this.#stderr],
      ([out = '', err = '']) => last.test(out) && err.includes(`${end}\n`),
      BLOCK_LIMIT_MS,
    );
    const code = await Promise.race([done.then(() => null), this.#ended]);
    done.catch(() => undefined);
    const typed = {
      code: code ?? Number(last.exec(this.#stdout)?.[1]),
      stdout: this.#stdout.replace(last, ''),
      stderr: this.#stderr.replace(`${end}\n`, ''),
    };
    [this.#stdout, this.#stderr] = ['', ''];
    return typed;
  }

  /** Types a block that goes on until Ctrl-C, and waits until its screen shows the text; all of it so far. */
  async start(block: string, shown: RegExp): Promise<string> {
    this.#enter(block, false);
    const seen = eventually(
      async () => this.#stdout + this.#stderr,
      (text) => shown.test(text),
      BLOCK_LIMIT_MS,
    );
    const early = this.#ended.then((code) =>
      assert.fail(`it ended with ${code}: ${this.#stderr}${this.#stdout}`),
    );
    await Promise.race([seen, early]);
    for (const one of [seen, early]) one.catch(() => undefined);
    return this.#stdout + this.#stderr;
  }

  /** Ctrl-C where something runs, and the end of the shell: nothing of it is left. */
  async close(): Promise<void> {
    const { pid } = this.#child;
    if (pid === undefined) return;
    const signal = (name: NodeJS.Signals): void => {
      try {
        process.kill(-pid, name);
      } catch {
        // All of it has ended.
      }
    };
    this.#child.stdin?.end();
    signal('SIGINT');
    const limit = setTimeout(() => signal('SIGKILL'), END_LIMIT_MS);
    await this.#ended;
    clearTimeout(limit);
  }

  #enter(block: string, isToFail: boolean): number {
    this.#blocks += 1;
    const file = join(this.#dir, `${this.#blocks}.sh`);
    writeFileSync(file, `${block}\n`);
    this.#type(`${isToFail ? 'set +e; ' : ''}. '${file}' <'${join(this.#dir, 'answers')}'`);
    return this.#blocks;
  }

  #type(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }
}
