import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { DrilledProcess } from './drill.js';

/** One process at one moment. */
export interface ProcessSample {
  /** Resident memory. */
  readonly rssBytes: number;
  /** Open file descriptors; null on a system without /proc. */
  readonly fds: number | null;
  /** JavaScript objects, garbage included. */
  readonly heapBytes: number;
  /** The 99th percentile since the last look. */
  readonly lagMs: number;
}

const run = promisify(execFile);
/** A process that doesn't tell within this is too busy to be looked at. */
const ANSWER_LIMIT_MS = 5_000;

/** Looks at processes, in their order. Throws when one is not there. */
export async function sampleProcesses(
  processes: readonly DrilledProcess[],
): Promise<readonly ProcessSample[]> {
  const rss = await rssOf(processes.map(({ pid }) => pid));
  return Promise.all(
    processes.map(async ({ pid, metrics }) => {
      const [fds, text] = await Promise.all([fdsOf(pid), scrape(metrics)]);
      return {
        rssBytes: rss.get(pid) ?? 0,
        fds,
        heapBytes: metric(text, 'nodejs_heap_size_used_bytes'),
        lagMs: metric(text, 'nodejs_eventloop_lag_p99_seconds') * 1_000,
      };
    }),
  );
}

async function rssOf(pids: readonly number[]): Promise<ReadonlyMap<number, number>> {
  const { stdout } = await run('ps', ['-o', 'pid=,rss=', '-p', pids.join(',')]);
  const lines = [...stdout.matchAll(/^\s*(\d+)\s+(\d+)\s*$/gm)];
  return new Map(lines.map(([, pid, kib]) => [Number(pid), Number(kib) * 1_024]));
}

async function fdsOf(pid: number): Promise<number | null> {
  return readdir(`/proc/${pid}/fd`).then(
    (entries) => entries.length,
    () => null,
  );
}

async function scrape(url: string): Promise<string> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_LIMIT_MS) });
  return answer.text();
}

function metric(exposition: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(exposition)?.[1]);
}
