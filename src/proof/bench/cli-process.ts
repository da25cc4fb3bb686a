import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Releases } from '../../lifecycle.js';
import { STOP_DEADLINE_MS } from '../../roles/role.js';
import type { Stack } from './stack.js';

/** A role as the command line names it. */
export type RoleName = 'ingest' | 'transform' | 'load' | 'all';

const CLI = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
/** Of the log of a process that failed. */
const LAST_LINES = 5;
/** Far longer than a role needs to connect. */
const READY_LIMIT_MS = 30_000;
/** What a role may take to stop, and a little more. */
const STOP_LIMIT_MS = STOP_DEADLINE_MS + 5_000;

/** A role as a process of its own, through the command line that users have. */
export interface RoleProcess {
  readonly pid: number;
  /** Rejects when it ends before it was told to. */
  readonly failed: Promise<never>;
}

/** Arguments of Node by which a process writes a CPU profile; none where nobody wants one. */
export function profilerArgs(dir: string | null, name: string): readonly string[] {
  return dir === null
    ? []
    : ['--cpu-prof', `--cpu-prof-dir=${resolve(dir)}`, `--cpu-prof-name=${name}.cpuprofile`];
}

/** Runs a command of maskline to its end. Throws when its exit code is not 0. */
export async function runCommand(stack: Stack, ...args: readonly string[]): Promise<void> {
  const { child, tail } = launch(stack, args[0] ?? '', [], args);
  const code = await endOf(child);
  if (code !== 0) throw new Error(`maskline ${args.join(' ')} ended with ${code}:\n${tail()}`);
}

/** Starts a role and waits until it says that it is ready. */
export async function startRole(
  stack: Stack,
  releases: Releases,
  role: RoleName,
  nodeArgs: readonly string[] = [],
): Promise<RoleProcess> {
  const { child, tail } = launch(stack, role, nodeArgs, ['run', role]);
  let stopping = false;
  const exited = endOf(child);
  await releases.acquire(child, async () => {
    stopping = true;
    await stop(child, role);
  });
  const failed = exited.then((code) => {
    if (stopping) return new Promise<never>(() => undefined);
    throw new Error(`maskline run ${role} ended with ${code}:\n${tail()}`);
  });
  failed.catch(() => undefined);
  const timer = AbortSignal.timeout(READY_LIMIT_MS);
  const ready = once(child, 'message', { signal: timer }).catch(() => {
    throw new Error(`maskline run ${role} was not ready after ${READY_LIMIT_MS / 1000} s:\n${tail()}`);
  });
  await Promise.race([ready, failed]);
  return { pid: child.pid ?? 0, failed };
}

/** A role that doesn't stop by itself is at fault, however good its figures. */
async function stop(child: ChildProcess, role: RoleName): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = endOf(child);
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  const end = await exited;
  clearTimeout(killer);
  if (end !== 'SIGKILL') return;
  throw new Error(
    `maskline run ${role} had not stopped ${STOP_LIMIT_MS / 1_000} s after SIGTERM, and was killed`,
  );
}

function launch(
  { dir, configFile, env }: Stack,
  name: string,
  nodeArgs: readonly string[],
  args: readonly string[],
): { readonly child: ChildProcess; readonly tail: () => string } {
  const logFile = join(dir, `${name}.log`);
  const log = openSync(logFile, 'a');
  const child = spawn(process.execPath, [...nodeArgs, CLI, '--config', configFile, ...args], {
    env,
    stdio: ['ignore', 'ignore', log, 'ipc'],
  });
  closeSync(log);
  const tail = (): string =>
    readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-LAST_LINES).join('\n');
  return { child, tail };
}

/** Its exit code, or the signal that ended it. */
function endOf(child: ChildProcess): Promise<number | NodeJS.Signals | null> {
  return new Promise((told) => {
    child.once('exit', (code, signal) => told(code ?? signal));
  });
}
