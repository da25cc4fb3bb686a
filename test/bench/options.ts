import { parseArgs } from 'node:util';
import { PipelineError } from '../../src/errors.js';
import { wholeNumber } from './settings.js';

/** What to measure, and how to print it. */
export interface BenchOptions {
  readonly messages: number;
  readonly runs: number;
  readonly json: boolean;
  /** Where each role writes a CPU profile, which costs CPU itself; null: none are written. */
  readonly profileDir: string | null;
  readonly help: boolean;
}

/** What `--help` prints. */
export const usageText = `npm run bench -- [options]

  --messages N    messages of each run (default 20000)
  --runs R        runs, each with servers and processes of its own (default 3)
  --json          print one JSON object
  --profile DIR   write a CPU profile of each role; the figures then include the profiler
  --help          print this

npm run bench -- continuous     latency of single messages, and what an idle pipeline asks of SQS
npm run bench -- isolation      what one pipeline gets done while another is broken
npm run bench -- siv            what AES-SIV of two columns costs, without servers
npm run bench -- brute-force    how long plain SHA-256 of an id or an address lasts`;

/** A million messages fit the emulator's memory; more would measure its garbage collection. */
const MAX_MESSAGES = 1_000_000;
const MAX_RUNS = 100;

/** Reads the arguments. Throws `usage`. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { messages, runs, json, profile, help } = parse(args);
  return {
    messages: wholeNumber('--messages', messages, MAX_MESSAGES),
    runs: wholeNumber('--runs', runs, MAX_RUNS),
    json,
    profileDir: profile ?? null,
    help,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        messages: { type: 'string', default: '20000' },
        runs: { type: 'string', default: '3' },
        json: { type: 'boolean', default: false },
        profile: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'the arguments cannot be read';
    throw new PipelineError('usage', `${reason}\n\n${usageText}`);
  }
}
