// `npm run bench`: what a message costs, end to end, with real servers and a process for each role.

import { mkdirSync } from 'node:fs';
import { errorText, exitCode, exitCodeOf } from '../../src/cli/exit.js';
import { PipelineError } from '../../src/errors.js';
import { runBruteForce } from './brute-force.js';
import { runContinuous } from './continuous.js';
import { runIsolation } from './isolation.js';
import { type RunFigures, figuresOf } from './figures.js';
import { type BenchOptions, parseOptions, usageText } from './options.js';
import { type Report, reportOf, reportText } from './report.js';
import { type MeasuredRun, measureRun } from './run.js';
import { runSiv } from './siv.js';
import { machine, parameters, versions } from './surroundings.js';

/** The benchmarks of one thing, by the first argument. */
const alone: ReadonlyMap<string | undefined, (args: readonly string[]) => string | Promise<string>> = new Map<
  string,
  (args: readonly string[]) => string | Promise<string>
>([
  ['siv', runSiv],
  ['brute-force', runBruteForce],
  ['continuous', runContinuous],
  ['isolation', runIsolation],
]);

const stopping = new AbortController();
// A second signal finds no listener and ends the process at once.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
// For the question what is left in the queue; the emulator takes any credentials.
process.env['AWS_ACCESS_KEY_ID'] ??= 'bench';
process.env['AWS_SECRET_ACCESS_KEY'] ??= 'bench';
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

try {
  const [name, ...rest] = process.argv.slice(2);
  const text = (await alone.get(name)?.(rest)) ?? (await endToEnd(process.argv.slice(2)));
  process.stdout.write(`${text}\n`);
} catch (error) {
  const isOurs = error instanceof PipelineError;
  const text = isOurs ? errorText(error) : error instanceof Error ? error.message : String(error);
  process.stderr.write(`${text}\n`);
  process.exitCode = isOurs ? exitCodeOf(error) : exitCode.failed;
}

async function endToEnd(args: readonly string[]): Promise<string> {
  const options = parseOptions(args);
  return options.help ? usageText : printed(await bench(options), options.json);
}

function printed(report: Report, json: boolean): string {
  return json ? JSON.stringify(report) : reportText(report);
}

async function bench(options: BenchOptions): Promise<Report> {
  const { messages, runs, profileDir } = options;
  if (profileDir !== null) mkdirSync(profileDir, { recursive: true });
  const startedAt = Date.now();
  const before = machine();
  const figures: RunFigures[] = [];
  let last: MeasuredRun | null = null;
  for (let run = 1; run <= runs; run += 1) {
    last = await measureRun({ messages, run, profileDir }, stopping.signal);
    const figure = figuresOf(last.measured);
    figures.push(figure);
    const { messages_per_second: rate, cpu_us_per_message: cpu } = figure;
    process.stderr.write(
      `run ${run} of ${runs}: ${rate.toFixed(0)} messages/s, ${cpu.total.toFixed(1)} µs of CPU per message\n`,
    );
  }
  if (last === null) throw new TypeError('there is at least one run');
  const facts = { parameters: parameters(options, last), versions: versions(last), machine: before };
  return reportOf(figures, facts, startedAt);
}
