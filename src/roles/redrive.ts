import type { PipelineConfig } from '../config/config.js';
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
}

/** What became of a dead-letter queue's messages. */
export interface RedriveReport extends RedriveStep {
  readonly pipeline: string;
  /** ARN of the dead-letter queue. */
  readonly deadLetterQueue: string;
  /** Still visible in it, as SQS tells. */
  readonly left: number;
}

/** The ledger forgets by the day, so that what is about to be forgotten counts as forgotten. */
const FORGETTING_MS = 24 * 3_600_000;

/**
 * Sends the messages of a pipeline's dead-letter queue back to its queue, with the id and the time that they had at
 * first. Throws `source_unfit` when the queue has no redrive policy, `key_unavailable`, or `sqs_unavailable`.
 */
export async function redrive(
  deployment: Deployment,
  pipeline: PipelineConfig,
  request: RedriveRequest,
): Promise<RedriveReport> {
  const { sqs } = pipeline.source;
  const place = sqsPlace(sqs.queue, sqs);
  const { deadLetterQueue, queueArn } = await queuesOf(pipeline);
  const deadLetters = createSqsClient({ ...sqs, ...place, queue: deadLetterQueue });
  const { clock, config } = deployment;
  const moving = createRedrive({
    ...place,
    deadLetterQueue,
    queue: sqs.queue,
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
      left -= step.received - step.otherQueues;
    }
    await moving.close();
    const visible = (await deadLetters.attributes())?.visible ?? 0;
    return { ...total, pipeline: pipeline.name, deadLetterQueue, left: visible };
  } finally {
    await moving.close();
    deadLetters.close();
  }
}

/**
 * The pipeline, reading the dead letters of its queue: under its own name, so that the ledger knows what was loaded. Throws
 * `source_unfit` when the queue has no redrive policy, or `sqs_unavailable`.
 */
export async function withDeadLetters(pipeline: PipelineConfig): Promise<PipelineConfig> {
  const { sqs } = pipeline.source;
  const { deadLetterQueue, queueArn } = await queuesOf(pipeline);
  const own = { ...sqs, ...sqsPlace(sqs.queue, sqs), queue: deadLetterQueue, deadLettersOf: queueArn };
  return { ...pipeline, source: { ...pipeline.source, sqs: own } };
}

/** ARNs of the queue that its messages come from, and of its dead-letter queue. */
async function queuesOf({
  name,
  source,
}: PipelineConfig): Promise<{ readonly deadLetterQueue: string; readonly queueArn: string }> {
  const client = createSqsClient(source.sqs);
  try {
    const attributes = await client.attributes();
    if (attributes === null) throw queueMissing(client.queue);
    const { arn, redrive: policy } = attributes;
    if (policy !== null) return { deadLetterQueue: policy.deadLetterArn, queueArn: arn };
    throw new PipelineError(
      'source_unfit',
      `pipeline ${name}: queue ${client.queue} has no redrive policy, so there is no dead-letter queue`,
    );
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
