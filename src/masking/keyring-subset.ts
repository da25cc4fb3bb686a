// A file with derived keys only, for processes that are never to hold a master key.

import type { KeyObject } from 'node:crypto';

import { PipelineError } from '../errors.js';
import { lp, u32be } from './framing.js';
import type { Kek, KekRecord } from './kek.js';
import { type KeyMethod, type KeyScope, isKeyMethod, keyBytes, keyName } from './key-methods.js';
import {
  type KeyState,
  checkValueOf,
  isKeyState,
  isKid,
  isObject,
  openWrapped,
  parseKekRecord,
  wrapKey,
} from './keyring-file.js';

/** The format of such a file. */
export const SUBSET_FORMAT = 'maskline-keyring-subset/1';

/** One derived key as the file holds it. */
export interface SubsetEntry extends KeyScope {
  readonly kid: number;
  /** base64(nonce 12 || ciphertext || tag 16), AES-256-GCM under the KEK. */
  readonly wrapped: string;
  /** As of a master key. */
  readonly kcv: string;
}

/** A subset file. It has the id of its keyring: what the one has sealed, the other opens, if it holds the key. */
export interface SubsetFile {
  readonly format: typeof SUBSET_FORMAT;
  readonly id: string;
  readonly kek: KekRecord;
  readonly kids: readonly { readonly kid: number; readonly state: KeyState }[];
  readonly keys: readonly SubsetEntry[];
}

/** Bytes of nonce and tag around a wrapped key. */
const WRAPPING_BYTES = 28;

/** A parsed subset file. `where` names it in messages. Throws `config_invalid` on any deviation. */
export function parseSubset(file: { readonly [name: string]: unknown }, where: string): SubsetFile {
  const refuse = (why: string): PipelineError => new PipelineError('config_invalid', `${where}: ${why}`);
  const { format, id, kek, kids, keys, ...others } = file;
  if (format !== SUBSET_FORMAT) throw refuse(`not of format ${SUBSET_FORMAT}`);
  if (Object.keys(others).length > 0) throw refuse('it holds what this version does not know');
  if (typeof id !== 'string' || !/^kr_[A-Za-z0-9_-]{1,64}$/.test(id))
    throw refuse('`id` is not a keyring id');
  const record = parseKekRecord(kek);
  if (record === null) throw refuse('`kek` does not say what the keys are wrapped with');
  if (!Array.isArray(kids) || !kids.every(isKidState)) throw refuse('`kids` is not a list of key ids');
  if (kids.filter(({ state }) => state === 'primary').length !== 1)
    throw refuse('not exactly one key is primary');
  if (!Array.isArray(keys) || !keys.every(isSubsetEntry))
    throw refuse('`keys` is not a list of derived keys');
  return { format: SUBSET_FORMAT, id, kek: record, kids, keys };
}

/** The derived keys of a subset by `keyName`. Throws `key_unavailable` when the KEK does not open them. */
export function openSubset(file: SubsetFile, kek: Kek, where: string): Map<string, KeyObject> {
  return new Map(
    file.keys.map((entry) => {
      const what = {
        name: `${where}: key ${String(entry.kid)} for ${entry.method} of ${entry.domain}`,
        context: contextOf(file.id, entry),
        kekType: file.kek.type,
      };
      return [keyName(entry, entry.kid), openWrapped(kek, what, entry.wrapped, entry.kcv)];
    }),
  );
}

/** One entry of a subset of the keyring of that id. */
export function wrapEntry(id: string, kid: number, scope: KeyScope, key: KeyObject, kek: Kek): SubsetEntry {
  const bytes = key.export();
  const entry = { kid, method: scope.method, domain: scope.domain };
  const wrapped = wrapKey(kek, contextOf(id, entry), bytes);
  bytes.fill(0);
  return { ...entry, wrapped, kcv: checkValueOf(key) };
}

/** Binds a wrapped key to its keyring, kid, method and domain. */
function contextOf(id: string, { kid, method, domain }: KeyScope & { readonly kid: number }): Buffer {
  return Buffer.concat([
    Buffer.from(`${SUBSET_FORMAT}\0${id}\0`, 'utf8'),
    u32be(kid),
    lp(method),
    lp(domain),
  ]);
}

function isKidState(value: unknown): value is SubsetFile['kids'][number] {
  return (
    isObject(value) && Object.keys(value).length === 2 && isKid(value['kid']) && isKeyState(value['state'])
  );
}

function isSubsetEntry(value: unknown): value is SubsetEntry {
  if (!isObject(value)) return false;
  const { kid, method, domain, wrapped, kcv, ...others } = value;
  if (Object.keys(others).length > 0 || !isKid(kid) || !isKeyMethod(method)) return false;
  if (typeof domain !== 'string' || typeof kcv !== 'string' || !/^[0-9a-f]{16}$/.test(kcv)) return false;
  return typeof wrapped === 'string' && isWrapped(wrapped, method);
}

function isWrapped(wrapped: string, method: KeyMethod): boolean {
  const bytes = Buffer.from(wrapped, 'base64');
  return bytes.length === WRAPPING_BYTES + keyBytes[method] && bytes.toString('base64') === wrapped;
}
