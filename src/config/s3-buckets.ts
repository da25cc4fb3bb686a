import type { QueueConfig, S3Config } from './config.js';
import { type Environment, envText } from './interpolation.js';
import type { PipelineInput } from './pipeline-schema.js';
import type { Findings, Path } from './problem.js';

// Amazon S3 User Guide, "General purpose bucket naming rules".
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** How S3 is reached, with what the environment supplies; null where messages are not to be followed there. */
export function buildS3(
  { s3, envelope }: PipelineInput['source'],
  sqs: Pick<QueueConfig, 'region'> | null,
  at: Path,
  env: Environment,
  findings: Findings,
): S3Config | null {
  if (s3 === undefined) {
    if (envelope === 's3')
      findings.error([...at, 'envelope'], 'needs source.s3, which names the buckets that may be read');
    return null;
  }
  for (const bucket of s3.buckets.filter((name) => !BUCKET.test(name)))
    findings.error([...at, 's3', 'buckets'], `${JSON.stringify(bucket)} is no name of a bucket`);
  const endpoint = s3.endpoint ?? envText(env, 'AWS_ENDPOINT_URL_S3') ?? null;
  if (endpoint !== null && !(/^https?:\/\//i.test(endpoint) && URL.canParse(endpoint))) {
    const origin = s3.endpoint === undefined ? ' (from AWS_ENDPOINT_URL_S3)' : '';
    findings.error([...at, 's3', 'endpoint'], `must be a URL that begins with http:// or https://${origin}`);
  }
  if (envelope === 'none')
    findings.warn([...at, 's3'], 'has no use: `envelope: none` takes bodies as they are');
  if (sqs === null) return null;
  return {
    buckets: s3.buckets,
    region: s3.region ?? sqs.region,
    endpoint,
    forcePathStyle: s3.force_path_style,
  };
}
