import { type Clock, backoffMs } from '../clock.js';
import { PipelineError, asPipelineError } from '../errors.js';
import { actionFor } from '../policy.js';
import type { QueueAttributes, QueueClient } from './queue-client.js';
import { queueMissing } from './sqs-errors.js';

const BASE_MS = 250;
const MAX_MS = 5_000;

/** How long to wait for a queue, and who hears of it. */
export interface WaitForQueueOptions {
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Hears why, before every wait. */
  readonly onWait?: (error: PipelineError) => void;
}

/**
 * Waits, with back-off, for a queue that is missing or unreachable. Throws the last `sqs_unavailable` after
 * `timeoutMs`, `source_unfit` at once, and `canceled` when `signal` aborts.
 */
export async function waitForQueue(
  client: Pick<QueueClient, 'attributes' | 'queue'>,
  { timeoutMs, clock, signal, onWait = () => undefined }: WaitForQueueOptions,
): Promise<QueueAttributes> {
  const giveUpAt = clock.now() + timeoutMs;
  for (let attempt = 1; ; attempt += 1) {
    const found = await lookUp(client);
    if (!(found instanceof PipelineError)) return found;
    const leftMs = giveUpAt - clock.now();
    if (actionFor(found) !== 'wait' || leftMs <= 0) throw found;
    onWait(found);
    await clock.sleep(Math.min(leftMs, backoffMs(clock, attempt, BASE_MS, MAX_MS)), signal);
    if (signal.aborted)
      throw new PipelineError('canceled', `stopped while waiting for queue ${client.queue}`);
  }
}

async function lookUp(
  client: Pick<QueueClient, 'attributes' | 'queue'>,
): Promise<QueueAttributes | PipelineError> {
  try {
    return (await client.attributes()) ?? queueMissing(client.queue);
  } catch (error) {
    return asPipelineError(error);
  }
}
