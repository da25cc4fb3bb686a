import { type Clock, backoffMs } from './clock.js';
import { type ErrorCode, asPipelineError } from './errors.js';

/**
 * What happens on an error: `wait`: an outage, nobody's fault, tried again until it ends, no attempt spent;
 * `retry`: this batch again, with back-off; `give_up`: this batch goes back to the queue it came from; `stop`:
 * nothing more can be done until somebody mends it.
 */
export type Action = 'wait' | 'retry' | 'give_up' | 'stop';

interface Policy {
  readonly action: Action;
  /** What the operator reads. */
  readonly remedy: string;
}

/** The one table of errors. Few retry on their own: the default is cautious. */
export const policies: Readonly<{ [code in ErrorCode]: Policy }> = {
  config_invalid: {
    action: 'stop',
    remedy: 'mend maskline.yaml; `maskline validate` lists all problems at once',
  },
  usage: { action: 'stop', remedy: 'see `maskline --help`' },
  not_found: { action: 'give_up', remedy: 'check the name or id; the list command shows what there is' },
  schema_outdated: { action: 'stop', remedy: 'run `maskline migrate`' },
  table_unfit: {
    action: 'stop',
    remedy: 'run `maskline validate --connect`, then mend the table or the column',
  },
  permission_denied: { action: 'stop', remedy: 'grant the missing right to the role that the message names' },
  row_count_differs: { action: 'stop', remedy: 'look for a trigger or rule on the target that drops rows' },
  queue_unfit: { action: 'stop', remedy: 'set the Redis maxmemory-policy to noeviction' },
  source_unfit: { action: 'stop', remedy: 'check the queue, its redrive policy and the rights on it' },
  key_unavailable: {
    action: 'stop',
    remedy: 'run `maskline keys check`: the keyring or its KEK is not the right one',
  },
  leak_found: {
    action: 'give_up',
    remedy:
      'compare the kept columns with the masked fields: mask or drop what repeats a masked value, or set leak_gate: false if they may agree',
  },
  masker_stuck: {
    action: 'retry',
    remedy:
      'make the custom mask that the message names faster, or lower batch.max_messages; then retry the batch',
  },
  payload_newer: {
    action: 'retry',
    remedy: 'finish the upgrade: a worker of a newer version made this batch',
  },
  payload_corrupt: {
    action: 'give_up',
    remedy: 'none needed once: the messages return from SQS; if it goes on, a worker has another keyring',
  },
  worker_died: {
    action: 'give_up',
    remedy:
      'find out what ends the workers (memory limit, kill timeout, a crash in their log), then retry the batch',
  },
  expired: {
    action: 'give_up',
    remedy:
      'none needed: its messages went back to SQS long ago; `maskline failed discard` removes the batch',
  },
  postgres_unavailable: { action: 'wait', remedy: 'bring Postgres back; work goes on by itself' },
  redis_unavailable: { action: 'wait', remedy: 'bring Redis back; work goes on by itself' },
  sqs_unavailable: {
    action: 'wait',
    remedy: 'check the network and credentials for SQS; work goes on by itself',
  },
  s3_unavailable: {
    action: 'wait',
    remedy: 'check the network and credentials for S3; work goes on by itself',
  },
  kms_unavailable: {
    action: 'wait',
    remedy: 'check the network and credentials for AWS KMS; the start goes on by itself',
  },
  contention: {
    action: 'retry',
    remedy:
      'none needed while the batch is tried again; if it failed for good, see who holds locks on its table',
  },
  statement_timeout: {
    action: 'retry',
    remedy:
      'find what slows the load down (a trigger, a missing index, the disk), or lower batch.max_messages; then retry the batch',
  },
  breaker_open: {
    action: 'give_up',
    remedy: 'see what is in the quarantine and mend the cause, then run `maskline schedule resume`',
  },
  turn_taken: {
    action: 'give_up',
    remedy:
      'none needed when that process is well; it gives the turn back, or loses it after 30 s of silence',
  },
  canceled: { action: 'give_up', remedy: 'none needed: the process was told to stop' },
  unexpected: { action: 'retry', remedy: 'look at the log of the worker; report it as a defect if it stays' },
};

/** Whether a text is one of the codes. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(policies, text);
}

/** What to do about any thrown thing. */
export function actionFor(error: unknown): Action {
  return policies[asPipelineError(error).code].action;
}

const OUTAGE_BASE_MS = 100;
const OUTAGE_MAX_MS = 5_000;

/**
 * Runs `work` until it ends otherwise than by an outage, waiting in between; rethrows everything else, and the
 * outage itself once `signal` aborts or `limitMs` have passed. `onWait` hears of each wait.
 */
export function outlast<T>(
  clock: Clock,
  work: () => Promise<T>,
  signal: AbortSignal,
  onWait: (error: unknown) => void = () => undefined,
  limitMs = Infinity,
): Promise<T> {
  return again(clock, work, ['wait'], signal, onWait, limitMs);
}

/**
 * As `outlast`, but goes on after everything that may pass by itself, also what is not understood: for who looks
 * after receipts, which would keep their messages hidden for hours if it left them.
 */
export function persist<T>(
  clock: Clock,
  work: () => Promise<T>,
  signal: AbortSignal,
  onWait: (error: unknown) => void,
): Promise<T> {
  return again(clock, work, ['wait', 'retry'], signal, onWait, Infinity);
}

async function again<T>(
  clock: Clock,
  work: () => Promise<T>,
  on: readonly Action[],
  signal: AbortSignal,
  onWait: (error: unknown) => void,
  limitMs: number,
): Promise<T> {
  const giveUpAt = clock.elapsed() + limitMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const leftMs = giveUpAt - clock.elapsed();
      if (signal.aborted || leftMs <= 0 || !on.includes(actionFor(error))) throw error;
      onWait(error);
      const waitMs = backoffMs(clock, attempt, OUTAGE_BASE_MS, OUTAGE_MAX_MS);
      await clock.sleep(Math.min(leftMs, waitMs), signal);
    }
  }
}
