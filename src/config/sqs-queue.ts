import type { Schedule, SqsConfig } from './config.js';
import { type Environment, envText } from './interpolation.js';
import type { PipelineInput } from './pipeline-schema.js';
import type { Findings, Path } from './problem.js';

// Waiting longer costs nothing when the next receive follows at once; a tick wants to know soon that it is done.
const CONTINUOUS_WAIT_MS = 20_000;
const TICK_WAIT_MS = 1_000;
const DEFAULT_REGION = 'us-east-1';
// The heartbeat extends visibility well before it ends; less than this leaves it little room.
const SHORT_VISIBILITY_MS = 10_000;

const QUEUE_NAME = /^(?=.{1,80}$)[A-Za-z0-9_-]+(\.fifo)?$/;
const QUEUE_ARN = /^arn:aws[a-z-]*:sqs:([a-z0-9-]+):[0-9]{12}:(.+)$/;
const AWS_HOST = /^sqs(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$/;

/** How the queue is read, with what the environment supplies; null when it is not to be found out. */
export function buildSqs(
  input: PipelineInput['source']['sqs'],
  schedule: Schedule | null,
  at: Path,
  env: Environment,
  findings: Findings,
): SqsConfig | null {
  const queue = input.queue ?? envText(env, 'SQS_QUEUE_URL');
  if (queue === undefined) {
    findings.error([...at, 'queue'], 'required: the URL, ARN or name of the queue; or set SQS_QUEUE_URL');
    return null;
  }
  if (!isQueue(queue)) {
    const origin = input.queue === undefined ? ' (from SQS_QUEUE_URL)' : '';
    findings.error([...at, 'queue'], `must be the URL, ARN or name of an SQS queue${origin}`);
  }
  const endpoint = input.endpoint ?? envText(env, 'AWS_ENDPOINT_URL_SQS') ?? null;
  if (endpoint !== null && !isHttpUrl(endpoint)) {
    const origin = input.endpoint === undefined ? ' (from AWS_ENDPOINT_URL_SQS)' : '';
    findings.error([...at, 'endpoint'], `must be a URL that begins with http:// or https://${origin}`);
  }
  const waitMs = input.wait_time ?? (schedule?.kind === 'continuous' ? CONTINUOUS_WAIT_MS : TICK_WAIT_MS);
  checkTimes(waitMs, input.visibility_timeout, at, findings);
  return {
    queue,
    region: regionOf(queue, input.region, at, env, findings),
    endpoint,
    receivers: input.receivers,
    waitTimeS: waitMs / 1000,
    visibilityTimeoutS: input.visibility_timeout / 1000,
    transport: input.transport,
  };
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
