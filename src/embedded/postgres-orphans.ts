import { type ChildProcess, execFile } from 'node:child_process';
import { readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Beside the data directory: who started the server that runs there. */
const OWNER_FILE = 'owner.json';
/** A fast shutdown ends within this unless the disk hangs; an immediate one is tried for as long, then SIGKILL. */
export const SHUTDOWN_LIMIT_MS = 10_000;
const POLL_MS = 20;

/** What is known of a server and of the process that started it. */
interface Ownership {
  readonly ownerPid: number;
  /** Tells the owner from another process that got its pid later. */
  readonly ownerStarted: string;
  /** Nobody wants the directory once its owner is gone. */
  readonly temporary: boolean;
}

/** Writes down that this process owns the server of `dir`; before it is started, so that none is ever unowned. */
export async function recordOwner(dir: string, temporary: boolean): Promise<void> {
  const ownership: Ownership = {
    ownerPid: process.pid,
    ownerStarted: (await startedAt(process.pid)) ?? '',
    temporary,
  };
  await writeFile(join(dir, OWNER_FILE), JSON.stringify(ownership));
}

/** Takes the note back, once the server has stopped. */
export async function forgetOwner(dir: string): Promise<void> {
  await rm(join(dir, OWNER_FILE), { force: true });
}

/** The pid of the living process that owns the server of `dir`, or null. */
export async function livingOwner(dir: string): Promise<number | null> {
  const ownership = await readOwnership(dir);
  return ownership && (await ownerLives(ownership)) ? ownership.ownerPid : null;
}

/**
 * Stops the servers that `startPostgres` left in `rootDir`, or in a directory right below it, when their owner was
 * killed, and removes such directories as were temporary. A server is recognised by its command line, so a pid that
 * now belongs to somebody else is left alone. Returns the directories in which something was cleaned up.
 */
export async function reapOrphans(rootDir: string): Promise<readonly string[]> {
  const root = await realpath(rootDir).catch(() => null);
  if (root === null) return [];
  const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
  const below = entries.filter((entry) => entry.isDirectory()).map((entry) => join(root, entry.name));
  const reaped: string[] = [];
  for (const dir of [root, ...below]) if (await reap(dir)) reaped.push(dir);
  return reaped;
}

async function reap(dir: string): Promise<boolean> {
  const ownership = await readOwnership(dir);
  if (!ownership || (await ownerLives(ownership))) return false;
  const pid = (await readPostmasterFile(dir))?.pid;
  if (pid !== undefined && (await serves(pid, dir))) await stopForeign(pid, dir);
  await forgetOwner(dir);
  if (ownership.temporary) await rm(dir, { recursive: true, force: true });
  return true;
}

async function stopForeign(pid: number, dir: string): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (!kill(pid, signal)) return;
    for (const until = Date.now() + SHUTDOWN_LIMIT_MS; Date.now() < until; await delay(POLL_MS)) {
      if (!(await serves(pid, dir))) return;
    }
  }
}

function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

/** The server's own note of its pid and whether it takes connections, as pg_ctl reads it. Null while there is none. */
export async function readPostmasterFile(dir: string): Promise<{ pid: number; ready: boolean } | null> {
  const text = await readFile(join(dataDirectory(dir), 'postmaster.pid'), 'utf8').catch(() => null);
  const lines = text?.split('\n') ?? [];
  const pid = Number(lines[0]);
  // Line 8 is the status: "starting", "stopping", "ready" or "standby" (src/include/utils/pidfile.h).
  return Number.isSafeInteger(pid) && pid > 0 ? { pid, ready: lines[7]?.trim() === 'ready' } : null;
}

/** Where a server started in `dir` keeps its data. */
export function dataDirectory(dir: string): string {
  return join(dir, 'data');
}

/** Whether the process is a Postgres server on the data directory of `dir`. */
async function serves(pid: number, dir: string): Promise<boolean> {
  const command = await commandLine(pid);
  return command.includes('postgres') && command.includes(` -D ${dataDirectory(dir)} `);
}

async function commandLine(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    const bytes = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return bytes.replaceAll('\0', ' ');
  }
  return (await ps(pid, 'command')) ?? '';
}

/** When the process started, in whatever unit the system has: only good for comparing. Null when there is none. */
async function startedAt(pid: number): Promise<string | null> {
  if (process.platform !== 'linux') return ps(pid, 'lstart');
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // Field 22 of proc(5); the second one, the name, may hold spaces and ends with the last parenthesis.
  return line?.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

async function ps(pid: number, field: string): Promise<string | null> {
  return run('ps', ['-ww', '-p', String(pid), '-o', `${field}=`]).then(
    ({ stdout }) => stdout.trim() || null,
    () => null,
  );
}

async function ownerLives(ownership: Ownership): Promise<boolean> {
  return (await startedAt(ownership.ownerPid)) === ownership.ownerStarted;
}

async function readOwnership(dir: string): Promise<Ownership | null> {
  try {
    const read: unknown = JSON.parse(await readFile(join(dir, OWNER_FILE), 'utf8'));
    if (typeof read !== 'object' || read === null) return null;
    const { ownerPid, ownerStarted, temporary } = read as Partial<Ownership>;
    if (!Number.isSafeInteger(ownerPid)) return null;
    return { ownerPid: Number(ownerPid), ownerStarted: String(ownerStarted), temporary: temporary === true };
  } catch {
    return null;
  }
}

/** Servers of this process. At exit, when nothing can be cut short any more, they are told to shut down. */
const running = new Set<ChildProcess>();
const stopRunning = (): void => running.forEach((server) => server.kill('SIGINT'));

/** Tells a server to shut down when this process exits without having stopped it. */
export function stopAtExit(child: ChildProcess): void {
  if (!process.listeners('exit').includes(stopRunning)) process.once('exit', stopRunning);
  running.add(child);
  child.once('exit', () => running.delete(child));
}
