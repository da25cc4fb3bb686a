import { randomBytes } from 'node:crypto';
import { kekFromEnv } from '../masking/kek.js';
import { createKeyring } from '../masking/keyring-file.js';
import { Keyring } from '../masking/keyring.js';

const KEK_BYTES = 32;
const ORIGIN = 'the throwaway KEK';

/** A keyring with one new key that is forgotten with the process: equal values get equal tokens, as good as real ones. */
export function throwawayKeyring(now: number): Keyring {
  const kek = kekFromEnv(randomBytes(KEK_BYTES).toString('base64'), ORIGIN);
  return new Keyring(createKeyring(kek, now), kek, 'the throwaway keyring');
}
