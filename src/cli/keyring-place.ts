import { existsSync } from 'node:fs';
import { PipelineError } from '../errors.js';
import { type Kek, createKekFile, kekFromEnv, kekFromFile } from '../masking/kek.js';
import { type KeyringPlace, createKekInKms } from '../roles/keyring.js';
import type { CliContext } from './context.js';
import { readConfig } from './deployment.js';

/** Options that name a key-encryption key other than the one in use. */
export interface NewKekOptions {
  readonly kekFile?: string;
  /** The ARN of a key of AWS KMS. */
  readonly kms?: string;
}

/** What maskline.yaml says of the keyring, or, without one, the environment. */
export function keyringPlace(context: CliContext): KeyringPlace {
  const { environment } = context;
  const onWait = (): void => context.out.note('AWS KMS does not answer; trying again …');
  if (existsSync(context.configFile)) return { config: readConfig(context), environment, onWait };
  const file = environment.variables['MASKLINE_KEYRING'] || './maskline.keyring.json';
  return { config: { keyring: { file, kek: { type: 'env' } } }, environment, onWait };
}

/**
 * The key-encryption key that the options name, for the keyring of that id; a file that is not there is made. Null when
 * they name none. Throws `usage`, `config_invalid`, and what AWS KMS answers.
 */
export async function namedKek(
  place: KeyringPlace,
  { kekFile, kms }: NewKekOptions,
  keyringId: string,
): Promise<Kek | null> {
  if (kekFile !== undefined && kms !== undefined) {
    throw new PipelineError('usage', '--kek-file and --kms name two key-encryption keys: name one');
  }
  if (kekFile !== undefined) return existsSync(kekFile) ? kekFromFile(kekFile) : createKekFile(kekFile);
  if (kms !== undefined) return createKekInKms(place, arnOf(kms), keyringId);
  const { newKek } = place.environment;
  return newKek === null ? null : kekFromEnv(newKek, 'MASKLINE_NEW_KEK');
}

/** What `keyring.kek` has to say for the key to be opened with that key-encryption key. */
export function kekInConfig({ record, origin }: Kek, { kekFile }: NewKekOptions): string {
  if (record.type === 'aws-kms') return `keyring.kek: { type: aws-kms, key_arn: "${record.key_arn}" }`;
  if (record.type === 'file' && kekFile !== undefined) return `keyring.kek: { type: file, path: ${kekFile} }`;
  return record.type === 'env'
    ? `keyring.kek: { type: env }\`, with the value of ${origin} in \`MASKLINE_KEK`
    : 'keyring.kek';
}

/** A key id of the command line. Throws `usage`. */
export function kidOf(text: string | undefined): number {
  if (text !== undefined && /^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new PipelineError('usage', 'the key id must be a whole number; `maskline keys list` shows them');
}

function arnOf(text: string): string {
  if (/^arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:(key|alias)\/[A-Za-z0-9/_-]+$/.test(text)) return text;
  throw new PipelineError(
    'usage',
    '--kms must be the ARN of a KMS key or alias: arn:aws:kms:REGION:ACCOUNT:key/ID',
  );
}
