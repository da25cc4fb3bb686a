// pm2 as users run it, with a daemon and a home of its own.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BUILD = fileURLToPath(new URL('../../', import.meta.url));
const PM2 = fileURLToPath(import.meta.resolve('pm2/bin/pm2'));
/** pm2 waits for what it stops and starts, two processes at a time. */
const LIMIT_MS = 65_000;

const run = promisify(execFile);

/** One process as pm2 lists it. */
export interface Pm2Process {
  readonly name: string;
  readonly pm_id: number;
  readonly pid: number;
  readonly status: string;
  readonly restarts: number;
  readonly exitCode: number | null;
}

/** How a process ended, as pm2's own log has it. */
export interface Pm2Exit {
  readonly process: string;
  readonly code: number;
  /** From being told to stop, to the second; null when nobody had told it. */
  readonly seconds: number | null;
}

/** maskline installed in a project, and a pm2 for it. */
export class Pm2 {
  readonly #project: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #home: string;

  /** `project` is where maskline.yaml is; the package is put into its node_modules. */
  constructor(project: string, env: Readonly<{ [name: string]: string }>) {
    this.#project = project;
    this.#home = join(project, 'pm2');
    this.#env = { PATH: process.env['PATH'], HOME: project, PM2_HOME: this.#home, ...env };
    const place = join(project, 'node_modules', 'maskline');
    mkdirSync(place, { recursive: true });
    for (const name of ['package.json', 'ecosystem.config.js'])
      copyFileSync(join(ROOT, name), join(place, name));
    symlinkSync(BUILD, join(place, 'dist'));
  }

  /** `pm2 start` of the package's file, from the project's folder. */
  async start(): Promise<void> {
    await this.run('start', 'node_modules/maskline/ecosystem.config.js');
  }

  /** Any command; fails when pm2 does. */
  async run(...args: readonly string[]): Promise<string> {
    const options = { cwd: this.#project, env: this.#env, timeout: LIMIT_MS, maxBuffer: 16 * 1024 * 1024 };
    try {
      return (await run(process.execPath, [PM2, ...args], options)).stdout;
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      throw new Error(`pm2 ${args.join(' ')}: ${stdout}${stderr}`, { cause: error });
    }
  }

  async list(): Promise<readonly Pm2Process[]> {
    const options = { cwd: this.#project, env: this.#env, timeout: LIMIT_MS, maxBuffer: 16 * 1024 * 1024 };
    const { stdout } = await run(process.execPath, [PM2, 'jlist'], options);
    const listed = JSON.parse(stdout.slice(stdout.indexOf('['))) as readonly {
      readonly name: string;
      readonly pm_id: number;
      readonly pid: number;
      readonly pm2_env: {
        readonly status: string;
        readonly restart_time: number;
        readonly exit_code?: number;
      };
    }[];
    return listed.map(
      ({ name, pm_id, pid, pm2_env: { status, restart_time: restarts, exit_code = null } }) => {
        return { name, pm_id, pid, status, restarts, exitCode: exit_code };
      },
    );
  }

  /** What the processes of a role have written. */
  output(role: string): string {
    return readFileSync(join(this.#home, 'logs', `maskline-${role}-error.log`), 'utf8');
  }

  /** What the daemon has written. */
  get log(): string {
    return readFileSync(join(this.#home, 'pm2.log'), 'utf8');
  }

  /** Every end of a process so far. */
  exits(): readonly Pm2Exit[] {
    const toldAt = new Map<string, number>();
    const exits: Pm2Exit[] = [];
    for (const line of this.log.split('\n')) {
      const at = Date.parse(`${line.slice(0, 19)}Z`);
      const [, name, id] = /Stopping app:(\S+) id:(\d+)$/.exec(line) ?? [];
      if (name !== undefined) toldAt.set(`${name}:${id}`, at);
      const [, which = '', code] = /App \[(\S+)\] exited with code \[(\d+)\]/.exec(line) ?? [];
      if (code === undefined) continue;
      const told = toldAt.get(which);
      toldAt.delete(which);
      exits.push({
        process: which,
        code: Number(code),
        seconds: told === undefined ? null : (at - told) / 1_000,
      });
    }
    return exits;
  }

  /** Ends the daemon and all that it runs. */
  async kill(): Promise<void> {
    await this.run('kill').catch(() => undefined);
  }
}

/** As many processes of each role, all of them up. */
export function assertOnline(
  processes: readonly Pm2Process[],
  expected: Readonly<{ [name: string]: number }>,
): void {
  const online: { [name: string]: number } = {};
  for (const { name, status } of processes) {
    assert.equal(status, 'online', JSON.stringify(processes));
    online[name] = (online[name] ?? 0) + 1;
  }
  assert.deepEqual(online, expected);
}
