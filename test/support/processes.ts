import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What anybody on the machine can see of the processes that one has started, and they in turn: name, arguments, environment. */
export function processesBelow(pid: number): [string, string][] {
  return childrenOf(pid).flatMap((child): [string, string][] => {
    const seen = ['comm', 'cmdline', 'environ'].map((file) => read(child, file).replaceAll('\0', '\n'));
    return [[`process ${child}`, seen.join('\n')], ...processesBelow(child)];
  });
}

function childrenOf(pid: number): readonly number[] {
  return read(pid, join('task', String(pid), 'children'))
    .split(' ')
    .filter(Boolean)
    .map(Number);
}

/** Empty for a process that has ended. */
function read(pid: number, file: string): string {
  try {
    return readFileSync(join('/proc', String(pid), file), 'utf8');
  } catch {
    return '';
  }
}
