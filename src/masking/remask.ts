// Stored values of one key brought to another, without a plaintext that leaves this process.

import { IP_BYTES, base64UrlColumn, packBytes, valueAt } from './column.js';
import { domainFf1 } from './ff1.js';
import { formatIp, writeIp } from './ip.js';
import { domainIpcrypt } from './ipcrypt.js';
import type { Keyring } from './keyring.js';
import type { MaskSpec, TokenMask } from './methods.js';
import { domainSiv, parseToken, tokenPrefix } from './token.js';

/** What the stored texts become, in order; null for one that is not what its mask makes, and so is left. */
export type Remask = (stored: readonly string[]) => readonly (string | null)[];

/** What stands for tokens of the vault, by token; null: nothing can as yet. A token that is not there means nothing. */
export type Successors = ReadonlyMap<string, string | null>;

/** Tokens that mean nothing any more stay: they are equal to one another, and to no other. */
export function succeed(stored: readonly string[], successors: Successors): readonly (string | null)[] {
  return stored.map((token) => {
    const successor = successors.get(token);
    return successor === undefined ? token : successor;
  });
}

/**
 * Turns results of a reversible mask under `fromKid` into those under the primary key, each tried: what it opens to is,
 * byte for byte, what the old one opened to. Null for a mask that has no way back. Tokens of other keys come back as
 * they are; formats carry no kid, so all of them are taken to be of `fromKid`. Throws `key_unavailable`.
 */
export function remaskOf(mask: MaskSpec, keyring: Keyring, fromKid: number): Remask | null {
  switch (mask.method) {
    case 'siv':
      return remaskTokens(mask, keyring, fromKid);
    case 'ff1': {
      const old = domainFf1(keyring, mask, fromKid);
      const next = domainFf1(keyring, mask, keyring.primaryKid);
      return (stored) =>
        stored.map((text) => {
          const plain = old.decrypt(text);
          const changed = plain === null ? null : next.encrypt(plain);
          return changed !== null && next.decrypt(changed) === plain ? changed : null;
        });
    }
    case 'ipcrypt-det':
    case 'ipcrypt-pfx': {
      const old = domainIpcrypt(keyring, mask, fromKid);
      const next = domainIpcrypt(keyring, mask, keyring.primaryKid);
      return (stored) =>
        eachAddress(stored, (addresses) => {
          const plain = old.decrypt(addresses);
          const changed = next.encrypt(plain);
          return next.decrypt(changed).equals(plain) ? changed : null;
        });
    }
    default:
      return null;
  }
}

/** The padded bytes as they are: neither `as` nor `pad` of today need be those of then. */
function remaskTokens(mask: TokenMask, keyring: Keyring, fromKid: number): Remask {
  const old = domainSiv(keyring, mask.domain, fromKid);
  const next = domainSiv(keyring, mask.domain, keyring.primaryKid);
  const prefix = tokenPrefix('siv', keyring.primaryKid);
  const oldPrefix = tokenPrefix('siv', fromKid);
  return (stored) => {
    const result: (string | null)[] = stored.map((text) => (text.startsWith(oldPrefix) ? null : text));
    const tokens = stored.flatMap((text, at) => {
      const token = text.startsWith(oldPrefix) ? parseToken(text) : null;
      return token ? [{ at, bytes: token.bytes }] : [];
    });
    const opened = old.open(packBytes(tokens.map(({ bytes }) => bytes)));
    const whole = tokens.flatMap(({ at }, k) => {
      const plain = opened[k];
      return plain ? [{ at, plain }] : [];
    });
    const sealed = next.seal(packBytes(whole.map(({ plain }) => plain)));
    const texts = base64UrlColumn(sealed, prefix);
    const again = next.open(packBytes(texts.map((text) => parseToken(text)?.bytes ?? Buffer.alloc(0))));
    for (const [k, { at, plain }] of whole.entries()) {
      if (again[k]?.equals(plain) === true) result[at] = texts[k] ?? null;
      again[k]?.fill(0);
      plain.fill(0);
    }
    return result;
  };
}

/** Works on the texts that are addresses, all at once. */
function eachAddress(
  stored: readonly string[],
  work: (addresses: Buffer) => Buffer | null,
): readonly (string | null)[] {
  const addresses = stored.map((text) => {
    const bytes = Buffer.alloc(IP_BYTES);
    return writeIp(text, bytes, 0) ? bytes : null;
  });
  const known = packBytes(addresses.filter((bytes) => bytes !== null));
  const bytes = work(known.bytes);
  const changed = { bytes: bytes ?? Buffer.alloc(0), ends: known.ends };
  let next = 0;
  return addresses.map((address) => {
    if (address === null) return null;
    next += 1;
    return bytes === null ? null : formatIp(valueAt(changed, next - 1));
  });
}
