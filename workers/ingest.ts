// The ingest role: drains SQS by the schedule, hands batches on, and acks what is committed. For pm2 and containers; configured by the environment alone, since process
// managers put arguments of their own on the command line.
import { runCommandLine } from '../src/cli/entry.js';

process.exitCode = await runCommandLine(['node', 'maskline', 'run', 'ingest'], process);
