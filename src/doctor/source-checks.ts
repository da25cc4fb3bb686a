// The queues in SQS: whether they are there, what may be done to them, and what becomes of what can't be loaded.

import { formatDuration } from '../config/units.js';
import { PipelineError } from '../errors.js';
import { policies } from '../policy.js';
import { LEDGER_MARGIN_MS } from '../roles/preflight.js';
import type { QueueProbe } from '../source/sqs-probe.js';
import type { Facts, SourceFacts } from './facts.js';
import { GOOD, type Verdict, error, together, unanswered, unseen, warning } from './finding.js';

/** The longest that SQS keeps a message (Amazon SQS API Reference, `SetQueueAttributes`). */
const MOST_RETENTION_S = 14 * 86_400;

/** Judges each queue that has answered. */
export function ofQueues(
  { sources }: Facts,
  judge: (probe: QueueProbe, source: SourceFacts) => Verdict,
): Verdict {
  return together(
    sources.map((source) => {
      const { queue, probe } = source;
      if (probe === null) return unseen(`queue ${queue}, which does not exist`);
      return probe instanceof PipelineError ? unanswered(`queue ${queue}`, probe) : judge(probe, source);
    }),
  );
}

/** Whether each queue is there and answers. */
export function judgeQueues({ sources }: Facts): Verdict {
  return together(
    sources.map(({ pipeline: { name }, queue, probe }) => {
      if (probe instanceof PipelineError) return error(probe.message, policies[probe.code].remedy, name);
      if (probe !== null) return GOOD;
      return error(
        `queue ${queue} does not exist at this endpoint, in this account and region`,
        `create it, or mend pipelines.${name}.source.sqs: queue, region or endpoint`,
        name,
      );
    }),
  );
}

/** Whether an ingester may do there what it has to. */
export function judgeQueueRights(facts: Facts): Verdict {
  return ofQueues(facts, ({ denied, attributes, isKmsEncrypted }, { pipeline, queue }) => {
    // What decrypts is asked for by SQS only when there is something to decrypt.
    const hidden = isKmsEncrypted
      ? unseen(`kms:Decrypt of the messages of queue ${queue}, which only a receive can tell`)
      : GOOD;
    if (denied.length === 0) return hidden;
    const found = `the AWS credentials of this process may not ${denied.join(', ')} on queue ${queue}`;
    const remedy = `allow ${denied.join(', ')} on ${attributes.arn} in the IAM policy of the ingest role`;
    return together([error(found, remedy, pipeline.name), hidden]);
  });
}

/** Whether there is a place for messages that never get through. */
export function judgeRedrive(facts: Facts): Verdict {
  return ofQueues(facts, ({ attributes: { redrive } }, { pipeline, queue }) => {
    const { name, fifo, policy, source } = pipeline;
    if (fifo === 'block') {
      if (redrive === null) return GOOD;
      return warning(
        `queue ${queue} has a redrive policy, and fifo is block: after ${redrive.maxReceiveCount} receives a message that ` +
          'holds its group is moved away, and the group goes on without it',
        `take the redrive policy off ${queue}, or set pipelines.${name}.fifo: skip`,
        name,
      );
    }
    if (redrive !== null) return GOOD;
    const remedy =
      `make a dead-letter queue, and name it in a RedrivePolicy of ${queue}, with maxReceiveCount 5 ` +
      '(aws sqs set-queue-attributes)';
    // What of dead letters is rejected again stays where it is.
    const isLast = source.sqs.queues.some(({ deadLettersOf }) => deadLettersOf !== undefined);
    if (policy.onReject === 'dlq' && !isLast) {
      const found = `on_reject is dlq, and queue ${queue} has no redrive policy: rejected messages would come for ever`;
      return error(found, `${remedy}, or set pipelines.${name}.on_reject: quarantine`, name);
    }
    const found = `queue ${queue} has no redrive policy: a message that never gets through comes back until SQS drops it`;
    return warning(found, remedy, name);
  });
}

/** Whether dead letters are kept for long enough to be seen. */
export function judgeDeadLetters(facts: Facts): Verdict {
  return ofQueues(facts, ({ attributes, deadLetters }, { pipeline, queue }) => {
    const { retentionS, fifo, redrive } = attributes;
    if (deadLetters === null || redrive === null) return GOOD;
    const letters = redrive.deadLetterArn.split(':').at(-1) ?? '';
    if (deadLetters === 'hidden')
      return unseen(`dead-letter queue ${letters}, about which these credentials may not ask`);
    if (deadLetters === 'missing') {
      return error(
        `the redrive policy of queue ${queue} names ${letters}, which does not exist: messages that never get through are lost`,
        `create ${letters}, or change the redrive policy of ${queue}`,
        pipeline.name,
      );
    }
    // A FIFO queue gives what it moves there a new time; others keep the first (Amazon SQS Developer Guide, retention of
    // dead-letter queues).
    if (fifo || deadLetters.retentionS > retentionS || deadLetters.retentionS >= MOST_RETENTION_S)
      return GOOD;
    return warning(
      `dead-letter queue ${letters} keeps messages for ${formatDuration(deadLetters.retentionS * 1_000)}, counted from ` +
        `when they were first sent, and queue ${queue} keeps them for ${formatDuration(retentionS * 1_000)}: late ones are ` +
        'dropped as soon as they are moved',
      `set MessageRetentionPeriod of ${letters} to ${MOST_RETENTION_S} (aws sqs set-queue-attributes)`,
      pipeline.name,
    );
  });
}

/** Whether the ledger remembers for as long as SQS may deliver. */
export function judgeLedgerRetention(facts: Facts): Verdict {
  const { ledgerMs } = facts.config.retention;
  return ofQueues(facts, ({ attributes: { retentionS } }, { pipeline, queue }) => {
    const neededMs = retentionS * 1_000 + LEDGER_MARGIN_MS;
    if (neededMs <= ledgerMs) return GOOD;
    return error(
      `retention.ledger is ${formatDuration(ledgerMs)}, and queue ${queue} keeps messages for ` +
        `${formatDuration(retentionS * 1_000)}: one could be loaded twice`,
      `set retention.ledger to ${formatDuration(neededMs)} or more`,
      pipeline.name,
    );
  });
}

/** Whether each queue has one pipeline, or pipelines that know of each other: by its ARN, however it is named. */
export function judgeSharedQueues(facts: Facts): Verdict {
  const first = new Map<string, string>();
  return ofQueues(facts, ({ attributes: { arn } }, { pipeline: { name, route }, queue }) => {
    const other = first.get(arn);
    if (other === undefined || arn === '') first.set(arn, name);
    if (route !== null || other === undefined || arn === '') return GOOD;
    const where = other === name ? `pipeline ${name} twice` : `pipelines ${other} and ${name}`;
    return error(
      `${where} receive from ${arn} (as ${queue}): each takes messages that are the other's`,
      other === name
        ? `name the queue once in pipelines.${name}.source.sqs.queues`
        : `name it alike in both, and give both a \`route\``,
      name,
    );
  });
}

/** Whether what messages point to may be read. */
export function judgeBuckets({ buckets }: Facts): Verdict {
  return together(
    buckets.map(({ pipeline, reached }) =>
      reached instanceof PipelineError
        ? error(reached.message, policies[reached.code].remedy, pipeline)
        : GOOD,
    ),
  );
}
