// `npm run chaos`: real processes and real servers, all of which fail, and a verdict by other means.

import { errorText, exitCode, exitCodeOf } from '../../src/cli/exit.js';
import { reportText } from '../../src/proof/report.js';
import { torture } from '../../src/proof/torture.js';
import { type ChaosOptions, parseOptions, usageText } from './options.js';

const stopping = new AbortController();
// A second signal finds no listener and ends the process at once.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());

try {
  const options = parseOptions(process.argv.slice(2));
  process.exitCode = options.help ? print(usageText) : await chaos(options);
} catch (error) {
  process.stderr.write(`${errorText(error)}\n`);
  process.exitCode = exitCodeOf(error);
}

async function chaos(options: ChaosOptions): Promise<number> {
  const startedAt = Date.now();
  const { messages, kills, seed, backend, profile } = options;
  const report = await torture({
    ...options,
    searchPath: process.env['PATH'] ?? '',
    signal: stopping.signal,
    tell: (line) => process.stderr.write(`[${((Date.now() - startedAt) / 1000).toFixed(1)} s] ${line}\n`),
    repeat:
      `npm run chaos -- --messages ${messages} --kills ${kills} --seed ${seed}` +
      `${backend === 'redis' ? '' : ` --backend ${backend}`}${profile === 'storm' ? '' : ` --profile ${profile}`}`,
  });
  print(options.json ? JSON.stringify(report) : reportText(report));
  return report.verdict === 'passed' ? exitCode.ok : exitCode.failed;
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return exitCode.ok;
}
