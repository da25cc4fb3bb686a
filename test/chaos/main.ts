// `npm run chaos`: real processes and real servers, all of which fail, and a verdict by other means.

import { errorText, exitCode, exitCodeOf } from '../../src/cli/exit.js';
import { type Verdict, reportText } from '../../src/proof/report.js';
import { torture } from '../../src/proof/torture.js';
import { type ChaosOptions, parseOptions, repeatOf, usageText } from './options.js';
import { drillOutage, outageText } from './outage.js';
import { soak, soakText } from './soak.js';

const stopping = new AbortController();
// A second signal finds no listener and ends the process at once.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
const MINUTE_MS = 60_000;
/** What is promised of the memory of each process. */
const MAX_GROWTH = 0.05;

try {
  const options = parseOptions(process.argv.slice(2));
  process.exitCode = options.help ? print(usageText) : await chaos(options);
} catch (error) {
  process.stderr.write(`${errorText(error)}\n`);
  process.exitCode = exitCodeOf(error);
}

async function chaos(options: ChaosOptions): Promise<number> {
  const { verdict, report, text } = await carryOut(options);
  print(options.json ? JSON.stringify(report) : text);
  return verdict === 'passed' ? exitCode.ok : exitCode.failed;
}

async function carryOut(
  options: ChaosOptions,
): Promise<{ readonly verdict: Verdict; readonly report: object; readonly text: string }> {
  const startedAt = Date.now();
  const run = {
    searchPath: process.env['PATH'] ?? '',
    signal: stopping.signal,
    tell: (line: string) =>
      void process.stderr.write(`[${((Date.now() - startedAt) / 1000).toFixed(1)} s] ${line}\n`),
    repeat: repeatOf(options),
  };
  if (options.profile === 'outage') {
    const report = await drillOutage({ ...options, ...run, outageMs: options.minutes * MINUTE_MS });
    return { verdict: report.verdict, report, text: outageText(report) };
  }
  if (options.profile === 'soak') {
    const soakMs = options.minutes * MINUTE_MS;
    const report = await soak({ ...options, ...run, soakMs, maxGrowth: MAX_GROWTH });
    return { verdict: report.verdict, report, text: soakText(report) };
  }
  const profile = options.profile === 'fifo' ? 'storm' : options.profile;
  const report = await torture({ ...options, profile, ...run });
  return { verdict: report.verdict, report, text: reportText(report) };
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return exitCode.ok;
}
