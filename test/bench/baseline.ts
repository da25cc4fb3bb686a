// `npm run bench -- baseline`: maskline beside what most people write, over the same messages and one emulator.

import { Releases } from '../../src/lifecycle.js';
import { cpuPerMessage, drain, startFleet } from '../../src/proof/bench/end-to-end.js';
import type { Figures } from '../../src/proof/bench/figures.js';
import { measureOther } from '../../src/proof/bench/other.js';
import { benchText, reportOf } from '../../src/proof/bench/report.js';
import { machine, versions } from '../../src/proof/bench/surroundings.js';
import { parseSettings } from './settings.js';

const SETTINGS = { messages: { byDefault: 100_000, max: 1_000_000 }, runs: { byDefault: 5, max: 100 } };

const USAGE = `npm run bench -- baseline [--messages N] [--runs R] [--json]

maskline drains N messages (default 100000), and then a program of the usual kind drains as many: it receives ten, hashes
two values of each, inserts a row, and deletes the message. CPU of their Node processes and wall time, R rounds (default 5).`;

const BASELINE = new URL('./baseline-process.js', import.meta.url);

/** Measures, and returns the text to print. */
export async function runBaseline(args: readonly string[]): Promise<string> {
  const { settings, json, help } = parseSettings(args, SETTINGS, USAGE);
  if (help) return USAGE;
  const { messages, runs } = settings;
  const head = {
    profile: 'baseline',
    measures: 'maskline beside a program that receives, hashes, inserts and deletes one by one',
    at: new Date().toISOString(),
    parameters: { messages, runs },
    versions: versions(),
    machine: machine(),
  };
  const rounds: Figures[] = [];
  for (let run = 1; run <= runs; run += 1) rounds.push(await oneRound(messages, run));
  const report = reportOf(head, rounds);
  return json ? JSON.stringify(report) : benchText(report);
}

async function oneRound(messages: number, run: number): Promise<Figures> {
  const releases = new Releases();
  try {
    const signal = new AbortController().signal;
    const searchPath = process.env['PATH'] ?? '';
    const fleet = await startFleet(releases, { messages, run, searchPath, cpuProfileDir: null, others: 1 });
    const ours = await drain(fleet, { messages, signal });
    const theirs = await measureOther(releases, { script: BASELINE, queue: 0 }, fleet.stack, fleet.pool, {
      messages,
      signal,
    });
    const cpu = cpuPerMessage(ours);
    return {
      maskline_cpu_us_per_message: cpu,
      baseline_cpu_us_per_message: theirs.cpuMicros,
      baseline_to_maskline_cpu: theirs.cpuMicros / cpu,
      maskline_messages_per_second: messages / (ours.wallMs / 1_000),
      baseline_messages_per_second: messages / (theirs.ms / 1_000),
      baseline_to_maskline_wall: theirs.ms / ours.wallMs,
    };
  } finally {
    await releases.release();
  }
}
