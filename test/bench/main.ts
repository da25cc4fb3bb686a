// `npm run bench`: `maskline bench`, and by the first argument what is of use to who works on maskline only.

import { runCommandLine } from '../../src/cli/entry.js';
import { errorText, exitCode, exitCodeOf } from '../../src/cli/exit.js';
import { PipelineError } from '../../src/errors.js';
import { runBaseline } from './baseline.js';
import { runBruteForce } from './brute-force.js';
import { runIdle } from './idle.js';
import { runIsolation } from './isolation.js';
import { runLedger } from './ledger.js';
import { runSiv } from './siv.js';

const parts: ReadonlyMap<string | undefined, (args: readonly string[]) => string | Promise<string>> = new Map<
  string,
  (args: readonly string[]) => string | Promise<string>
>([
  ['siv', runSiv],
  ['brute-force', runBruteForce],
  ['idle', runIdle],
  ['isolation', runIsolation],
  ['baseline', runBaseline],
  ['ledger', runLedger],
]);

// The emulator takes any credentials, but the SDK sends nothing without some.
process.env['AWS_ACCESS_KEY_ID'] ??= 'bench';
process.env['AWS_SECRET_ACCESS_KEY'] ??= 'bench';
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

const [name, ...rest] = process.argv.slice(2);
const part = parts.get(name);
if (part === undefined) {
  process.exitCode = await runCommandLine(
    [...process.argv.slice(0, 2), 'bench', ...process.argv.slice(2)],
    process,
  );
} else {
  try {
    process.stdout.write(`${await part(rest)}\n`);
  } catch (error) {
    const isOurs = error instanceof PipelineError;
    const text = isOurs ? errorText(error) : error instanceof Error ? error.message : String(error);
    process.stderr.write(`${text}\n`);
    process.exitCode = isOurs ? exitCodeOf(error) : exitCode.failed;
  }
}
