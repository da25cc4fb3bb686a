import type { QueueConfig, Schedule, SqsConfig } from './config.js';
import { type Environment, envText } from './interpolation.js';
import type { PipelineInput } from './pipeline-schema.js';
import type { Findings, Path } from './problem.js';

// Waiting longer costs nothing when the next receive follows at once; a tick wants to know soon that it is done.
const CONTINUOUS_WAIT_MS = 20_000;
const TICK_WAIT_MS = 1_000;
const DEFAULT_REGION = 'us-east-1';
// The heartbeat extends visibility well before it ends; less than this leaves it little room.
const SHORT_VISIBILITY_MS = 10_000;

// Each has connections of its own, as many as it has receivers.
const MOST_QUEUES = 32;

const QUEUE_NAME = /^(?=.{1,80}$)[A-Za-z0-9_-]+(\.fifo)?$/;
const QUEUE_ARN = /^arn:aws[a-z-]*:sqs:([a-z0-9-]+):[0-9]{12}:(.+)$/;
const AWS_HOST = /^sqs(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$/;

/** SQS has no other name for a FIFO queue. */
export const FIFO_SUFFIX = '.fifo';

/** The queues and how they are read, with what the environment supplies; null when that is not to be found out. */
export function buildSqs(
  input: PipelineInput['source']['sqs'],
  schedule: Schedule | null,
  at: Path,
  env: Environment,
  findings: Findings,
): SqsConfig | null {
  const endpoint = input.endpoint ?? envText(env, 'AWS_ENDPOINT_URL_SQS') ?? null;
  if (endpoint !== null && !isHttpUrl(endpoint)) {
    const origin = input.endpoint === undefined ? ' (from AWS_ENDPOINT_URL_SQS)' : '';
    findings.error([...at, 'endpoint'], `must be a URL that begins with http:// or https://${origin}`);
  }
  const waitMs = input.wait_time ?? (schedule?.kind === 'continuous' ? CONTINUOUS_WAIT_MS : TICK_WAIT_MS);
  checkTimes(waitMs, input.visibility_timeout, at, findings);
  const [first, ...others] = namedQueues(input, at, env, findings).map((queue): QueueConfig => ({
    queue,
    region: regionOf(queue, input.region, at, env, findings),
    endpoint,
    receivers: input.receivers,
    transport: input.transport,
  }));
  if (first === undefined) return null;
  return {
    queues: [first, ...others],
    waitTimeS: waitMs / 1000,
    visibilityTimeoutS: input.visibility_timeout / 1000,
  };
}

/** One, or several; none when that has been reported. */
function namedQueues(
  { queue, queues }: Pick<PipelineInput['source']['sqs'], 'queue' | 'queues'>,
  at: Path,
  env: Environment,
  findings: Findings,
): readonly string[] {
  if (queues !== undefined) return severalQueues(queues, queue, at, findings);
  const named = queue ?? envText(env, 'SQS_QUEUE_URL');
  if (named === undefined) {
    findings.error([...at, 'queue'], 'required: the URL, ARN or name of the queue; or set SQS_QUEUE_URL');
    return [];
  }
  if (!isQueue(named)) {
    const origin = queue === undefined ? ' (from SQS_QUEUE_URL)' : '';
    findings.error([...at, 'queue'], `must be the URL, ARN or name of an SQS queue${origin}`);
  }
  return [named];
}

function severalQueues(
  queues: readonly string[],
  queue: string | undefined,
  at: Path,
  findings: Findings,
): readonly string[] {
  const wrong = (message: string): void => findings.error([...at, 'queues'], message);
  if (queue !== undefined) findings.error([...at, 'queue'], 'contradicts `queues`: list it there');
  if (queues.length > MOST_QUEUES) wrong(`holds ${queues.length} queues, and ${MOST_QUEUES} are the most`);
  const seen = new Set<string>();
  for (const each of queues) {
    if (!isQueue(each)) wrong(`${JSON.stringify(each)} is not the URL, ARN or name of an SQS queue`);
    if (seen.has(each)) wrong(`names ${JSON.stringify(each)} twice`);
    seen.add(each);
  }
  return queues;
}

function checkTimes(waitMs: number, visibilityMs: number, at: Path, findings: Findings): void {
  if (waitMs % 1000 !== 0) findings.error([...at, 'wait_time'], 'must be whole seconds: SQS counts no finer');
  if (waitMs === 0)
    findings.warn([...at, 'wait_time'], 'receives that do not wait may miss messages; 1s or more finds all');
  if (visibilityMs % 1000 !== 0)
    findings.error([...at, 'visibility_timeout'], 'must be whole seconds: SQS counts no finer');
  if (visibilityMs < SHORT_VISIBILITY_MS) {
    findings.warn(
      [...at, 'visibility_timeout'],
      'below 10s, a short delay lets messages become visible again while they are held',
    );
  }
}

function regionOf(
  queue: string,
  given: string | undefined,
  at: Path,
  env: Environment,
  findings: Findings,
): string {
  const own = queueRegion(queue);
  if (given !== undefined && own !== undefined && given !== own) {
    findings.error([...at, 'region'], `contradicts the queue, which is in ${own}; leave it out`);
  }
  return given ?? own ?? envText(env, 'AWS_REGION') ?? envText(env, 'AWS_DEFAULT_REGION') ?? DEFAULT_REGION;
}

function queueRegion(queue: string): string | undefined {
  const fromArn = QUEUE_ARN.exec(queue)?.[1];
  if (fromArn !== undefined || !isHttpUrl(queue)) return fromArn;
  return AWS_HOST.exec(new URL(queue).hostname)?.[1];
}

function isQueue(queue: string): boolean {
  if (isHttpUrl(queue)) return QUEUE_NAME.test(new URL(queue).pathname.split('/').at(-1) ?? '');
  return QUEUE_NAME.test(QUEUE_ARN.exec(queue)?.[2] ?? queue);
}

function isHttpUrl(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text);
}
