import { PipelineError } from '../errors.js';
import type { Kek } from './kek.js';
import { type KeyEntry, type KeyringFile, MAX_KID, createEntry, rewrapEntry } from './keyring-file.js';

/** A keyring, what opens it, and how messages name it. */
export interface OpenFile {
  readonly file: KeyringFile;
  readonly kek: Kek;
  /** The file's path. */
  readonly where: string;
}

/**
 * The keyring with a new random key under the next kid. It opens only until it is promoted, so that every process can
 * be given it before the first token carries it. `now` is in epoch ms. Throws `usage` when there is no further kid.
 */
export function addKey({ file, kek, where }: OpenFile, now: number): KeyringFile {
  // Also past destroyed ones: a kid that had a key once must never name another.
  const kid = Math.max(...file.keys.map((entry) => entry.kid)) + 1;
  if (kid > MAX_KID) {
    throw new PipelineError(
      'usage',
      `${where}: there is no kid after ${String(MAX_KID)}, and tokens have no room`,
    );
  }
  return { ...file, keys: [...file.keys, createEntry(file.id, kid, 'decrypt-only', kek, now)] };
}

/** The keyring with that key as primary; the one before it opens only. Throws `usage` where it can't be. */
export function promoteKey({ file, where }: OpenFile, kid: number): KeyringFile {
  const entry = entryOf(file, kid, where);
  if (entry.state === 'destroyed') {
    throw new PipelineError('usage', `key ${String(kid)} of ${where} was destroyed: promote another`);
  }
  const states = { [kid]: 'primary' } as const;
  const keys = file.keys.map((each): KeyEntry =>
    each.state === 'destroyed' ? each : { ...each, state: states[each.kid] ?? 'decrypt-only' },
  );
  return { ...file, keys };
}

/** The keyring with the same keys under another KEK. Throws `key_unavailable` when the present one opens it not. */
export function rewrapKeys({ file, kek, where }: OpenFile, newKek: Kek): KeyringFile {
  const keys = file.keys.map((entry) => rewrapEntry(file, entry, kek, newKek, where));
  return { ...file, kek: newKek.record, keys };
}

/**
 * The keyring without that key: its entry stays, so that its kid is never given again. Whether anything still needs it
 * is for the caller to know. Throws `usage` for the primary, and for a kid that is not there or was destroyed before.
 */
export function destroyKey({ file, where }: OpenFile, kid: number): KeyringFile {
  requireDestroyable(file, kid, where);
  const keys = file.keys.map((each): KeyEntry =>
    each.kid === kid ? { ...each, state: 'destroyed', wrapped: null } : each,
  );
  return { ...file, keys };
}

/** Throws `usage` unless the key is there, not destroyed, and not the primary. */
export function requireDestroyable(file: KeyringFile, kid: number, where: string): void {
  const entry = entryOf(file, kid, where);
  if (entry.state === 'destroyed') {
    throw new PipelineError('usage', `key ${String(kid)} of ${where} was destroyed before`);
  }
  if (entry.state === 'primary') {
    throw new PipelineError(
      'usage',
      `key ${String(kid)} of ${where} is the primary, which new tokens carry: promote another first, and restart all processes`,
    );
  }
}

function entryOf(file: KeyringFile, kid: number, where: string): KeyEntry {
  const entry = file.keys.find((each) => each.kid === kid);
  if (entry) return entry;
  const kids = file.keys.map((each) => each.kid).join(', ');
  throw new PipelineError('usage', `there is no key ${String(kid)} in ${where}; it has ${kids}`);
}
