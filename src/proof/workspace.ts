import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { reapOrphans } from '../embedded/postgres.js';
import { reapRedis } from '../embedded/redis.js';

const root = (): string => join(tmpdir(), `maskline-torture-${userInfo().username}`);

/** A directory of this process's own; what a run that was itself killed left behind is ended and removed first. */
export async function openWorkspace(): Promise<string> {
  mkdirSync(root(), { recursive: true });
  for (const name of readdirSync(root())) {
    // Those that were kept on purpose have other names.
    if (!/^\d+$/.test(name) || isAlive(Number(name))) continue;
    const dir = join(root(), name);
    endProcessesOf(dir);
    await reapOrphans(dir);
    await reapOrphans(join(dir, 'postgres'));
    await reapRedis(join(dir, 'redis'));
    rmSync(dir, { recursive: true, force: true });
  }
  const dir = join(root(), String(process.pid));
  mkdirSync(dir, { recursive: true });
  return dir;
}

/** Removes it, or keeps it under a name that no later run removes, which it returns. */
export function closeWorkspace(dir: string, keep: boolean): string | null {
  if (!keep) {
    rmSync(dir, { recursive: true, force: true });
    return null;
  }
  const kept = join(root(), `failed-${new Date().toISOString().replace(/[:.]/g, '-')}`);
  renameSync(dir, kept);
  return kept;
}

/** Ends the processes of maskline that were started with the configuration in this directory. */
function endProcessesOf(dir: string): void {
  const all = execFileSync('ps', ['-ww', '-eo', 'pid=,command='], { encoding: 'utf8' });
  for (const line of all.split('\n')) {
    const [, pid, command = ''] = /^\s*(\d+)\s+(.*)$/.exec(line) ?? [];
    if (pid === undefined || !command.includes(` -c ${configFileOf(dir)} `)) continue;
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** Where a run's configuration is. */
export function configFileOf(dir: string): string {
  return join(dir, 'maskline.yaml');
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
