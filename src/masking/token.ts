import { canonicalText } from './canonical.js';
import { IP_BYTES, packBytes, unpad } from './column.js';
import { lp, schemePrefix } from './framing.js';
import { formatIp } from './ip.js';
import type { Keyring } from './keyring.js';
import type { TokenMask } from './methods.js';
import { Siv } from './siv.js';

/** What every token looks like: method letter, kid, dot, unpadded base64url. */
export const tokenPattern = /^[hsv][0-9]{1,4}\.[A-Za-z0-9_-]{22,}$/;

const parts = /^([hsv])([1-9][0-9]{0,3})\.([A-Za-z0-9_-]{22,})$/;
const letters = { siv: 's', hmac: 'h', vault: 'v' } as const;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A token taken apart. */
export interface Token {
  readonly letter: string;
  readonly kid: number;
  readonly bytes: Buffer;
}

/** The parts of a token, or null for what is none; only one spelling of the bytes is accepted. */
export function parseToken(text: string): Token | null {
  const [, letter, kid, body] = parts.exec(text) ?? [];
  if (letter === undefined || kid === undefined || body === undefined) return null;
  const bytes = Buffer.from(body, 'base64url');
  return bytes.toString('base64url') === body ? { letter, kid: Number(kid), bytes } : null;
}

/** What a method's tokens begin with under that key. */
export function tokenPrefix(method: keyof typeof letters, kid: number): string {
  return `${letters[method]}${String(kid)}.`;
}

/** AES-SIV under the key of a domain, the domain being its associated data. Throws `key_unavailable`. */
export function domainSiv(keyring: Keyring, domain: string, kid: number): Siv {
  return new Siv(keyring.derive('siv', domain, kid), [Buffer.concat([schemePrefix, lp(domain)])]);
}

/**
 * The canonical value in a `siv` token, or null when the token is not an authentic one of this mask. Throws
 * `key_unavailable` when the keyring does not hold its key.
 */
export function openToken(keyring: Keyring, mask: TokenMask, text: string): string | null {
  const token = parseToken(text);
  if (token?.letter !== 's' || mask.method !== 'siv') return null;
  const [opened] = domainSiv(keyring, mask.domain, token.kid).open(packBytes([token.bytes]));
  return opened ? valueOf(mask, opened) : null;
}

/** The canonical value that authentic bytes are under a mask; null when they were sealed by another of its domain. */
export function valueOf(mask: Pick<TokenMask, 'as' | 'pad'>, opened: Buffer): string | null {
  const value = mask.pad === null ? opened : unpad(opened, mask.pad);
  if (!value) return null;
  if (mask.as === 'ip') return value.length === IP_BYTES ? formatIp(value) : null;
  return textOf(value);
}

/** Authentic bytes of another mask in the same domain (padded, or an address) are no canonical text. */
function textOf(bytes: Buffer): string | null {
  try {
    const text = utf8.decode(bytes);
    return canonicalText(text, false) === text ? text : null;
  } catch {
    return null;
  }
}
