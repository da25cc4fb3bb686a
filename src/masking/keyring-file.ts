import {
  type KeyObject,
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  randomBytes,
} from 'node:crypto';

import { PipelineError } from '../errors.js';
import { u32be } from './framing.js';
import type { Kek, KekRecord } from './kek.js';

const FORMAT = 'maskline-keyring/1';
const MASTER_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KCV_BYTES = 8;
const KCV_LABEL = 'maskline kcv v1';
/** A token has room for four digits of it. */
export const MAX_KID = 9999;
const idPattern = /^kr_[A-Za-z0-9_-]{1,64}$/;
const wrappedPattern = /^[A-Za-z0-9+/]{80}$/;
const kcvPattern = /^[0-9a-f]{16}$/;

/** What may be done with a key: mask and open; open only; nothing any more. */
export type KeyState = 'primary' | 'decrypt-only' | 'destroyed';

/** One master key as the file holds it. */
export interface KeyEntry {
  readonly kid: number;
  readonly state: KeyState;
  /** ISO 8601, UTC. */
  readonly created: string;
  /** base64(nonce 12 || ciphertext || tag 16), AES-256-GCM under the KEK; null once destroyed. */
  readonly wrapped: string | null;
  /** The first 8 bytes of HMAC-SHA-256(master, "maskline kcv v1"), in hex. */
  readonly kcv: string;
}

/** A keyring file: versioned, and without any key in clear. */
export interface KeyringFile {
  readonly format: typeof FORMAT;
  readonly id: string;
  readonly kek: KekRecord;
  readonly keys: readonly KeyEntry[];
}

/** A new keyring with one random master key, kid 1, primary. `now` is in epoch ms. */
export function createKeyring(kek: Kek, now: number): KeyringFile {
  const id = newKeyringId();
  return keyringWith(id, kek, now);
}

/** A random id, for what must know it before there is a keyring. */
export function newKeyringId(): string {
  return `kr_${randomBytes(12).toString('base64url')}`;
}

/** `createKeyring` under an id of `newKeyringId`. */
export function keyringWith(id: string, kek: Kek, now: number): KeyringFile {
  return { format: FORMAT, id, kek: kek.record, keys: [createEntry(id, 1, 'primary', kek, now)] };
}

/** A new random master key, wrapped. `now` is in epoch ms. */
export function createEntry(
  id: string,
  kid: number,
  state: 'primary' | 'decrypt-only',
  kek: Kek,
  now: number,
): KeyEntry {
  const master = randomBytes(MASTER_BYTES);
  const kcv = checkValueOf(createSecretKey(master));
  const wrapped = wrapKey(kek, masterContext(id, kid), master);
  master.fill(0);
  return { kid, state, created: new Date(now).toISOString(), wrapped, kcv };
}

/** The file's text as a keyring. `where` names the file in messages. Throws `config_invalid` on any deviation. */
export function parseKeyring(text: string, where: string): KeyringFile {
  const refuse = (why: string): PipelineError => new PipelineError('config_invalid', `${where}: ${why}`);
  const file = parseJson(text);
  if (!isObject(file) || file['format'] !== FORMAT) throw refuse(`not a keyring of format ${FORMAT}`);
  const { format: _, id, kek, keys, ...others } = file;
  if (Object.keys(others).length > 0) throw refuse('the keyring holds keys that this version does not know');
  if (typeof id !== 'string' || !idPattern.test(id)) throw refuse('`id` is not a keyring id');
  const record = parseKekRecord(kek);
  if (record === null) throw refuse('`kek` does not say what the keys are wrapped with');
  if (!Array.isArray(keys)) throw refuse('`keys` is not a list');
  const entries = keys.map((entry: unknown, i) => {
    if (!isEntry(entry)) throw refuse(`keys[${String(i)}] is not a key entry of this format`);
    return entry;
  });
  if (new Set(entries.map((entry) => entry.kid)).size !== entries.length) throw refuse('a kid occurs twice');
  const primaries = entries.filter((entry) => entry.state === 'primary').length;
  if (primaries !== 1) throw refuse(`${String(primaries)} keys are primary: exactly one must be`);
  return { format: FORMAT, id, kek: record, keys: entries };
}

/** The master key of an entry. Throws `key_unavailable` when the KEK does not open it or the check value differs. */
export function unwrapKey(file: KeyringFile, entry: KeyEntry, kek: Kek, where: string): KeyObject {
  const what = {
    name: `${where}: key ${String(entry.kid)} of keyring ${file.id}`,
    context: masterContext(file.id, entry.kid),
    kekType: file.kek.type,
  };
  return openWrapped(kek, what, entry.wrapped ?? '', entry.kcv);
}

/** The entry's key under another KEK: the same key, wrapped anew. Throws as `unwrapKey`. */
export function rewrapEntry(
  file: KeyringFile,
  entry: KeyEntry,
  kek: Kek,
  newKek: Kek,
  where: string,
): KeyEntry {
  if (entry.state === 'destroyed') return entry;
  const master = unwrapKey(file, entry, kek, where).export();
  const wrapped = wrapKey(newKek, masterContext(file.id, entry.kid), master);
  master.fill(0);
  return { ...entry, wrapped };
}

/** base64(nonce 12 || ciphertext || tag 16), AES-256-GCM under the KEK, bound to `context`. */
export function wrapKey(kek: Kek, context: Buffer, key: Buffer): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', kek.key, nonce);
  cipher.setAAD(context);
  return Buffer.concat([nonce, cipher.update(key), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

/** What is being opened: its name for messages, what it is bound to, and the kind of KEK that wrapped it. */
export interface WrappedKey {
  readonly name: string;
  readonly context: Buffer;
  readonly kekType: string;
}

/** A wrapped key, opened. Throws `key_unavailable` when the KEK does not open it or the check value differs. */
export function openWrapped(kek: Kek, what: WrappedKey, wrapped: string, kcv: string): KeyObject {
  const bytes = unsealed(kek, what.context, Buffer.from(wrapped, 'base64'));
  if (!bytes) {
    throw new PipelineError(
      'key_unavailable',
      `${what.name} does not open with ${kek.origin}: that is not the KEK it was wrapped with (a KEK of type ${what.kekType})`,
    );
  }
  const key = createSecretKey(bytes);
  bytes.fill(0);
  if (checkValueOf(key) !== kcv) {
    throw new PipelineError(
      'key_unavailable',
      `${what.name} does not match its check value: the file is damaged`,
    );
  }
  return key;
}

function unsealed(kek: Kek, context: Buffer, sealed: Buffer): Buffer | null {
  const decipher = createDecipheriv('aes-256-gcm', kek.key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(context);
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  const plain = decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES));
  try {
    decipher.final();
    return plain;
  } catch {
    plain.fill(0);
    return null;
  }
}

/** Binds a wrapped master key to its keyring and kid. */
function masterContext(id: string, kid: number): Buffer {
  return Buffer.concat([Buffer.from(`${FORMAT}\0${id}\0`, 'utf8'), u32be(kid)]);
}

/** The first 8 bytes of HMAC-SHA-256(key, "maskline kcv v1"), in hex. */
export function checkValueOf(key: KeyObject): string {
  return createHmac('sha256', key).update(KCV_LABEL).digest().toString('hex', 0, KCV_BYTES);
}

/** How a file says what wrapped its keys, or null when it does not. */
export function parseKekRecord(value: unknown): KekRecord | null {
  if (!isObject(value)) return null;
  const { type, key_arn, context, encrypted_kek } = value;
  if (type === 'env' || type === 'file') return { type };
  const isWhole = typeof key_arn === 'string' && typeof encrypted_kek === 'string' && isTexts(context);
  return type === 'aws-kms' && isWhole ? { type, key_arn, context, encrypted_kek } : null;
}

function isTexts(value: unknown): value is { readonly [name: string]: string } {
  return isObject(value) && Object.values(value).every((each) => typeof each === 'string');
}

/** Null for what is no JSON: its parser would quote the text. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

/** Whether it is an object of JSON. */
export function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Whether it can be a key id. */
export function isKid(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_KID;
}

/** Whether it is one of the states. */
export function isKeyState(value: unknown): value is KeyState {
  return value === 'primary' || value === 'decrypt-only' || value === 'destroyed';
}

function isEntry(value: unknown): value is KeyEntry {
  if (!isObject(value)) return false;
  const { kid, state, created, wrapped, kcv, ...others } = value;
  if (Object.keys(others).length > 0) return false;
  if (!isKid(kid)) return false;
  if (typeof created !== 'string' || Number.isNaN(Date.parse(created))) return false;
  if (typeof kcv !== 'string' || !kcvPattern.test(kcv)) return false;
  if (state === 'destroyed') return wrapped === null;
  const isUsable = state === 'primary' || state === 'decrypt-only';
  return isUsable && typeof wrapped === 'string' && wrappedPattern.test(wrapped);
}
