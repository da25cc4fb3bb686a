import type { PipelineConfig, QueueConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { queueMissing } from '../source/sqs-errors.js';
import { type RedriveStep, createRedrive } from '../source/sqs-redrive.js';
import { sqsPlace } from '../source/sqs-sdk.js';
import { createSqsClient } from '../source/sqs.js';
import type { Deployment } from './deployment.js';
import { openKeyring } from './keyring.js';
import { originSealer } from './origin.js';

/** What a redrive is to do. */
export interface RedriveRequest {
  /** Null: until the dead-letter queue is empty. */
  readonly maxMessages: number | null;
  readonly dryRun: boolean;
  /** Ends it after the messages in hand. */
  readonly signal: AbortSignal;
  /** Hears how many messages were taken from a queue so far. */
  readonly onStep?: (received: number) => void;
}

/** What became of a dead-letter queue's messages. */
export interface RedriveReport extends RedriveStep {
  readonly pipeline: string;
  /** Where they go: as configured. */
  readonly queue: string;
  /** ARN of the dead-letter queue. */
  readonly deadLetterQueue: string;
  /** Still visible in it, as SQS tells. */
  readonly left: number;
}

/** The ledger forgets by the day, so that what is about to be forgotten counts as forgotten. */
const FORGETTING_MS = 24 * 3_600_000;

/**
 * Sends the messages of a pipeline's dead-letter queues back to its queues, with the id and the time that they had at
 * first; reports of each queue that has one, as it is done. Throws `source_unfit` when none has a redrive policy,
 * `key_unavailable`, or `sqs_unavailable`.
 */
export async function* redrive(
  deployment: Deployment,
  pipeline: PipelineConfig,
  request: RedriveRequest,
): AsyncGenerator<RedriveReport, void, undefined> {
  let maxMessages = request.maxMessages;
  for (const pair of await deadLettersFrom(pipeline)) {
    const report = await redriveOne(deployment, pipeline.name, pair, { ...request, maxMessages });
    if (maxMessages !== null) maxMessages -= report.received - report.otherQueues;
    yield report;
  }
}

async function redriveOne(
  deployment: Deployment,
  pipeline: string,
  { queue: own, deadLetterQueue, queueArn }: DeadLetterPair,
  request: RedriveRequest,
): Promise<RedriveReport> {
  const place = sqsPlace(own.queue, own);
  const deadLetters = createSqsClient({ ...own, ...place, queue: deadLetterQueue });
  const { clock, config } = deployment;
  const moving = createRedrive({
    ...place,
    deadLetterQueue,
    queue: own.queue,
    queueArn,
    origins: originSealer(await openKeyring(deployment)),
    notBefore: clock.now() - config.retention.ledgerMs + FORGETTING_MS,
  });
  try {
    let total: RedriveStep = { received: 0, redriven: 0, otherQueues: 0, tooOld: 0, tooLarge: 0, failed: 0 };
    let left = request.dryRun ? 0 : (request.maxMessages ?? Infinity);
    while (left > 0 && !request.signal.aborted) {
      const step = await moving.step(left);
      if (step.received === 0) break;
      total = sum(total, step);
      request.onStep?.(total.received);
      left -= step.received - step.otherQueues;
    }
    await moving.close();
    const visible = (await deadLetters.attributes())?.visible ?? 0;
    return { ...total, pipeline, queue: own.queue, deadLetterQueue, left: visible };
  } finally {
    await moving.close();
    deadLetters.close();
  }
}

/**
 * The pipeline, reading the dead letters of its queues: under its own name, so that the ledger knows what was loaded. Throws
 * `source_unfit` when no queue has a redrive policy, or `sqs_unavailable`.
 */
export async function withDeadLetters(pipeline: PipelineConfig): Promise<PipelineConfig> {
  const byQueue = new Map<string, QueueConfig>();
  // Queues may share one, which is received from once.
  for (const { queue: own, deadLetterQueue, queueArn } of await deadLettersFrom(pipeline)) {
    const before = byQueue.get(deadLetterQueue)?.deadLettersOf ?? [];
    const place = { ...own, ...sqsPlace(own.queue, own), queue: deadLetterQueue };
    byQueue.set(deadLetterQueue, { ...place, deadLettersOf: [...before, queueArn] });
  }
  const { source } = pipeline;
  const [first = source.sqs.queues[0], ...others] = byQueue.values();
  return { ...pipeline, source: { ...source, sqs: { ...source.sqs, queues: [first, ...others] } } };
}

/** A queue, its ARN, and the ARN of its dead-letter queue. */
interface DeadLetterPair {
  readonly queue: QueueConfig;
  readonly queueArn: string;
  readonly deadLetterQueue: string;
}

/** Those of a pipeline's queues that have a dead-letter queue: one at least. */
async function deadLettersFrom({
  name,
  source: { sqs },
}: PipelineConfig): Promise<readonly DeadLetterPair[]> {
  const pairs = (await Promise.all(sqs.queues.map(pairOf))).filter((pair) => pair !== null);
  if (pairs.length > 0) return pairs;
  const queues = sqs.queues.map(({ queue }) => queue).join(', ');
  throw new PipelineError(
    'source_unfit',
    `pipeline ${name}: queue ${queues} has no redrive policy, so there is no dead-letter queue`,
  );
}

async function pairOf(queue: QueueConfig): Promise<DeadLetterPair | null> {
  const client = createSqsClient(queue);
  try {
    const attributes = await client.attributes();
    if (attributes === null) throw queueMissing(client.queue);
    const { arn, redrive: policy } = attributes;
    return policy && { queue, deadLetterQueue: policy.deadLetterArn, queueArn: arn };
  } finally {
    client.close();
  }
}

function sum(a: RedriveStep, b: RedriveStep): RedriveStep {
  return {
    received: a.received + b.received,
    redriven: a.redriven + b.redriven,
    otherQueues: a.otherQueues + b.otherQueues,
    tooOld: a.tooOld + b.tooOld,
    tooLarge: a.tooLarge + b.tooLarge,
    failed: a.failed + b.failed,
  };
}
