import { parseArgs } from 'node:util';
import { PipelineError } from '../../src/errors.js';
import { type Profile, profiles } from '../../src/proof/plan.js';
import { type Away, away, calmMs } from './outage.js';

/** What every run has. */
interface CommonOptions {
  readonly messages: number;
  readonly seed: number;
  readonly backend: 'redis' | 'postgres';
  readonly json: boolean;
  readonly keep: boolean;
  readonly help: boolean;
}

/** A chaos run: a storm of kills, an outage, or a soak. */
export type ChaosOptions = CommonOptions &
  (
    | { readonly profile: Profile; readonly kills: number }
    | { readonly profile: 'fifo'; readonly kills: number; readonly groups: number }
    | { readonly profile: 'outage'; readonly of: Away; readonly minutes: number }
    | { readonly profile: 'soak'; readonly minutes: number }
  );

/** What `--help` prints. */
export const usageText = `npm run chaos -- [options]

  --profile NAME     storm (default): everything fails
                     committed: only kills of loaders exactly between COMMIT and ack
                     fifo: everything fails, on a FIFO queue whose order is judged too
                     outage: a dependency is away for minutes, on a queue with maxReceiveCount 3 and a dead-letter queue
                     soak: steady load and no faults, to see what grows
  --messages N       messages to send (default 20000; outage and soak: so many that it is 200 or 500 a second)
  --groups N         fifo: message groups (default 100)
  --kills K          storm, committed, fifo: kills of processes and servers (default 40)
  --of NAME          outage: redis (default), postgres, sqs, or all at once
  --minutes M        outage (default 10) and soak (default 30)
  --seed S           decides what fails, and how, and what is sent (default 1)
  --backend NAME     where the queues are: redis (default) or postgres
  --keep             keep logs and data though all is right
  --json             print one JSON object
  --help             print this

It prints \`lost 0 · twice 0 · leaked 0 · …\` and figures. Exit code 0 only when all is right; 1 also when the faults hit
too little to prove anything. Of a run that failed, logs and data are kept.`;

const MAX_MESSAGES = 5_000_000;
const MAX_KILLS = 10_000;
const MAX_GROUPS = 100_000;
const MAX_SEED = 2 ** 32 - 1;
/** A day. */
const MAX_MINUTES = 1_440;
const MINUTE_MS = 60_000;
/** Enough for a batch a second of each ingester, and little enough for what piles up in ten minutes to go in one. */
const OUTAGE_PER_SECOND = 200;
/** Keeps two processors about half busy, the emulator of SQS included. */
const SOAK_PER_SECOND = 500;

/** Reads the arguments. Throws `usage`. */
export function parseOptions(args: readonly string[]): ChaosOptions {
  const values = parse(args);
  const { backend, profile, json, keep, help } = values;
  if (backend !== 'redis' && backend !== 'postgres') throw usage('--backend must be redis or postgres');
  const common = (usual: number): CommonOptions => ({
    messages: wholeNumber('--messages', values.messages ?? String(usual), 1, MAX_MESSAGES),
    seed: wholeNumber('--seed', values.seed, 0, MAX_SEED),
    backend,
    json,
    keep,
    help,
  });
  if (profile === 'outage') {
    const of = away.find((one) => one === values.of);
    if (of === undefined) throw usage(`--of must be one of ${away.join(', ')}`);
    if (of === 'redis' && backend === 'postgres') throw usage('--of redis needs the queues on Redis');
    const minutes = wholeNumber('--minutes', values.minutes ?? '10', 1, MAX_MINUTES);
    const ms = minutes * MINUTE_MS + 2 * calmMs(minutes * MINUTE_MS);
    return { ...common((ms * OUTAGE_PER_SECOND) / 1_000), profile, of, minutes };
  }
  if (profile === 'soak') {
    const minutes = wholeNumber('--minutes', values.minutes ?? '30', 1, MAX_MINUTES);
    return { ...common((minutes * MINUTE_MS * SOAK_PER_SECOND) / 1_000), profile, minutes };
  }
  const kills = wholeNumber('--kills', values.kills, 1, MAX_KILLS);
  if (profile === 'fifo')
    return {
      ...common(20_000),
      profile,
      kills,
      groups: wholeNumber('--groups', values.groups, 1, MAX_GROUPS),
    };
  const known = profiles.find((one) => one === profile);
  if (known === undefined) throw usage(`--profile must be one of ${profiles.join(', ')}, fifo, outage, soak`);
  return { ...common(20_000), profile: known, kills };
}

/** The command that repeats a run. */
export function repeatOf(options: ChaosOptions): string {
  const { messages, seed, backend, profile } = options;
  const parts: readonly (string | false)[] = [
    `npm run chaos -- --messages ${messages}`,
    'groups' in options && `--groups ${options.groups}`,
    'kills' in options && `--kills ${options.kills}`,
    `--seed ${seed}`,
    backend !== 'redis' && `--backend ${backend}`,
    profile !== 'storm' && `--profile ${profile}`,
    'of' in options && `--of ${options.of}`,
    'minutes' in options && `--minutes ${options.minutes}`,
  ];
  return parts.filter((part) => part !== false).join(' ');
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        messages: { type: 'string' },
        kills: { type: 'string', default: '40' },
        groups: { type: 'string', default: '100' },
        of: { type: 'string', default: 'redis' },
        minutes: { type: 'string' },
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
