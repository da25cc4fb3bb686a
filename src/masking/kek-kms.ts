import type { KeyObject } from 'node:crypto';

import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';

import { PipelineError } from '../errors.js';
import { takePlaintext } from './kek-kms-answer.js';
import type { Kek, KekRecord } from './kek.js';

/** A key of the AWS Key Management Service, and the context that it encrypts in. */
export interface KmsKey {
  /** Of a key or an alias; its region says which KMS is asked. */
  readonly keyArn: string;
  /** What KMS binds the encrypted key to, and writes into its log. */
  readonly context: { readonly [name: string]: string };
}

/** Where the KEK is to be decrypted, as the keyring has it unless the configuration says otherwise. */
export interface KmsKekConfig {
  readonly keyArn: string;
  readonly context: KmsKey['context'] | null;
  readonly encryptedKek: string | null;
}

const KEK_BYTES = 32;
/** A start makes one call, and tries again by itself: what takes longer than this is an outage. */
const CONNECT_TIMEOUT_MS = 3_000;
const REQUEST_TIMEOUT_MS = 5_000;

/** Answers that pass by themselves; all other refusals are for people to mend. */
const PASSING = new Set([
  'ThrottlingException',
  'DependencyTimeoutException',
  'KMSInternalException',
  'KeyUnavailableException',
  'LimitExceededException',
  'RequestTimeTooSkewed',
  'ExpiredTokenException',
  'RequestExpired',
  'CredentialsProviderError',
]);

/** A new random KEK that only this key of KMS can open, by one GenerateDataKey. Throws as `openKmsKek`. */
export async function createKmsKek({ keyArn, context }: KmsKey): Promise<Kek> {
  const command = new GenerateDataKeyCommand({
    KeyId: keyArn,
    KeySpec: 'AES_256',
    EncryptionContext: { ...context },
  });
  const { answer, key } = await ask(keyArn, 'GenerateDataKey', (client) => client.send(command));
  const encrypted = Buffer.from(answer.CiphertextBlob ?? []).toString('base64');
  return { record: recordOf(keyArn, context, encrypted), origin: originOf(keyArn), key };
}

/**
 * The KEK of a keyring, decrypted by one Decrypt: of the configured key only, whatever the file says, and in its
 * context. `record` is what the keyring says. Throws `key_unavailable` when KMS refuses, `kms_unavailable` when it does
 * not answer or says that it may later.
 */
export async function openKmsKek(config: KmsKekConfig, record: KekRecord): Promise<Kek> {
  const { keyArn } = config;
  const stored = record.type === 'aws-kms' ? record : null;
  const encrypted = config.encryptedKek ?? stored?.encrypted_kek;
  if (encrypted === undefined) {
    throw new PipelineError(
      'key_unavailable',
      `the keyring is not wrapped by a key of AWS KMS (its KEK is of type ${record.type}): configure that one, and run ` +
        `\`maskline keys rewrap --kms ${keyArn}\``,
    );
  }
  const context = config.context ?? stored?.context ?? {};
  const command = new DecryptCommand({
    KeyId: keyArn,
    CiphertextBlob: Buffer.from(encrypted, 'base64'),
    EncryptionContext: { ...context },
  });
  const { key } = await ask(keyArn, 'Decrypt', (client) => client.send(command));
  return { record: recordOf(keyArn, context, encrypted), origin: originOf(keyArn), key };
}

interface Asked<T> {
  readonly answer: T;
  readonly key: KeyObject;
}

async function ask<T>(
  keyArn: string,
  call: string,
  work: (client: KMSClient) => Promise<T>,
): Promise<Asked<T>> {
  const client = new KMSClient({
    region: keyArn.split(':')[3] ?? '',
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      socketTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    },
  });
  let key: KeyObject | null = null;
  // The last of its step, and so the first to see an answer.
  client.middlewareStack.add(
    (next) => async (request) => {
      const result = await next(request);
      key = await takePlaintext(result.response);
      return result;
    },
    { step: 'deserialize', priority: 'low', name: 'takePlaintext' },
  );
  try {
    const answer = await work(client);
    return { answer, key: checkedKey(key, keyArn) };
  } catch (error) {
    throw kmsError(error, call, keyArn);
  } finally {
    client.destroy();
  }
}

/** The text of the original is not repeated, nor is it kept: an answer that is no JSON is quoted in it. */
function kmsError(error: unknown, call: string, keyArn: string): PipelineError {
  if (error instanceof PipelineError) return error;
  const name = error instanceof Error ? error.name.replace(/^.*[.#]/, '') : typeof error;
  const status = statusOf(error);
  const said = status === null ? name : `${name}, HTTP ${String(status)}`;
  const isRefusal = status !== null && status >= 400 && status < 500 && status !== 429 && !PASSING.has(name);
  if (!isRefusal) {
    return new PipelineError('kms_unavailable', `${call} by ${keyArn} failed (${said})`);
  }
  return new PipelineError(
    'key_unavailable',
    `AWS KMS refused ${call} by ${keyArn} (${said}): ${remedyOf(name)}`,
  );
}

function remedyOf(name: string): string {
  switch (name) {
    case 'InvalidCiphertextException':
    case 'IncorrectKeyException':
      return 'the encrypted KEK is of another key, or keyring.kek.context is not the one that it was encrypted in';
    case 'NotFoundException':
      return 'there is no such key in this account and region; mend keyring.kek.key_arn';
    case 'DisabledException':
    case 'KMSInvalidStateException':
      return 'the key is disabled or to be deleted; enable it again';
    default:
      return 'check the right to kms:Decrypt (and kms:GenerateDataKey to wrap) of this process, in this context';
  }
}

function statusOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('$metadata' in error)) return null;
  const { $metadata: metadata } = error;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return null;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : null;
}

function checkedKey(key: KeyObject | null, keyArn: string): KeyObject {
  const size = key?.symmetricKeySize ?? 0;
  if (key !== null && size === KEK_BYTES) return key;
  throw new PipelineError(
    'key_unavailable',
    `${keyArn} gave ${String(size)} bytes: a KEK has exactly ${String(KEK_BYTES)}`,
  );
}

function recordOf(keyArn: string, context: KmsKey['context'], encrypted: string): KekRecord {
  return { type: 'aws-kms', key_arn: keyArn, context, encrypted_kek: encrypted };
}

function originOf(keyArn: string): string {
  return `the KMS key ${keyArn}`;
}
