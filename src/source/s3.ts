import { Readable } from 'node:stream';
import { GetObjectCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { PipelineError } from '../errors.js';
import type { ObjectPlace, ObjectStore, OpenObject } from './object-store.js';
import { answerOf, causeOf, errorName, httpStatus, isRefused } from './sdk-errors.js';

/** Where the buckets are. */
export interface S3Options {
  readonly region: string;
  /** Null: the SDK's own resolution. */
  readonly endpoint: string | null;
  readonly forcePathStyle: boolean;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** For the beginning of an answer; and for the silence in the middle of one, which also comes when nobody reads on. */
const ANSWER_TIMEOUT_MS = 10_000;
const SILENCE_TIMEOUT_MS = 60_000;
/** More than receivers ever read at once, ten payloads each. */
const SOCKETS = 256;
/** Whoever reads goes on by itself after an outage; one more try is for a kept-alive connection that is dead. */
const ATTEMPTS = 2;

/** Answers to GetObject that say that the object is not there: AWS, "Error responses", Amazon S3 API Reference. */
const GONE = new Set([
  'NoSuchKey',
  'NoSuchVersion',
  'PreconditionFailed',
  'MethodNotAllowed',
  'InvalidObjectState',
]);

/** Buckets over the AWS SDK. Credentials come from the SDK's own chain and are never set here. */
export function createS3Store({ region, endpoint, forcePathStyle }: S3Options): ObjectStore {
  const agent = { keepAlive: true, maxSockets: SOCKETS };
  const sdk = new S3Client({
    region,
    forcePathStyle,
    maxAttempts: ATTEMPTS,
    // Parts of objects have no checksum; TLS looks after the bytes.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: ANSWER_TIMEOUT_MS,
      socketTimeout: SILENCE_TIMEOUT_MS,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent,
    },
    ...(endpoint === null ? {} : { endpoint }),
  });
  return {
    open: async (place, from, signal) => {
      try {
        return await getObject(sdk, place, from, signal);
      } catch (error) {
        if (GONE.has(errorName(error)) || httpStatus(error) === 412) return null;
        throw s3Error(error, 'GetObject', place.bucket);
      }
    },
    check: async (bucket) => {
      try {
        await sdk.send(new HeadBucketCommand({ Bucket: bucket }));
      } catch (error) {
        throw s3Error(error, 'HeadBucket', bucket);
      }
    },
    close: () => sdk.destroy(),
  };
}

async function getObject(
  sdk: S3Client,
  { bucket, key, versionId, eTag }: ObjectPlace,
  from: number,
  abortSignal: AbortSignal,
): Promise<OpenObject> {
  const command = new GetObjectCommand({
    Bucket: bucket,
    Key: key,
    ...(versionId === null ? {} : { VersionId: versionId }),
    ...(eTag === null ? {} : { IfMatch: `"${eTag}"` }),
    ...(from === 0 ? {} : { Range: `bytes=${from}-` }),
  });
  const { Body, ETag, ContentLength } = await sdk.send(command, { abortSignal });
  if (!(Body instanceof Readable) || ContentLength === undefined) {
    throw new PipelineError(
      's3_unavailable',
      `GetObject in bucket ${bucket}: the answer has no body or length`,
    );
  }
  return { body: Body, eTag: ETag?.replaceAll('"', '') ?? null, bytes: from + ContentLength };
}

/** An error of the SDK as ours. Keys are the sender's and may hold anything: no message names them. */
function s3Error(error: unknown, call: string, bucket: string): PipelineError {
  if (error instanceof PipelineError) return error;
  const answer = answerOf(error);
  const status = httpStatus(error);
  if (isRefused(error) || status === 301 || status === 307) {
    const message =
      `S3 refused ${call} in bucket ${bucket} (${answer}): check that it exists in source.s3.region, and that the rights ` +
      's3:GetObject on its objects (with versions, s3:GetObjectVersion) and s3:ListBucket on it are granted; without the ' +
      'latter S3 calls an object that is gone forbidden';
    return new PipelineError('source_unfit', message, causeOf(error));
  }
  return new PipelineError(
    's3_unavailable',
    `${call} in bucket ${bucket} failed (${answer})`,
    causeOf(error),
  );
}
