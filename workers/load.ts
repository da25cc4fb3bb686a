// The load role: loads masked batches into Postgres. For pm2 and containers; configured by the environment alone, since process
// managers put arguments of their own on the command line.
import { runCommandLine } from '../src/cli/entry.js';

process.exitCode = await runCommandLine(['node', 'maskline', 'run', 'load'], process);
