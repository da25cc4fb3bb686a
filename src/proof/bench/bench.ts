import { mkdirSync } from 'node:fs';
import { PipelineError } from '../../errors.js';
import { Releases } from '../../lifecycle.js';
import type { Figures } from './figures.js';
import { benchProfiles } from './profiles.js';
import { type BenchReport, reportOf } from './report.js';
import { machine, versions } from './surroundings.js';

/** What to measure. */
export interface BenchOptions {
  /** A name in `benchProfiles`. */
  readonly profile: string;
  /** Of each run; null: as the profile has it. */
  readonly messages: number | null;
  /** Each with servers and processes of its own; null: as the profile has it. */
  readonly runs: number | null;
  readonly cpuProfileDir: string | null;
  readonly searchPath: string;
  readonly signal: AbortSignal;
  /** Hears of each run that has ended. */
  readonly tell: (line: string) => void;
}

/** A million messages fit the emulator's memory; more would measure its garbage collection. */
const MAX_MESSAGES = 1_000_000;
const MAX_RUNS = 100;

/**
 * Measures on a stack of its own. Throws `usage` for a profile, a number or a machine that can't be used; and an
 * Error, without figures, when a run failed or did not account for every message.
 */
export async function bench(options: BenchOptions): Promise<BenchReport> {
  const profile = benchProfiles[options.profile];
  if (profile === undefined) {
    const known = Object.keys(benchProfiles).join(', ');
    throw new PipelineError('usage', `--profile must be one of ${known}`);
  }
  const messages = bounded('--rows', options.messages ?? profile.messages, MAX_MESSAGES);
  const runs = bounded('--runs', options.runs ?? profile.runs, MAX_RUNS);
  const { cpuProfileDir, searchPath, signal } = options;
  if (cpuProfileDir !== null) mkdirSync(cpuProfileDir, { recursive: true });
  const head = {
    profile: options.profile,
    measures: profile.measures,
    at: new Date().toISOString(),
    parameters: {
      messages,
      runs,
      profiled: cpuProfileDir === null ? 'no' : 'yes: the figures include the profiler',
    },
    machine: machine(),
  };
  const figures: Figures[] = [];
  for (let run = 1; run <= runs; run += 1) {
    const releases = new Releases();
    try {
      figures.push(await profile.measure(releases, { messages, run, searchPath, cpuProfileDir, signal }));
    } finally {
      await releases.release();
    }
    options.tell(`run ${run} of ${runs} has ended`);
  }
  return reportOf({ ...head, versions: versions() }, figures);
}

function bounded(name: string, value: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= 1 && value <= max) return value;
  throw new PipelineError('usage', `${name} must be a whole number from 1 to ${max}`);
}
