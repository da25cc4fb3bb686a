import { bench } from '../proof/bench/bench.js';
import { type BenchReport, benchText } from '../proof/bench/report.js';
import type { Command } from './context.js';
import { exitCode } from './exit.js';
import type { Row } from './output.js';
import { openProgress } from './progress.js';

/** As commander gives them. */
interface Given {
  readonly rows?: number;
  readonly runs?: number;
  readonly profile: string;
  readonly cpuProfile?: string;
}

/** `bench`: what a message costs on this machine, on a stack of its own. */
export const benchCommand: Command<Given> = async (context, { rows, runs, profile, cpuProfile }) => {
  const stopping = new AbortController();
  // A second signal finds no listener and ends the process at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  // For the question what is left in the queue; the emulator takes any.
  process.env['AWS_ACCESS_KEY_ID'] ??= 'bench';
  process.env['AWS_SECRET_ACCESS_KEY'] ??= 'bench';
  // Its own lines are told off a terminal too.
  const progress = openProgress(context.line, null);
  progress.at(`bench ${profile}: run 1`);
  const report = await bench({
    profile,
    messages: rows ?? null,
    runs: runs ?? null,
    cpuProfileDir: cpuProfile ?? null,
    searchPath: context.environment.variables['PATH'] ?? '',
    signal: stopping.signal,
    tell: (line) => {
      progress.at(`bench ${profile}: ${line}`);
      context.out.note(line);
    },
  }).finally(() => progress.end());
  context.out.result(asRow(report), benchText(report));
  return exitCode.ok;
};

function asRow(report: BenchReport): Row {
  const summary = Object.entries(report.summary).map(([name, spread]) => [name, { ...spread }] as const);
  return { ...report, summary: Object.fromEntries(summary) };
}
