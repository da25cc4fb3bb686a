import { PipelineError } from '../errors.js';
import type { EntryResult, QueueAttributes, RawMessage } from './queue-client.js';
import { parsedOrNull } from './json-text.js';
import { saysGone } from './sqs-errors.js';

/** What SQS gives where it gives nothing else (CreateQueue, Amazon SQS API Reference). */
const DEFAULT_VISIBILITY_S = 30;
const DEFAULT_RETENTION_S = 345_600;

/** The system attribute of AWS X-Ray; it goes with the others. */
const TRACE_HEADER = 'AWSTraceHeader';

type Attributes = Readonly<{ [name: string]: string | undefined }>;

/** A message as SQS answers, as far as it is used. */
export interface AnsweredMessage {
  readonly MessageId?: string | undefined;
  readonly ReceiptHandle?: string | undefined;
  readonly Body?: string | undefined;
  readonly MD5OfBody?: string | undefined;
  readonly Attributes?: Attributes | undefined;
  readonly MessageAttributes?: MessageAttributes | undefined;
}

type MessageAttributes = Readonly<{ [name: string]: { readonly StringValue?: string | undefined } }>;

/** Of most messages; one for all of them. */
const NONE: RawMessage['attributes'] = {};

/** The answer to a batch call. */
export interface BatchAnswer {
  readonly Successful?: readonly { readonly Id?: string | undefined }[] | undefined;
  readonly Failed?:
    readonly { readonly Id?: string | undefined; readonly Code?: string | undefined }[] | undefined;
}

/** Throws `source_unfit` for an endpoint that leaves out what deduplication and back-off stand on. */
export function rawMessage(message: AnsweredMessage): RawMessage {
  const { MessageId: id, ReceiptHandle: handle, Body: body = '', Attributes: system = {} } = message;
  const sentAt = Number(system['SentTimestamp']);
  const receiveCount = Number(system['ApproximateReceiveCount']);
  if (id === undefined || handle === undefined || !Number.isSafeInteger(sentAt) || !(receiveCount >= 1)) {
    throw new PipelineError(
      'source_unfit',
      'the SQS endpoint returned a message without id, receipt handle, SentTimestamp or ApproximateReceiveCount',
    );
  }
  const {
    MessageGroupId: groupId,
    SequenceNumber: sequenceNumber,
    DeadLetterQueueSourceArn: deadLetterSource,
  } = system;
  return {
    id,
    body,
    handle,
    sentAt,
    receiveCount,
    ...(groupId === undefined ? {} : { groupId }),
    ...(sequenceNumber === undefined ? {} : { sequenceNumber }),
    ...(deadLetterSource === undefined ? {} : { deadLetterSource }),
    attributes: attributesOf(message.MessageAttributes, system[TRACE_HEADER]),
  };
}

/** Those that are texts, and the header of X-Ray. */
function attributesOf(
  attributes: MessageAttributes | undefined,
  traceHeader: string | undefined,
): RawMessage['attributes'] {
  if (attributes === undefined && traceHeader === undefined) return NONE;
  const found: [string, string][] = [];
  if (traceHeader !== undefined) found.push([TRACE_HEADER, traceHeader]);
  for (const [name, { StringValue }] of Object.entries(attributes ?? {})) {
    if (StringValue !== undefined) found.push([name, StringValue]);
  }
  return Object.fromEntries(found);
}

/** Results by index, which is the entry id. An entry that is in neither list counts as failed, never as done. */
export function entryResults(count: number, answer: BatchAnswer): readonly EntryResult[] {
  const byId = new Map<string | undefined, EntryResult>();
  for (const { Id } of answer.Successful ?? []) byId.set(Id, 'done');
  for (const { Id, Code } of answer.Failed ?? []) byId.set(Id, saysGone(Code) ? 'gone' : 'failed');
  return Array.from({ length: count }, (_, index) => byId.get(String(index)) ?? 'failed');
}

/** The answer to GetQueueAttributes for all attributes. */
export function queueAttributes(all: Attributes): QueueAttributes {
  return {
    arn: all['QueueArn'] ?? '',
    visible: Number(all['ApproximateNumberOfMessages'] ?? 0),
    inFlight: Number(all['ApproximateNumberOfMessagesNotVisible'] ?? 0),
    delayed: Number(all['ApproximateNumberOfMessagesDelayed'] ?? 0),
    fifo: all['FifoQueue'] === 'true',
    visibilityTimeoutS: Number(all['VisibilityTimeout'] ?? DEFAULT_VISIBILITY_S),
    retentionS: Number(all['MessageRetentionPeriod'] ?? DEFAULT_RETENTION_S),
    redrive: redriveOf(all['RedrivePolicy'] ?? ''),
  };
}

function redriveOf(policy: string): QueueAttributes['redrive'] {
  const parsed = parsedOrNull(policy);
  if (typeof parsed !== 'object' || parsed === null) return null;
  if (!('deadLetterTargetArn' in parsed) || !('maxReceiveCount' in parsed)) return null;
  // The count may be printed as a number or as a string.
  const maxReceiveCount = Number(parsed.maxReceiveCount);
  if (typeof parsed.deadLetterTargetArn !== 'string' || !(maxReceiveCount >= 1)) return null;
  return { deadLetterArn: parsed.deadLetterTargetArn, maxReceiveCount };
}
