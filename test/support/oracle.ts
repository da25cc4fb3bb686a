// A second implementation of docs/masking.md, from the page alone: it imports nothing of src, and takes its ciphers
// from another library. Integration tests recompute tokens with it.

import { createHash, createHmac, randomBytes } from 'node:crypto';
import { aessiv, gcm } from '@noble/ciphers/aes.js';

/** Options of a token mask; those left out are the defaults of maskline.yaml. */
export interface OracleOptions {
  readonly pad?: 16 | 32 | 64 | null;
  readonly lower?: boolean;
}

/** The token of a value, or null where the rules make it SQL NULL. Throws on values that the rules reject. */
export function tokenOracle(
  masterKey: Uint8Array,
  kid: number,
  method: 'siv' | 'hmac',
  domain: string,
  as: 'text' | 'ip',
  value: string,
  options: OracleOptions = {},
): string | null {
  const trimmed = value.replace(/^[ \t\n\f\r]+/, '').replace(/[ \t\n\f\r]+$/, '');
  if (trimmed.length === 0) return null;
  let encoded = as === 'ip' ? ipOracle(trimmed) : Buffer.from(textOracle(trimmed, options.lower ?? false));
  if (options.pad) {
    const rest = options.pad - (encoded.length % options.pad);
    encoded = Buffer.concat([encoded, Buffer.from([0x80]), Buffer.alloc(rest - 1)]);
  }
  if (method === 'hmac') {
    const mac = createHmac('sha256', keyOracle(masterKey, 'hmac', domain, kid, 32))
      .update(encoded)
      .digest();
    return `h${kid}.${mac.subarray(0, 16).toString('base64url')}`;
  }
  const key = keyOracle(masterKey, 'siv', domain, kid, 64);
  const context = Buffer.concat([Buffer.from('maskline\x00\x01', 'latin1'), framed(domain)]);
  return `s${kid}.${Buffer.from(aessiv(key, context).encrypt(encoded)).toString('base64url')}`;
}

/** K(method, domain, kid): RFC 5869's two steps by hand. */
export function keyOracle(
  masterKey: Uint8Array,
  method: string,
  domain: string,
  kid: number,
  length: number,
): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(kid);
  const info = Buffer.concat([
    Buffer.from('maskline\x00\x01', 'latin1'),
    framed(method),
    framed(domain),
    number,
  ]);
  return hkdfOracle(Buffer.from('maskline/hkdf/v1'), masterKey, info, length);
}

/** HKDF-SHA-256, RFC 5869 sections 2.2 and 2.3. */
export function hkdfOracle(salt: Uint8Array, ikm: Uint8Array, info: Uint8Array, length: number): Buffer {
  const prk = createHmac('sha256', salt).update(ikm).digest();
  const blocks: Buffer[] = [];
  let last = Buffer.alloc(0);
  for (let n = 1; blocks.length * 32 < length; n += 1) {
    last = createHmac('sha256', prk)
      .update(last)
      .update(info)
      .update(Buffer.from([n]))
      .digest();
    blocks.push(last);
  }
  return Buffer.concat(blocks).subarray(0, length);
}

/** Every master key of a keyring file, by kid. Throws when the KEK is not its own or a check value differs. */
export function openKeyringOracle(json: string, kekBase64: string): Map<number, Buffer> {
  const ring = JSON.parse(json) as {
    id: string;
    keys: { kid: number; wrapped: string | null; kcv: string }[];
  };
  const masters = new Map<number, Buffer>();
  for (const { kid, wrapped, kcv } of ring.keys) {
    if (wrapped === null) continue;
    const sealed = Buffer.from(wrapped, 'base64');
    const cipher = gcm(Buffer.from(kekBase64, 'base64'), sealed.subarray(0, 12), ringContext(ring.id, kid));
    const master = Buffer.from(cipher.decrypt(sealed.subarray(12)));
    if (checkValue(master) !== kcv) throw new Error(`key ${kid} does not match its check value`);
    masters.set(kid, master);
  }
  return masters;
}

/** A keyring file of given master keys, the last of them primary. */
export function keyringOracle(
  masters: ReadonlyMap<number, Uint8Array>,
  kekBase64: string,
  id = 'kr_oracle',
): string {
  const primary = [...masters.keys()].at(-1);
  const keys = [...masters].map(([kid, master]) => {
    const nonce = randomBytes(12);
    const sealed = gcm(Buffer.from(kekBase64, 'base64'), nonce, ringContext(id, kid)).encrypt(master);
    return {
      kid,
      state: kid === primary ? 'primary' : 'decrypt-only',
      created: '2026-01-01T00:00:00.000Z',
      wrapped: Buffer.concat([nonce, sealed]).toString('base64'),
      kcv: checkValue(master),
    };
  });
  return JSON.stringify({ format: 'maskline-keyring/1', id, kek: { type: 'env' }, keys });
}

/** Opens sealed bytes: `nonce || ciphertext || tag` under K("seal", purpose, kid). Throws when they are not authentic. */
export function openSealOracle(
  masterKey: Uint8Array,
  kid: number,
  purpose: string,
  id: string,
  sealed: Uint8Array,
): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(kid);
  const aad = Buffer.concat([framed(purpose), framed(id), number]);
  const cipher = gcm(keyOracle(masterKey, 'seal', purpose, kid, 32), sealed.subarray(0, 12), aad);
  return Buffer.from(cipher.decrypt(sealed.subarray(12)));
}

/** A raw record of the quarantine, once opened: `R`, version 1, flags, length u32be of a head of JSON, the body. */
export function rawRecordOracle(plain: Buffer): {
  readonly flags: number;
  readonly head: unknown;
  readonly body: string;
} {
  if (plain.toString('latin1', 0, 2) !== 'R\u0001') throw new Error('no raw record of version 1');
  const bodyStart = 7 + plain.readUInt32BE(3);
  const flags = plain[2] ?? 0;
  return {
    flags,
    head: JSON.parse(plain.toString('utf8', 7, bodyStart)),
    body: plain.toString(flags & 1 ? 'utf16le' : 'utf8', bodyStart),
  };
}

/** A fixed master key for tests: SHA-256 of a name. */
export function masterFor(name: string): Buffer {
  return createHash('sha256').update(name).digest();
}

function textOracle(trimmed: string, lower: boolean): string {
  for (const character of trimmed) {
    if (/[\p{Control}\p{Format}\p{Surrogate}]/u.test(character)) throw new RangeError('bad_text');
  }
  const composed = trimmed.normalize('NFC');
  return lower ? composed.toLowerCase() : composed;
}

/** WHATWG's URL parser does the work for IPv6; IPv4 must be four plain decimal numbers. */
function ipOracle(trimmed: string): Buffer {
  if (/^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(trimmed)) {
    const parts = trimmed.split('.').map(Number);
    if (parts.some((part) => part > 255)) throw new RangeError('bad_ip');
    return Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...parts]);
  }
  if (!/^[0-9a-fA-F:.]+$/.test(trimmed) || !URL.canParse(`http://[${trimmed}]/`))
    throw new RangeError('bad_ip');
  const host = new URL(`http://[${trimmed}]/`).hostname.slice(1, -1);
  const [head = '', tail] = host.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = new Array<string>(8 - before.length - after.length).fill('0');
  const groups = [...before, ...zeros, ...after];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function framed(text: string): Buffer {
  const bytes = new TextEncoder().encode(text);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function ringContext(id: string, kid: number): Buffer {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(kid);
  return Buffer.concat([
    Buffer.from('maskline-keyring/1'),
    Buffer.alloc(1),
    Buffer.from(id),
    Buffer.alloc(1),
    number,
  ]);
}

function checkValue(master: Uint8Array): string {
  return createHmac('sha256', master).update('maskline kcv v1').digest('hex').slice(0, 16);
}
