import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Campaign, addTo } from './campaign.js';

/** Seeds that one process works through before it takes the next ones: long against its start, short against the whole. */
const SLICE = 2_000;
const MAX_OUTPUT_BYTES = 1 << 28;

const sim = fileURLToPath(new URL('sim.js', import.meta.url));
const run = promisify(execFile);

/** A campaign by several processes at once; its sums are those of one process, since every schedule is by itself. */
export async function runParallel(schedules: number, firstSeed: number, jobs: number): Promise<Campaign> {
  const startedAt = performance.now();
  const end = firstSeed + schedules;
  const parts: Campaign[] = [];
  let next = firstSeed;
  const work = async (): Promise<void> => {
    while (next < end) {
      const seed = next;
      next = Math.min(end, seed + SLICE);
      parts.push(await runSlice(next - seed, seed));
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  const faults: { [fault: string]: number } = {};
  const coverage: { [what: string]: number } = {};
  for (const part of parts) {
    addTo(faults, part.faults);
    addTo(coverage, part.coverage);
  }
  return {
    schedules,
    firstSeed,
    failed: parts.flatMap((part) => part.failed).toSorted((a, b) => a.seed - b.seed),
    faults,
    coverage,
    steps: parts.reduce((sum, part) => sum + part.steps, 0),
    virtualMs: parts.reduce((sum, part) => sum + part.virtualMs, 0),
    wallMs: performance.now() - startedAt,
  };
}

async function runSlice(schedules: number, seed: number): Promise<Campaign> {
  // Schedules leave much garbage and keep nothing: in a larger nursery most of it costs nothing.
  const args = [
    '--max-semi-space-size=32',
    sim,
    '--json',
    '--jobs',
    '1',
    '--schedules',
    String(schedules),
    '--seed',
    String(seed),
  ];
  const { stdout } = await run(process.execPath, args, { maxBuffer: MAX_OUTPUT_BYTES }).catch(foundSomething);
  return JSON.parse(stdout) as Campaign;
}

/** It exits with 1 when a schedule failed, and still prints what it found. */
function foundSomething(error: unknown): { readonly stdout: string } {
  if (error instanceof Error && 'code' in error && error.code === 1 && 'stdout' in error) {
    return { stdout: String(error.stdout) };
  }
  throw error;
}
