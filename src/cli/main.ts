#!/usr/bin/env node
import { describeError, exitCodeOf } from './exit.js';
import { buildProgram } from './program.js';

// The SDK says at every start that it will drop Node 20 one day; that is for our package.json to know.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

try {
  process.exitCode = await buildProgram(process.argv).run();
} catch (error) {
  process.stderr.write(`maskline: ${describeError(error)}\n`);
  process.exitCode = exitCodeOf(error);
}
