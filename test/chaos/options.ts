import { parseArgs } from 'node:util';
import { PipelineError } from '../../src/errors.js';
import { type Profile, profiles } from '../../src/proof/plan.js';

/** A chaos run. */
export interface ChaosOptions {
  readonly messages: number;
  readonly kills: number;
  readonly seed: number;
  readonly backend: 'redis' | 'postgres';
  readonly profile: Profile;
  readonly json: boolean;
  readonly keep: boolean;
  readonly help: boolean;
}

/** What `--help` prints. */
export const usageText = `npm run chaos -- [options]

  --messages N       messages to send (default 20000)
  --kills K          kills of processes and servers (default 40)
  --seed S           decides what fails, and how (default 1)
  --backend NAME     where the queues are: redis (default) or postgres
  --profile NAME     storm (default): everything; committed: only kills of loaders exactly between COMMIT and ack
  --keep             keep logs and data though all is right
  --json             print one JSON object
  --help             print this

It prints \`lost 0 · twice 0 · leaked 0 · kills K · seed S\` and figures. Exit code 0 only when all is right; 1 also
when too few kills hit a process at work. Of a run that failed, logs and data are kept.`;

const MAX_MESSAGES = 2_000_000;
const MAX_KILLS = 10_000;
const MAX_SEED = 2 ** 32 - 1;

/** Reads the arguments. Throws `usage`. */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const { messages, kills, seed, backend, profile, json, keep, help } = parse(args);
  if (backend !== 'redis' && backend !== 'postgres') throw usage('--backend must be redis or postgres');
  const known = profiles.find((one) => one === profile);
  if (known === undefined) throw usage(`--profile must be one of ${profiles.join(', ')}`);
  return {
    messages: wholeNumber('--messages', messages, 1, MAX_MESSAGES),
    kills: wholeNumber('--kills', kills, 1, MAX_KILLS),
    seed: wholeNumber('--seed', seed, 0, MAX_SEED),
    backend,
    profile: known,
    json,
    keep,
    help,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        messages: { type: 'string', default: '20000' },
        kills: { type: 'string', default: '40' },
        seed: { type: 'string', default: '1' },
        backend: { type: 'string', default: 'redis' },
        profile: { type: 'string', default: 'storm' },
        json: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw usage(error instanceof Error ? error.message : 'the arguments cannot be read');
  }
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw usage(`${name} must be a whole number from ${min} to ${max}`);
}

function usage(message: string): PipelineError {
  return new PipelineError('usage', `${message}\n\n${usageText}`);
}
