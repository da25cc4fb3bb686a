import { type KeyObject, createSecretKey, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { PipelineError } from '../errors.js';
import { lp, schemePrefix, u32be } from './framing.js';
import { type Kek, createPrivateFile } from './kek.js';
import { type KeyMethod, keyBytes, keyName } from './key-methods.js';
import {
  type KeyState,
  type KeyringFile,
  isObject,
  parseJson,
  parseKeyring,
  unwrapKey,
} from './keyring-file.js';
import { SUBSET_FORMAT, type SubsetFile, openSubset, parseSubset } from './keyring-subset.js';

const SALT = 'maskline/hkdf/v1';

/** The keys of a deployment, opened. They stay KeyObjects: they are never text, and never in the heap's strings. */
export class Keyring {
  readonly id: string;
  /** The kid that new tokens and seals carry. */
  readonly primaryKid: number;
  /** Whether it holds no master keys, but what `keys derive` has derived of them. */
  readonly isSubset: boolean;
  readonly #states: ReadonlyMap<number, KeyState>;
  readonly #masters: ReadonlyMap<number, KeyObject>;
  readonly #derived: Map<string, KeyObject>;

  /** `where` names the file in messages. Throws `key_unavailable` when the KEK is not the keyring's. */
  constructor(file: KeyringFile | SubsetFile, kek: Kek, where: string) {
    const isSubset = file.format === SUBSET_FORMAT;
    const kids = isSubset ? file.kids : file.keys;
    const masters = isSubset ? [] : file.keys.filter((entry) => entry.state !== 'destroyed');
    this.id = file.id;
    this.isSubset = isSubset;
    this.primaryKid = kids.find(({ state }) => state === 'primary')?.kid ?? 0;
    this.#states = new Map(kids.map(({ kid, state }) => [kid, state]));
    this.#masters = new Map(
      isSubset ? [] : masters.map((entry) => [entry.kid, unwrapKey(file, entry, kek, where)]),
    );
    this.#derived = isSubset ? openSubset(file, kek, where) : new Map<string, KeyObject>();
  }

  /** Kids whose tokens can be opened, in the order of the file. */
  kids(): readonly number[] {
    return [...this.#states].flatMap(([kid, state]) => (state === 'destroyed' ? [] : [kid]));
  }

  /** Throws `key_unavailable` for a subset: `what` names what needs the master keys. */
  requireMasters(what: string): void {
    if (!this.isSubset) return;
    throw new PipelineError(
      'key_unavailable',
      `${what} needs the keyring ${this.id} itself, and this process has a subset of it, made by \`maskline keys derive\``,
    );
  }

  /**
   * K(method, domain, kid) of docs/masking.md: HKDF-SHA-256 (RFC 5869) of the master key. Throws `key_unavailable`
   * for a kid that the keyring does not hold, or holds no longer, and for what a subset was not made with.
   */
  derive(method: KeyMethod, domain: string, kid: number): KeyObject {
    const name = keyName({ method, domain }, kid);
    const known = this.#derived.get(name);
    if (known) return known;
    const info = Buffer.concat([schemePrefix, lp(method), lp(domain), u32be(kid)]);
    const bytes = Buffer.from(
      hkdfSync('sha256', this.#master(kid, method, domain), SALT, info, keyBytes[method]),
    );
    const key = createSecretKey(bytes);
    bytes.fill(0);
    this.#derived.set(name, key);
    return key;
  }

  #master(kid: number, method: KeyMethod, domain: string): KeyObject {
    const master = this.#masters.get(kid);
    if (master) return master;
    const state = this.#states.get(kid);
    const what = `key ${String(kid)}`;
    if (this.isSubset && state !== undefined && state !== 'destroyed') {
      throw new PipelineError(
        'key_unavailable',
        `${what} for ${method} of ${domain} is not in this subset of keyring ${this.id}: derive it with \`maskline keys derive\``,
      );
    }
    const where = state === 'destroyed' ? 'was destroyed in' : 'is not in';
    throw new PipelineError('key_unavailable', `${what} ${where} keyring ${this.id}`);
  }
}

/** Reads and opens a keyring file, or a subset. Throws `key_unavailable` when it is not there or the KEK is wrong, else `config_invalid`. */
export function loadKeyring(path: string, kek: Kek): Keyring {
  return new Keyring(readKeyFile(path), kek, path);
}

/** Reads a keyring file or a subset without opening its keys. Throws as `readKeyringFile`. */
export function readKeyFile(path: string): KeyringFile | SubsetFile {
  const text = readText(path);
  const file = parseJson(text);
  if (isObject(file) && file['format'] === SUBSET_FORMAT) return parseSubset(file, path);
  return parseKeyring(text, path);
}

/** Reads a keyring file without opening its keys. Throws `key_unavailable` when it is not there, else `config_invalid`. */
export function readKeyringFile(path: string): KeyringFile {
  return parseKeyring(readText(path), path);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new PipelineError(
      'key_unavailable',
      `the keyring ${path} cannot be read (${code}): \`maskline keys init\` makes one; a lost one comes from its backup only`,
    );
  }
}

/** Writes a new keyring file, or a subset, of mode 0600. Throws `usage` when the file exists, untouched. */
export function writeKeyring(path: string, file: KeyringFile | SubsetFile): void {
  createPrivateFile(path, `${JSON.stringify(file, null, 2)}\n`);
}
