import { type KeyObject, createSecretKey, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { PipelineError } from '../errors.js';
import { lp, schemePrefix, u32be } from './framing.js';
import { type Kek, createPrivateFile } from './kek.js';
import { type KeyringFile, parseKeyring, unwrapKey } from './keyring-file.js';

const SALT = 'maskline/hkdf/v1';
/** What a derived key is for, and its length in bytes. */
const keyBytes = {
  hmac: 32,
  siv: 64,
  vault: 32,
  seal: 32,
  ff1: 32,
  'ipcrypt-det': 16,
  'ipcrypt-pfx': 32,
  'date-shift': 32,
} as const;

/** A method that keys are derived for. */
export type KeyMethod = keyof typeof keyBytes;

/** The master keys of a deployment, opened. Keys stay KeyObjects: they are never text, and never in the heap's strings. */
export class Keyring {
  readonly id: string;
  /** The kid that new tokens and seals carry. */
  readonly primaryKid: number;
  readonly #file: KeyringFile;
  readonly #masters: ReadonlyMap<number, KeyObject>;
  readonly #derived = new Map<string, KeyObject>();

  /** `where` names the file in messages. Throws `key_unavailable` when the KEK is not the keyring's. */
  constructor(file: KeyringFile, kek: Kek, where: string) {
    const usable = file.keys.filter((entry) => entry.state !== 'destroyed');
    this.id = file.id;
    this.#file = file;
    this.#masters = new Map(usable.map((entry) => [entry.kid, unwrapKey(file, entry, kek, where)]));
    this.primaryKid = usable.find((entry) => entry.state === 'primary')?.kid ?? 0;
  }

  /** Kids whose tokens can be opened, in the order of the file. */
  kids(): readonly number[] {
    return [...this.#masters.keys()];
  }

  /**
   * K(method, domain, kid) of docs/masking.md: HKDF-SHA-256 (RFC 5869) of the master key. Throws `key_unavailable`
   * for a kid that the keyring does not hold, or holds no longer.
   */
  derive(method: KeyMethod, domain: string, kid: number): KeyObject {
    const name = `${method} ${String(kid)} ${domain}`;
    const known = this.#derived.get(name);
    if (known) return known;
    const info = Buffer.concat([schemePrefix, lp(method), lp(domain), u32be(kid)]);
    const bytes = Buffer.from(hkdfSync('sha256', this.#master(kid), SALT, info, keyBytes[method]));
    const key = createSecretKey(bytes);
    bytes.fill(0);
    this.#derived.set(name, key);
    return key;
  }

  #master(kid: number): KeyObject {
    const master = this.#masters.get(kid);
    if (master) return master;
    const isDestroyed = this.#file.keys.some((entry) => entry.kid === kid);
    throw new PipelineError(
      'key_unavailable',
      `key ${String(kid)} ${isDestroyed ? 'was destroyed in' : 'is not in'} keyring ${this.id}`,
    );
  }
}

/** Reads and opens a keyring file. Throws `key_unavailable` when it is not there or the KEK is wrong, else `config_invalid`. */
export function loadKeyring(path: string, kek: Kek): Keyring {
  return new Keyring(readKeyringFile(path), kek, path);
}

/** Reads a keyring file without opening its keys. Throws `key_unavailable` when it is not there, else `config_invalid`. */
export function readKeyringFile(path: string): KeyringFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new PipelineError(
      'key_unavailable',
      `the keyring ${path} cannot be read (${code}): \`maskline keys init\` makes one; a lost one comes from its backup only`,
    );
  }
  return parseKeyring(text, path);
}

/** Writes a new keyring file of mode 0600. Throws `usage` when the file exists, untouched. */
export function writeKeyring(path: string, file: KeyringFile): void {
  createPrivateFile(path, `${JSON.stringify(file, null, 2)}\n`);
}
