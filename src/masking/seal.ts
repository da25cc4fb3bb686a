import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

import { PipelineError } from '../errors.js';
import { lp, u32be } from './framing.js';
import type { Keyring } from './keyring.js';

/** What sealed bytes are; each purpose has a key of its own. */
export type SealPurpose = 'payload' | 'quarantine' | 'vault' | 'redrive';

/** `nonce 12 || ciphertext || tag 16`, AES-256-GCM, and the key id it was sealed under. */
export interface Sealed {
  readonly kid: number;
  readonly sealed: Buffer;
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Seals bytes under the primary key; `id` (a row's, or queue and batch) binds them to their place. Throws `key_unavailable`. */
export function seal(keyring: Keyring, purpose: SealPurpose, id: string, plain: Uint8Array): Sealed {
  const kid = keyring.primaryKid;
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyring.derive('seal', purpose, kid), nonce);
  cipher.setAAD(context(purpose, id, kid));
  return { kid, sealed: Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]) };
}

/** Opens what `seal` made. Throws `key_unavailable` for an unknown kid, `payload_corrupt` when the bytes are not authentic. */
export function open(
  keyring: Keyring,
  purpose: SealPurpose,
  id: string,
  kid: number,
  sealed: Uint8Array,
): Buffer {
  const key = keyring.derive('seal', purpose, kid);
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw notAuthentic(purpose, id, kid);
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(context(purpose, id, kid));
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  const plain = decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES));
  try {
    decipher.final();
  } catch {
    plain.fill(0);
    throw notAuthentic(purpose, id, kid);
  }
  return plain;
}

/** Seals what enters a queue: the queues' Sealer port over a keyring. */
export class PayloadSealer {
  readonly keyring: string;
  readonly #keyring: Keyring;

  constructor(keyring: Keyring) {
    this.keyring = keyring.id;
    this.#keyring = keyring;
  }

  /** Throws `key_unavailable`. */
  seal(id: string, plain: Uint8Array): Sealed {
    return seal(this.#keyring, 'payload', id, plain);
  }

  /** Throws `key_unavailable` or `payload_corrupt`. */
  open(id: string, kid: number, sealed: Uint8Array): Buffer {
    return open(this.#keyring, 'payload', id, kid, sealed);
  }
}

function context(purpose: SealPurpose, id: string, kid: number): Buffer {
  return Buffer.concat([lp(purpose), lp(id), u32be(kid)]);
}

function notAuthentic(purpose: SealPurpose, id: string, kid: number): PipelineError {
  return new PipelineError(
    'payload_corrupt',
    `sealed ${purpose} ${id} is not authentic under key ${String(kid)}: it was altered, or belongs elsewhere`,
  );
}
