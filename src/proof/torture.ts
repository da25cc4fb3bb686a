import { Releases } from '../lifecycle.js';
import { Dice } from './dice.js';
import { openEmbeddedArena } from './embedded-arena.js';
import type { Profile } from './plan.js';
import { type TortureReport, reportOf } from './report.js';
import type { SqsCall } from './sqs-fault-proxy.js';
import { PIPELINE, startProofStack } from './stack.js';
import { type StormOptions, type StormResult, runStorm } from './storm.js';
import { closeWorkspace, openWorkspace } from './workspace.js';

/** A run on the embedded stack. */
export interface TortureOptions extends Pick<
  StormOptions,
  'messages' | 'kills' | 'seed' | 'signal' | 'tell'
> {
  readonly profile: Profile;
  readonly backend: 'redis' | 'postgres';
  /** Of a FIFO queue's messages, whose order is judged too; absent: the queue is a standard one. */
  readonly groups?: number;
  /** Of the programs that are to be found. */
  readonly searchPath: string;
  /** The command that repeats the run. */
  readonly repeat: string;
  /** Whether logs and data are kept though the run passed. */
  readonly keep: boolean;
}

/** So many batches to a kill: enough for each to hit one, and for the table to grow. */
const BATCHES_PER_KILL = 5;
const LARGEST_BATCH = 1_000;
const SMALLEST_BATCH = 10;
/** Short, so that what a killed ingester held comes back soon; the default is minutes. */
const VISIBILITY = '10s';
const LINGER = '200ms';
/** A message that comes back so often is in a loop. */
const MAX_RECEIVES = 200;
const SCHEDULES = ['* * * * * *', 'continuous'] as const;

/**
 * Starts Postgres, the queue's server and SQS, seven processes of maskline on them, makes all of it fail as the seed
 * says, and judges what became of the messages. Of a run that did not pass, logs and data are kept.
 */
export async function torture(options: TortureOptions): Promise<TortureReport> {
  const { messages, kills, seed, tell, backend } = options;
  const startedAt = Date.now();
  const dir = await openWorkspace();
  const releases = new Releases();
  const again = new Redeliveries();
  let report: TortureReport | null = null;
  try {
    const stack = await startProofStack({
      dir,
      releases,
      backend,
      pipeline: {
        schedule: new Dice(seed).of('schedule').pick(SCHEDULES),
        sqs: { visibility_timeout: VISIBILITY },
        batch: {
          max_messages: batchMessages(messages, kills),
          ...(options.groups === undefined ? { linger: LINGER } : {}),
        },
      },
      ...(options.groups === undefined ? {} : { groups: options.groups }),
      maxReceives: MAX_RECEIVES,
      searchPath: options.searchPath,
      onAnswer: again.note,
    });
    tell(
      `Postgres, ${stack.redis ? 'Redis' : 'the queues in it'} and SQS are up, each behind a proxy, in ${dir}`,
    );
    const arena = await openEmbeddedArena(stack, seed, releases);
    const result: StormResult = await runStorm(arena, { ...options, pipeline: PIPELINE });
    report = reportOf(result, {
      ...options,
      profile: options.groups === undefined ? options.profile : 'fifo',
      queueBackend: backend,
      wallMs: Date.now() - startedAt,
      redeliveries: again.count,
    });
  } finally {
    await releases.release();
    const kept = closeWorkspace(
      dir,
      options.keep || (report?.verdict !== 'passed' && !options.signal.aborted),
    );
    if (report) report = { ...report, kept };
    else if (kept !== null) tell(`logs and data: ${kept}`);
  }
  return report;
}

function batchMessages(messages: number, kills: number): number {
  return Math.min(LARGEST_BATCH, Math.max(SMALLEST_BATCH, Math.round(messages / kills / BATCHES_PER_KILL)));
}

/** Counts what SQS hands out more than once. */
class Redeliveries {
  count = 0;

  readonly note = ({ action }: SqsCall, answer: string): void => {
    if (action !== 'ReceiveMessage') return;
    for (const [, count] of answer.matchAll(/"ApproximateReceiveCount":"(\d+)"/g)) {
      if (Number(count) > 1) this.count += 1;
    }
  };
}
