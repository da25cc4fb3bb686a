// Child processes that may hang, and what they have started.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';

/** How a process ended; `code` is null when it was ended for taking too long. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
}

/** Runs to the end, or for `limitMs`: then it and all that it has started is ended. */
export async function run(
  command: string,
  args: readonly string[],
  { cwd, limitMs }: { readonly cwd: string; readonly limitMs: number },
): Promise<Ended> {
  // Node's test runner tells its children by this how to report, and these report to us.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'ignore'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    for (const pid of withDescendants(child.pid ?? 0)) end(pid);
  }, limitMs);
  await once(child, 'close').finally(() => clearTimeout(timer));
  return { code: late ? null : child.exitCode, stdout };
}

/** The process and all that it started, directly or not, the youngest last. */
export function withDescendants(pid: number): readonly number[] {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  const children = new Map<number, number[]>();
  for (const line of table.trim().split('\n')) {
    const [child = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
    children.set(parent, [...(children.get(parent) ?? []), child]);
  }
  const all = [pid];
  for (const one of all) all.push(...(children.get(one) ?? []));
  return all;
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
