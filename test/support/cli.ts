// The command line as users run it: child processes of the built program, ended by their pid at the latest with the
// test; and the same within the test's process, which spares the start of one.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { isAbsolute } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runCommandLine } from '../../src/cli/entry.js';
import { Seen } from './queue.js';

/** An object of a line of JSON. */
export type Json = Readonly<{ [name: string]: unknown }>;

/** How a process ended, and all that it printed. */
export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The lines of stdout, each a JSON object. Throws when one is none. */
  readonly rows: readonly Json[];
  /** The lines of stderr that are JSON objects: the log. */
  readonly log: readonly Json[];
}

/** Over what the runner gives to each process. */
export interface CliOptions {
  readonly cwd?: string;
  /** Added to the environment; undefined takes a variable out. */
  readonly env?: Readonly<{ [name: string]: string | undefined }>;
  /** Ends the process, and fails the test, after so long. Default 90 s: some machines do much at once. */
  readonly limitMs?: number;
  /** What it reads on stdin; without it, nothing. */
  readonly input?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Runs it as a process of its own, also where it need not be one. */
  readonly process?: boolean;
}

/** The object has these members, and may have others. */
export function assertHas(actual: Json | undefined, expected: Json): void {
  const same = Object.fromEntries(Object.keys(expected).map((name) => [name, actual?.[name]]));
  assert.deepEqual(same, expected, `in ${JSON.stringify(actual)}`);
}

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const LIMIT_MS = 90_000;
/** Options that only a process of its own can have. */
const OWN_OPTIONS = ['input', 'uid', 'gid', 'process'] as const;
/** Variables that a process reads of itself, or ends by. */
const OWN_VARIABLES = ['PATH', 'TMPDIR', 'NODE_OPTIONS', 'MASKLINE_FAILPOINTS'];

/** A running `maskline`. */
export class CliProcess {
  /** Lines of the log, as they come. */
  readonly log = new Seen<Json>();
  readonly ended: Promise<CliResult>;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';

  constructor(child: ChildProcess, what: string, limitMs: number) {
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    let line = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      const lines = `${line}${text}`.split('\n');
      line = lines.pop() ?? '';
      for (const each of lines) if (isObject(each)) this.log.push(parsed(each));
    });
    this.ended = this.#end(what, limitMs);
    // Who does not wait for the end is told of a failure by `stopAll` at the latest.
    this.ended.catch(() => undefined);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The first line of the log about that event, as soon as it is there. */
  async waitFor(event: string, limitMs = LIMIT_MS): Promise<Json> {
    const seen = this.log.take(1, (line) => line['event'] === event, limitMs).then(([line]) => line ?? {});
    const early = this.ended.then(({ code, signal }) => {
      const last = this.log.all.find((line) => line['event'] === event);
      assert.ok(last, `it ended (${code ?? signal}) before ${event}: ${this.#stderr}`);
      return last;
    });
    // Whichever is second fails late and unheard: the first has told.
    for (const one of [seen, early]) one.catch(() => undefined);
    return Promise.race([seen, early]);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** SIGKILL, and its end. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended.catch(() => undefined);
  }

  async #end(what: string, limitMs: number): Promise<CliResult> {
    let overdue = false;
    const timer = setTimeout(() => {
      overdue = true;
      this.#child.kill('SIGKILL');
    }, limitMs);
    try {
      await once(this.#child, 'close');
    } finally {
      clearTimeout(timer);
    }
    const { stdout, stderr } = this;
    assert.ok(!overdue, `${what} did not end within ${limitMs} ms; it said: ${stderr}${stdout}`);
    const { exitCode: code, signalCode: signal } = this.#child;
    return resultOf({ code, signal, stdout, stderr });
  }
}

/** Starts `maskline` in a directory and an environment of its own: nothing of the surroundings' comes through. */
export class Cli {
  readonly #cwd: string;
  readonly #env: Readonly<{ [name: string]: string }>;
  readonly #all: CliProcess[] = [];
  /** Commands that run within this process, which has one working directory. */
  static #inside = 0;

  constructor(cwd: string, env: Readonly<{ [name: string]: string }>) {
    this.#cwd = cwd;
    this.#env = env;
  }

  /** All that was started, to look at what it printed. */
  get processes(): readonly CliProcess[] {
    return this.#all;
  }

  /** Runs to the end: within this process unless the options, or a command in another directory, ask for its own. */
  async run(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
    const { cwd = this.#cwd, env = {}, limitMs = LIMIT_MS } = options;
    const variables = { ...this.#env, ...env };
    const isOwn =
      OWN_OPTIONS.some((name) => options[name] !== undefined) ||
      OWN_VARIABLES.some((name) => name in variables);
    if (isOwn || (Cli.#inside > 0 && !fitsBesideOthers(cwd, variables)))
      return this.spawn(args, options).ended;
    if (Cli.#inside === 0) process.chdir(cwd);
    Cli.#inside += 1;
    try {
      return await runInside(args, this.#environment(env), limitMs);
    } finally {
      Cli.#inside -= 1;
    }
  }

  /** Starts one that goes on. */
  spawn(args: readonly string[], options: CliOptions = {}): CliProcess {
    const { cwd = this.#cwd, env = {}, limitMs = LIMIT_MS, input, uid, gid } = options;
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd,
      env: this.#environment(env),
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    child.stdin?.end(input);
    const started = new CliProcess(child, `maskline ${args.join(' ')}`, limitMs);
    this.#all.push(started);
    return started;
  }

  #environment(env: NonNullable<CliOptions['env']>): NodeJS.ProcessEnv {
    return { ...surroundings(), HOME: this.#cwd, ...this.#env, ...env };
  }

  /** Ends by SIGKILL what still runs. */
  async stopAll(): Promise<void> {
    await Promise.all(this.#all.filter((each) => each.isRunning).map((each) => each.kill()));
  }
}

/**
 * Whether a command may run here while others do: they have one working directory, unless its file is named from
 * anywhere, and one account of AWS.
 */
function fitsBesideOthers(cwd: string, variables: Readonly<{ [name: string]: string | undefined }>): boolean {
  const isPlaced = process.cwd() === cwd || isAbsolute(variables['MASKLINE_CONFIG'] ?? '');
  const isSameAccount = Object.entries(variables).every(
    ([name, value]) => !name.startsWith('AWS_') || process.env[name] === value,
  );
  return isPlaced && isSameAccount;
}

/** Runs a command in this process as `main.ts` does in its own. */
async function runInside(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  limitMs: number,
): Promise<CliResult> {
  // The SDK of AWS reads these from the process alone.
  for (const [name, value] of Object.entries(env)) if (name.startsWith('AWS_')) process.env[name] = value;
  const stdout = new Printed();
  const stderr = new Printed();
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
  const running = runCommandLine([process.execPath, MAIN, ...args], {
    env: set,
    stdout,
    stderr,
    logStream: { write: (line) => void stderr.write(line) },
  });
  const code = await within(running, limitMs, () => {
    const said = `${stderr.text}${stdout.text}`;
    return `maskline ${args.join(' ')} did not end within ${limitMs} ms; it said: ${said}`;
  });
  return resultOf({ code, signal: null, stdout: stdout.text, stderr: stderr.text });
}

/** A stream that keeps what is written to it. */
class Printed extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

async function within<T>(work: Promise<T>, limitMs: number, failure: () => string): Promise<T> {
  const limit = new AbortController();
  const overdue = delay(limitMs, null, { signal: limit.signal }).then(() => assert.fail(failure()));
  try {
    return await Promise.race([work, overdue]);
  } finally {
    limit.abort();
    overdue.catch(() => undefined);
  }
}

function resultOf(ended: Pick<CliResult, 'code' | 'signal' | 'stdout' | 'stderr'>): CliResult {
  const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');
  return {
    ...ended,
    get rows() {
      return lines(ended.stdout).map(parsed);
    },
    log: lines(ended.stderr).filter(isObject).map(parsed),
  };
}

/** What any process needs. */
function surroundings(): { [name: string]: string } {
  const names = ['PATH', 'TMPDIR'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

function isObject(line: string): boolean {
  return line.startsWith('{') && line.endsWith('}');
}

function parsed(line: string): Json {
  return JSON.parse(line) as Json;
}
