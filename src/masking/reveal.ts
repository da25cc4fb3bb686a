import { createHmac } from 'node:crypto';

import { packBytes } from './column.js';
import { lp } from './framing.js';
import type { Keyring } from './keyring.js';
import type { TokenMask } from './methods.js';
import { domainSiv, parseToken, valueOf } from './token.js';

/** A value had back from its token, and the domain whose key opened it. */
export interface OpenedToken {
  readonly value: string;
  readonly domain: string;
}

/** The kept half of an HMAC-SHA-256. */
const REFERENCE_BYTES = 16;
/** The domain of the key that references are made with. */
const REFERENCE_DOMAIN = 'maskline/reveals';

/**
 * The values of `siv` tokens, in order: each is tried under the domains of these masks, and the authentic one wins;
 * null where none is. Throws `key_unavailable` for a token whose key the keyring does not hold.
 */
export function openSivTokens(
  keyring: Keyring,
  masks: readonly TokenMask[],
  tokens: readonly string[],
): readonly (OpenedToken | null)[] {
  const opened = new Array<OpenedToken | null>(tokens.length).fill(null);
  const parsed = tokens.map((text) => parseToken(text));
  const kids = new Set(parsed.flatMap((token) => (token?.letter === 's' ? [token.kid] : [])));
  for (const [domain, shapes] of shapesByDomain(masks)) {
    for (const kid of kids) {
      const left = parsed.flatMap((token, i) =>
        token?.letter === 's' && token.kid === kid && !opened[i] ? [{ i, bytes: token.bytes }] : [],
      );
      const plain = domainSiv(keyring, domain, kid).open(packBytes(left.map(({ bytes }) => bytes)));
      for (const [k, { i }] of left.entries()) {
        const value = plain[k] && readingOf(shapes, plain[k]);
        if (typeof value === 'string') opened[i] = { value, domain };
      }
    }
  }
  return opened;
}

/**
 * Stands in the audit for what a mask made that keeps the format: from that, nobody could tell whether it is a value
 * that was given by mistake. `f`, kid, dot, and half an HMAC of pipeline, column and text. Throws `key_unavailable`.
 */
export function auditReference(
  keyring: Keyring,
  kid: number,
  place: { readonly pipeline: string; readonly column: string },
  text: string,
): string {
  const digest = createHmac('sha256', keyring.derive('hmac', REFERENCE_DOMAIN, kid))
    .update(lp(place.pipeline))
    .update(lp(place.column))
    .update(text, 'utf8')
    .digest();
  return `f${String(kid)}.${digest.toString('base64url', 0, REFERENCE_BYTES)}`;
}

type Shape = Pick<TokenMask, 'as' | 'pad'>;

function shapesByDomain(masks: readonly TokenMask[]): ReadonlyMap<string, readonly Shape[]> {
  const domains = new Map<string, Shape[]>();
  for (const { method, domain, as, pad } of masks) {
    if (method !== 'siv') continue;
    const shapes = domains.get(domain) ?? [];
    if (!shapes.some((other) => other.as === as && other.pad === pad)) shapes.push({ as, pad });
    domains.set(domain, shapes);
  }
  // Any 16 bytes are an address, but hardly an address is a text: what reads as text was one.
  for (const shapes of domains.values()) shapes.sort((a, b) => Number(a.as === 'ip') - Number(b.as === 'ip'));
  return domains;
}

function readingOf(shapes: readonly Shape[], opened: Buffer): string | null {
  for (const shape of shapes) {
    const value = valueOf(shape, opened);
    if (value !== null) return value;
  }
  return null;
}
