// Entries of the vault brought from one key to another, without a plaintext that leaves this process.

import { PipelineError } from '../errors.js';
import type { Keyring } from './keyring.js';
import { open } from './seal.js';
import {
  type VaultEntry,
  type VaultSubject,
  encodedOf,
  subjectHmac,
  subjectId,
  vaultEntry,
  vaultLookup,
  vaultSubject,
} from './vault.js';

/**
 * The entry under the primary key: the same value and subjects, sealed for a new token; what it is sealed as is opened
 * again. Null when something of it does not open, or is not what it is found by. Throws `key_unavailable`.
 */
export function rekeyEntry(keyring: Keyring, stored: VaultEntry): VaultEntry | null {
  const old = openStored(keyring, stored);
  if (old === null) return null;
  const { plain, subjects } = old;
  const entry = vaultEntry(keyring, stored.domain, plain);
  const again = open(keyring, 'vault', entry.token, entry.kid, entry.sealed);
  const isSame = again.equals(plain);
  again.fill(0);
  plain.fill(0);
  if (!isSame) throw new PipelineError('unexpected', 'a vault entry was not sealed as it was opened');
  return { ...entry, subjects: subjects.map((text) => vaultSubject(keyring, text)) };
}

function openStored(
  keyring: Keyring,
  { lookup, token, kid, domain, sealed, subjects }: VaultEntry,
): { readonly plain: Buffer; readonly subjects: readonly string[] } | null {
  try {
    const plain = open(keyring, 'vault', token, kid, sealed);
    if (!vaultLookup(keyring, domain, kid, encodedOf(plain)).equals(lookup)) return null;
    const texts = subjects.map((one) => openSubject(keyring, kid, one));
    const whole = texts.filter((text) => text !== null);
    return whole.length === texts.length ? { plain, subjects: whole } : null;
  } catch (error) {
    if (error instanceof PipelineError && error.code === 'payload_corrupt') return null;
    throw error;
  }
}

function openSubject(keyring: Keyring, kid: number, { subject, sealed }: VaultSubject): string | null {
  const text = open(keyring, 'vault', subjectId(subject), kid, sealed).toString('utf8');
  return subjectHmac(keyring, text, kid).equals(subject) ? text : null;
}
