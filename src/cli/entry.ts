import { errorText, exitCodeOf } from './exit.js';
import { buildProgram } from './program.js';

/** Runs the command line of this process (`argv` as Node has it) and sets its exit code. Never rejects. */
export async function runCommandLine(argv: readonly string[]): Promise<void> {
  // The SDK says at every start that it will drop Node 20 one day; that is for our package.json to know.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  try {
    process.exitCode = await buildProgram(argv).run();
  } catch (thrown) {
    process.stderr.write(`${errorText(thrown)}\n`);
    process.exitCode = exitCodeOf(thrown);
  }
}
