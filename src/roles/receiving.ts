import type { PipelineConfig } from '../config/config.js';
import type { Releases } from '../lifecycle.js';
import { deadLettersOf } from '../source/dead-letters.js';
import { joinSources } from '../source/joined.js';
import type { QueueClient } from '../source/queue-client.js';
import { createSqsClient } from '../source/sqs.js';
import { type SourceOptions, type SqsSource, createSource } from '../source/sqs-source.js';
import type { Deployment } from './deployment.js';
import { openPointers } from './pointers.js';
import { type LabelledQueue, labelledQueues } from './queue-labels.js';
import { sourceEvents } from './source-events.js';
import { watchedClient } from './watch-ports.js';

/** The long receives of a continuous pipeline would let each `drain` of it end that much later. */
const CONTINUOUS_DRAIN_WAIT_S = 1;

/** What a pipeline's messages come from. */
export interface Receiving {
  /** Of each of its queues. */
  readonly clients: readonly QueueClient[];
  /** All of them as one source, which is stopped with the rest; each call opens another. */
  readonly openSource: () => Promise<SqsSource>;
}

/** How it is received. */
export type ReceivingOptions = Required<Pick<SourceOptions, 'admit' | 'origins'>> &
  Pick<SourceOptions, 'onEvent'>;

/** Connects the queues of a pipeline, and S3 where messages point to it; nothing is received yet. */
export async function openReceiving(
  deployment: Deployment,
  releases: Releases,
  pipeline: PipelineConfig,
  { admit, origins, onEvent }: ReceivingOptions,
): Promise<Receiving> {
  const clients = await connectQueues(deployment, releases, pipeline);
  const pointers = await openPointers(deployment, releases, pipeline);
  const { source, limits, schedule } = pipeline;
  const share = (limit: number): number => Math.floor(limit / clients.length);
  const sourceOf = (client: QueueClient): SqsSource =>
    createSource({
      ...source.sqs,
      receivers: source.sqs.queues[0].receivers,
      inFlight: share(limits.inFlight),
      inFlightBytes: share(limits.inFlightBytes),
      opening: source.opening,
      client,
      clock: deployment.clock,
      ...(schedule?.kind === 'continuous' ? { drainWaitTimeS: CONTINUOUS_DRAIN_WAIT_S } : {}),
      admit,
      origins,
      ...(pointers === null ? {} : { pointers }),
      onEvent: onEvent ?? sourceEvents(deployment, pipeline.name),
    });
  const openSource = (): Promise<SqsSource> =>
    releases.acquire(joinSources(clients.map(sourceOf)), (open) => open.stop());
  return { clients, openSource };
}

/** The pipeline's queues. */
function connectQueues(
  { loops }: Deployment,
  releases: Releases,
  pipeline: PipelineConfig,
): Promise<readonly QueueClient[]> {
  const connect = async ({ label, queue }: LabelledQueue): Promise<QueueClient> => {
    const connected = watchedClient(loops, label, createSqsClient(queue));
    const client = await releases.acquire(connected, (open) => open.close());
    if (queue.deadLettersOf === undefined) return client;
    const deadLetters = await releases.acquire(deadLettersOf(queue.deadLettersOf, client), (open) =>
      open.giveBack(),
    );
    return deadLetters.client;
  };
  return Promise.all(labelledQueues(pipeline).map(connect));
}
