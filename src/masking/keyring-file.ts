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
import type { Kek } from './kek.js';

const FORMAT = 'maskline-keyring/1';
const MASTER_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KCV_BYTES = 8;
const KCV_LABEL = 'maskline kcv v1';
/** A token has room for four digits of it. */
const MAX_KID = 9999;
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
  readonly kek: { readonly type: string };
  readonly keys: readonly KeyEntry[];
}

/** A new keyring with one random master key, kid 1, primary. `now` is in epoch ms. */
export function createKeyring(kek: Kek, now: number): KeyringFile {
  const id = `kr_${randomBytes(12).toString('base64url')}`;
  const master = randomBytes(MASTER_BYTES);
  const entry: KeyEntry = {
    kid: 1,
    state: 'primary',
    created: new Date(now).toISOString(),
    wrapped: wrap(kek, id, 1, master),
    kcv: kcvOf(createSecretKey(master)),
  };
  master.fill(0);
  return { format: FORMAT, id, kek: { type: kek.type }, keys: [entry] };
}

/** The file's text as a keyring. `where` names the file in messages. Throws `config_invalid` on any deviation. */
export function parseKeyring(text: string, where: string): KeyringFile {
  const refuse = (why: string): PipelineError => new PipelineError('config_invalid', `${where}: ${why}`);
  const file = parseJson(text);
  if (!isObject(file) || file['format'] !== FORMAT) throw refuse(`not a keyring of format ${FORMAT}`);
  const { format: _, id, kek, keys, ...others } = file;
  if (Object.keys(others).length > 0) throw refuse('the keyring holds keys that this version does not know');
  if (typeof id !== 'string' || !idPattern.test(id)) throw refuse('`id` is not a keyring id');
  if (!isObject(kek) || typeof kek['type'] !== 'string') throw refuse('`kek.type` is missing');
  if (!Array.isArray(keys)) throw refuse('`keys` is not a list');
  const entries = keys.map((entry: unknown, i) => {
    if (!isEntry(entry)) throw refuse(`keys[${String(i)}] is not a key entry of this format`);
    return entry;
  });
  if (new Set(entries.map((entry) => entry.kid)).size !== entries.length) throw refuse('a kid occurs twice');
  const primaries = entries.filter((entry) => entry.state === 'primary').length;
  if (primaries !== 1) throw refuse(`${String(primaries)} keys are primary: exactly one must be`);
  return { format: FORMAT, id, kek: { type: kek['type'] }, keys: entries };
}

/** The master key of an entry. Throws `key_unavailable` when the KEK does not open it or the check value differs. */
export function unwrapKey(file: KeyringFile, entry: KeyEntry, kek: Kek, where: string): KeyObject {
  const sealed = Buffer.from(entry.wrapped ?? '', 'base64');
  const name = `${where}: key ${String(entry.kid)} of keyring ${file.id}`;
  const master = open(kek, wrapContext(file.id, entry.kid), sealed);
  if (!master) {
    throw new PipelineError(
      'key_unavailable',
      `${name} does not open with ${kek.origin}: that is not the KEK it was wrapped with (a KEK of type ${file.kek.type})`,
    );
  }
  const key = createSecretKey(master);
  master.fill(0);
  if (kcvOf(key) !== entry.kcv) {
    throw new PipelineError('key_unavailable', `${name} does not match its check value: the file is damaged`);
  }
  return key;
}

function wrap(kek: Kek, id: string, kid: number, master: Buffer): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', kek.key, nonce);
  cipher.setAAD(wrapContext(id, kid));
  return Buffer.concat([nonce, cipher.update(master), cipher.final(), cipher.getAuthTag()]).toString(
    'base64',
  );
}

function open(kek: Kek, context: Buffer, sealed: Buffer): Buffer | null {
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

/** Binds a wrapped key to its keyring and kid. */
function wrapContext(id: string, kid: number): Buffer {
  return Buffer.concat([Buffer.from(`${FORMAT}\0${id}\0`, 'utf8'), u32be(kid)]);
}

function kcvOf(master: KeyObject): string {
  return createHmac('sha256', master).update(KCV_LABEL).digest().toString('hex', 0, KCV_BYTES);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEntry(value: unknown): value is KeyEntry {
  if (!isObject(value)) return false;
  const { kid, state, created, wrapped, kcv, ...others } = value;
  if (Object.keys(others).length > 0) return false;
  if (typeof kid !== 'number' || !Number.isInteger(kid) || kid < 1 || kid > MAX_KID) return false;
  if (typeof created !== 'string' || Number.isNaN(Date.parse(created))) return false;
  if (typeof kcv !== 'string' || !kcvPattern.test(kcv)) return false;
  if (state === 'destroyed') return wrapped === null;
  const isUsable = state === 'primary' || state === 'decrypt-only';
  return isUsable && typeof wrapped === 'string' && wrappedPattern.test(wrapped);
}
