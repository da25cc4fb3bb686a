import {
  ChangeMessageVisibilityCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import type { Clock } from '../clock.js';
import type { QueueAttributes } from './queue-client.js';
import { errorName, httpStatus } from './sdk-errors.js';
import { queueAttributes } from './sqs-answers.js';
import { saysMissing, sqsError } from './sqs-errors.js';
import { type SqsPlace, findQueueUrl, sdkClient, sqsPlace } from './sqs-sdk.js';

/** What a queue and its dead-letter queue are like, and which rights on it are missing. */
export interface QueueProbe {
  readonly queue: string;
  readonly attributes: QueueAttributes;
  /** Whether a key of KMS encrypts its messages, which only a receive could tell the right to. */
  readonly isKmsEncrypted: boolean;
  /** Null: it has none. `missing`: its redrive policy names one that is not there. `hidden`: it may not be asked. */
  readonly deadLetters: QueueAttributes | 'missing' | 'hidden' | null;
  /** IAM actions that were refused. */
  readonly denied: readonly string[];
  /** How far the clock of SQS is ahead of ours; null when its answer has no date. */
  readonly aheadMs: number | null;
}

const ATTEMPTS = 2;
const SOCKETS = 4;
const ANSWER_TIMEOUT_MS = 5_000;
/** A receipt handle that no message has. */
const NO_HANDLE = 'maskline-doctor-asks-for-no-message';
const DENIED = new Set(['AccessDenied', 'AccessDeniedException', 'UnauthorizedOperation']);

/**
 * Asks by calls that change nothing: a delete and a change of visibility by a receipt of no message, and a receive of
 * more messages than SQS ever gives, which it refuses. Who lacks the right is refused for that. Null
 * when there is no such queue. Throws `sqs_unavailable` and `source_unfit`.
 */
export async function probeQueue(
  { queue, ...configured }: SqsPlace & { readonly queue: string },
  clock: Pick<Clock, 'now'>,
): Promise<QueueProbe | null> {
  const sdk = sdkClient(sqsPlace(queue, configured), ATTEMPTS, SOCKETS, ANSWER_TIMEOUT_MS);
  const dates = answerDates(sdk, clock);
  try {
    const QueueUrl = await findQueueUrl(sdk, queue);
    if (QueueUrl === null) return null;
    const { attributes, isKmsEncrypted } = await attributesOf(sdk, QueueUrl);
    const [deadLetters, denied] = await Promise.all([
      attributes.redrive === null ? null : deadLettersOf(sdk, attributes.redrive.deadLetterArn),
      deniedActions(sdk, QueueUrl),
    ]);
    return { queue, attributes, isKmsEncrypted, deadLetters, denied, aheadMs: dates.aheadMs };
  } catch (error) {
    if (saysMissing(error)) return null;
    throw sqsError(error, 'GetQueueAttributes', queue);
  } finally {
    sdk.destroy();
  }
}

async function attributesOf(
  sdk: SQSClient,
  QueueUrl: string,
): Promise<Pick<QueueProbe, 'attributes' | 'isKmsEncrypted'>> {
  const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] });
  const { Attributes = {} } = await sdk.send(command);
  return { attributes: queueAttributes(Attributes), isKmsEncrypted: Boolean(Attributes['KmsMasterKeyId']) };
}

/** Many who may use a queue may not ask about its dead-letter queue: that is no fault. */
async function deadLettersOf(sdk: SQSClient, arn: string): Promise<QueueProbe['deadLetters']> {
  try {
    const url = await findQueueUrl(sdk, arn);
    return url === null ? 'missing' : (await attributesOf(sdk, url)).attributes;
  } catch (error) {
    return saysMissing(error) ? 'missing' : 'hidden';
  }
}

async function deniedActions(sdk: SQSClient, QueueUrl: string): Promise<readonly string[]> {
  const ReceiptHandle = NO_HANDLE;
  const tooMany = { MaxNumberOfMessages: 11, WaitTimeSeconds: 21, VisibilityTimeout: 43_201 };
  const asked: readonly (readonly [string, Promise<unknown>])[] = [
    ['sqs:ReceiveMessage', sdk.send(new ReceiveMessageCommand({ QueueUrl, ...tooMany }))],
    ['sqs:DeleteMessage', sdk.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }))],
    [
      'sqs:ChangeMessageVisibility',
      sdk.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 })),
    ],
  ];
  const answers = await Promise.allSettled(asked.map(([, answer]) => answer));
  return asked.flatMap(([action], index) => {
    const answer = answers[index];
    return answer?.status === 'rejected' && isDenied(answer.reason) ? [action] : [];
  });
}

function isDenied(error: unknown): boolean {
  return httpStatus(error) === 403 || DENIED.has(errorName(error));
}

/** Notes the date of each answer: HTTP's, in whole seconds (RFC 9110, 6.6.1), taken for the middle of its second. */
function answerDates(sdk: SQSClient, clock: Pick<Clock, 'now'>): { readonly aheadMs: number | null } {
  const noted: { aheadMs: number | null } = { aheadMs: null };
  sdk.middlewareStack.add(
    (next) => async (request) => {
      const askedAt = clock.now();
      const result = await next(request);
      const date = Date.parse(dateOf(result.response));
      if (!Number.isNaN(date)) noted.aheadMs = date + 500 - (askedAt + clock.now()) / 2;
      return result;
    },
    { step: 'deserialize', priority: 'low', name: 'noteDate' },
  );
  return noted;
}

function dateOf(response: unknown): string {
  if (typeof response !== 'object' || response === null || !('headers' in response)) return '';
  const { headers } = response;
  if (typeof headers !== 'object' || headers === null) return '';
  const date: unknown = Reflect.get(headers, 'date');
  return typeof date === 'string' ? date : '';
}
