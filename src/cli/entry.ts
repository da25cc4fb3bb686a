import type { Surroundings } from './context.js';
import { errorText, exitCodeOf } from './exit.js';
import { buildProgram } from './program.js';

/** Runs a command line (`argv` as Node has it). Resolves to the exit code; never rejects. */
export async function runCommandLine(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  // The SDK says at every start that it will drop Node 20 one day; that is for our package.json to know.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const { env, stdout, stderr, logStream } = surroundings;
  // A reader that has seen enough, as `head`, is no failure; but what goes on for ever has nobody to show it to.
  const unread = new AbortController();
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    unread.abort();
  });
  const watched = { env, stdout, stderr, ...(logStream ? { logStream } : {}), unread: unread.signal };
  try {
    return await buildProgram(argv, watched).run();
  } catch (thrown) {
    surroundings.stderr.write(`${errorText(thrown)}\n`);
    return exitCodeOf(thrown);
  }
}
