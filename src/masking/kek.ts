import { type KeyObject, createSecretKey, randomBytes } from 'node:crypto';
import { closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';

import { PipelineError } from '../errors.js';

/** What a keyring says of its KEK: nothing secret. With AWS KMS, `encrypted_kek` is base64 and opens only there. */
export type KekRecord =
  | { readonly type: 'env' | 'file' }
  | {
      readonly type: 'aws-kms';
      readonly key_arn: string;
      /** The encryption context, which KMS checks and logs. */
      readonly context: { readonly [name: string]: string };
      readonly encrypted_kek: string;
    };

/** The key-encryption key, which wraps the master keys of a keyring, and where it came from. */
export interface Kek {
  /** What a keyring that it wraps says of it. */
  readonly record: KekRecord;
  /** For messages: the variable or the file. */
  readonly origin: string;
  readonly key: KeyObject;
}

const KEK_BYTES = 32;
const kekPattern = /^[A-Za-z0-9+/]{43}=$/;
const PRIVATE_MODE = 0o600;
const OTHERS = 0o077;
/** A KEK's text takes 44 bytes; whatever is much longer is another file. */
const MAX_FILE_BYTES = 1024;
const HOW_TO_MAKE_ONE = 'make one, and keep it safe, with\nopenssl rand -base64 32';

/** The KEK from the value of a variable, MASKLINE_KEK or `origin`; null or empty: not set. Throws `config_invalid`. */
export function kekFromEnv(value: string | null, origin = 'MASKLINE_KEK'): Kek {
  if (value === null || value === '') {
    throw new PipelineError('config_invalid', `${origin} is not set: it holds the KEK; ${HOW_TO_MAKE_ONE}`);
  }
  return { record: { type: 'env' }, origin, key: parseKek(value, origin) };
}

/**
 * The KEK from a file that holds it in base64: a regular file, not a link, of this process's own user, that nobody
 * else may read. Throws `config_invalid`.
 */
export function kekFromFile(path: string): Kek {
  const origin = `the KEK file ${path}`;
  const refuse = (why: string): PipelineError => new PipelineError('config_invalid', `${origin} ${why}`);
  // Without O_NONBLOCK the opening of a named pipe would wait for a writer.
  const fd = attempt(
    () => openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK),
    (code) => {
      if (code === 'ENOENT') return refuse(`does not exist; ${HOW_TO_MAKE_ONE}`);
      return refuse(
        code === 'ELOOP' ? 'is a symbolic link: name the file itself' : `cannot be opened (${code})`,
      );
    },
  );
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw refuse('is not a regular file');
    if (stat.uid !== process.geteuid?.())
      throw refuse('belongs to another user than the one of this process');
    if ((stat.mode & OTHERS) !== 0) throw refuse('may be read by others: chmod 600 it');
    if (stat.size > MAX_FILE_BYTES) throw refuse('is too long to be a KEK');
    const text = attempt(
      () => readFileSync(fd, 'latin1'),
      (code) => refuse(`cannot be read (${code})`),
    );
    return { record: { type: 'file' }, origin, key: parseKek(text.replace(/\r?\n$/, ''), origin) };
  } finally {
    closeSync(fd);
  }
}

/** Makes a new random KEK file of mode 0600 and reads it back. Throws `usage` when the file exists, untouched. */
export function createKekFile(path: string): Kek {
  createPrivateFile(path, `${randomBytes(KEK_BYTES).toString('base64')}\n`);
  return kekFromFile(path);
}

/** Writes a file of mode 0600 that did not exist, to the disk. Throws `usage` when it exists, untouched. */
export function createPrivateFile(path: string, content: string): void {
  const fd = attempt(
    () => openSync(path, 'wx', PRIVATE_MODE),
    (code) =>
      code === 'EEXIST'
        ? new PipelineError('usage', `${path} exists: it was left untouched`)
        : new PipelineError('usage', `${path} cannot be created (${code})`),
  );
  try {
    attempt(
      () => {
        writeSync(fd, content);
        fsyncSync(fd);
      },
      (code) => new PipelineError('usage', `${path} could not be written in full (${code}): remove it`),
    );
  } finally {
    closeSync(fd);
  }
}

function parseKek(text: string, origin: string): KeyObject {
  const bytes = Buffer.from(text, 'base64');
  // The second condition refuses spellings that decode to the same bytes.
  if (!kekPattern.test(text) || bytes.toString('base64') !== text) {
    throw new PipelineError(
      'config_invalid',
      `${origin} is not the standard base64 of exactly 32 bytes; ${HOW_TO_MAKE_ONE}`,
    );
  }
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}

/** Runs a system call; its error becomes one of ours, made from the error's code alone. */
export function attempt<T>(call: () => T, explain: (code: string) => PipelineError): T {
  try {
    return call();
  } catch (error) {
    throw explain(error instanceof Error && 'code' in error ? String(error.code) : 'unknown');
  }
}
