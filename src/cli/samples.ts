import type { Envelope } from '../batch.js';
import { systemClock } from '../clock.js';
import type { PipelineConfig, QueueConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { HIDDEN_S, sampleQueue } from '../foresight/queue-sample.js';
import { type Sample, messagesOf, readSample } from '../foresight/sample-file.js';
import { createSqsClient } from '../source/sqs.js';
import type { CliContext } from './context.js';

/** More is not needed to see what the masks do, and is hidden from the pipeline for too long. */
const MOST_RECEIVED = 1_000;

/** Messages of a file. Throws `usage` when it can't be read. */
export async function messagesOfFile({ out }: CliContext, file: string): Promise<readonly Envelope[]> {
  const sample: Sample = await readSample(file, process.stdin);
  if (sample.isCut) out.note(`${file} is longer than what is looked at: the rest was not read.`);
  return messagesOf(sample);
}

/**
 * Messages of a pipeline's queues, given back at once; stderr says what that does to them. Throws `usage`,
 * `sqs_unavailable`, and `source_unfit` where a look could cost messages and `--yes` was not said.
 */
export async function messagesOfQueue(
  { out, yes }: CliContext,
  { name, source }: PipelineConfig,
  count: number,
): Promise<readonly Envelope[]> {
  if (count < 1 || count > MOST_RECEIVED) {
    throw new PipelineError('usage', `from 1 to ${MOST_RECEIVED} messages can be looked at in a queue`);
  }
  const envelopes: Envelope[] = [];
  for (const queue of source.sqs.queues) {
    if (envelopes.length < count)
      envelopes.push(...(await lookAt({ out, yes }, { name, queue }, count - envelopes.length)));
  }
  return envelopes;
}

async function lookAt(
  { out, yes }: Pick<CliContext, 'out' | 'yes'>,
  { name, queue }: { readonly name: string; readonly queue: QueueConfig },
  count: number,
): Promise<readonly Envelope[]> {
  const client = createSqsClient({ ...queue, receivers: 1 });
  try {
    const sample = await sampleQueue(client, count, yes, () => systemClock.now());
    const { envelopes, stillHidden, lastReceive } = sample;
    out.note(
      `${name}: received ${envelopes.length} messages of ${client.queue}, deleted none and made them visible again: ` +
        'each has been received once more.',
    );
    if (stillHidden > 0)
      out.note(`${stillHidden} of them could not be made visible: they reappear within ${HIDDEN_S} s.`);
    if (lastReceive > 0) {
      out.note(
        `${lastReceive} of them have been received as often as the redrive policy allows: the next receive moves them to the dead-letter queue.`,
      );
    }
    return envelopes;
  } finally {
    client.close();
  }
}
