import { readFile, readdir } from 'node:fs/promises';
import { PipelineError } from '../../errors.js';

/** Linux counts CPU in `/proc` in ticks of 1/100 s on every architecture that Node runs on (USER_HZ, time(7)). */
const MICROS_PER_TICK = 10_000;
const BYTES_PER_KIB = 1024;

/** What a process has used since it began. */
export interface Usage {
  /** User and system time of all its threads, of the children it has reaped and of those that live: to 10 ms. */
  readonly cpuMicros: number;
  /** Memory that it has resident now (VmRSS); of the process alone. */
  readonly rssBytes: number;
  /** The most that it had at any time (VmHWM). */
  readonly peakRssBytes: number;
}

/** The fields of /proc/<pid>/stat that count CPU (proc(5), fields 4 and 14 to 17). */
export interface ProcessStat {
  readonly parentPid: number;
  readonly ownTicks: number;
  readonly reapedTicks: number;
}

/**
 * What a process and its children have used. The kernel counts, so the process need not help and isn't disturbed.
 * Throws `usage` where there is no /proc, and an Error when there is no such process.
 */
export async function readUsage(pid: number): Promise<Usage> {
  if (process.platform !== 'linux') {
    throw new PipelineError('usage', 'CPU and memory are read from /proc: the benchmark needs Linux');
  }
  const [stats, status] = await Promise.all([
    readStats(),
    readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''),
  ]);
  const own = stats.get(pid);
  const kib = (field: string): number | null => {
    const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
    return found === undefined ? null : Number(found);
  };
  const [rssKib, peakKib] = [kib('VmRSS'), kib('VmHWM')];
  if (own === undefined || rssKib === null || peakKib === null) throw new Error(`process ${pid} has ended`);
  const children = [...stats.values()].filter((stat) => stat.parentPid === pid);
  const ticks = [own, ...children].reduce((sum, stat) => sum + stat.ownTicks + stat.reapedTicks, 0);
  return {
    cpuMicros: ticks * MICROS_PER_TICK,
    rssBytes: rssKib * BYTES_PER_KIB,
    peakRssBytes: peakKib * BYTES_PER_KIB,
  };
}

async function readStats(): Promise<ReadonlyMap<number, ProcessStat>> {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isSafeInteger);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
      return line === null ? [] : [[pid, parseStat(line)] as const];
    }),
  );
  return new Map(found.flat());
}

/** Reads one line of /proc/<pid>/stat. The second field, the name, may hold spaces and parentheses. */
export function parseStat(line: string): ProcessStat {
  const fields = line
    .slice(line.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  // The first of these is field 3 of proc(5).
  const field = (number: number): number => fields[number - 3] ?? Number.NaN;
  return {
    parentPid: field(4),
    ownTicks: field(14) + field(15),
    reapedTicks: field(16) + field(17),
  };
}
