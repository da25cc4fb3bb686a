// A second implementation of `siv` tokens, from the specification alone: the oracle imports nothing of the masking that
// it judges.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto';

const BLOCK = 16;
const NONCE_BYTES = 12;
const SIV_KEY_BYTES = 64;
const CHECK_CHARACTERS = 16;
const NAME = Buffer.from('maskline\x00\x01', 'latin1');

/** Every master key of a keyring file, by kid. Throws when the KEK is not its own, or a key not what it was. */
export function openMasterKeys(keyringJson: string, kekBase64: string): ReadonlyMap<number, Buffer> {
  const ring: unknown = JSON.parse(keyringJson);
  const kek = Buffer.from(kekBase64, 'base64');
  const masters = new Map<number, Buffer>();
  for (const key of asArray(member(ring, 'keys'))) {
    const kid = Number(member(key, 'kid'));
    const wrapped = member(key, 'wrapped');
    if (typeof wrapped !== 'string') continue;
    const aad = Buffer.concat([
      Buffer.from('maskline-keyring/1\0', 'latin1'),
      Buffer.from(`${String(member(ring, 'id'))}\0`),
      uint32(kid),
    ]);
    const master = unwrapped(kek, Buffer.from(wrapped, 'base64'), aad);
    const check = createHmac('sha256', master).update('maskline kcv v1').digest('hex');
    if (check.slice(0, CHECK_CHARACTERS) !== member(key, 'kcv')) {
      throw new TypeError(`key ${kid} of the keyring does not match its check value`);
    }
    masters.set(kid, master);
  }
  return masters;
}

/** The token of bytes in their canonical form: UTF-8 text, or the 16 bytes of an address. */
export function sivToken(master: Uint8Array, kid: number, domain: string, plain: Buffer): string {
  const info = Buffer.concat([NAME, framed('siv'), framed(domain), uint32(kid)]);
  const key = Buffer.from(hkdfSync('sha256', master, 'maskline/hkdf/v1', info, SIV_KEY_BYTES));
  const sealed = seal(key, Buffer.concat([NAME, framed(domain)]), plain);
  return `s${kid}.${sealed.toString('base64url')}`;
}

/** AES-SIV with one associated data: S2V and CTR of RFC 5297, sections 2.4 to 2.6. */
function seal(key: Buffer, associated: Buffer, plain: Buffer): Buffer {
  const macKey = key.subarray(0, key.length / 2);
  const state = xored(doubled(cmac(macKey, Buffer.alloc(BLOCK))), cmac(macKey, associated));
  const last =
    plain.length >= BLOCK
      ? Buffer.concat([plain.subarray(0, -BLOCK), xored(plain.subarray(-BLOCK), state)])
      : xored(doubled(state), padded(plain));
  const tag = cmac(macKey, last);
  const counter = Buffer.from(tag);
  // Section 2.6: the top bits of the last two 32-bit words are cleared.
  for (const at of [8, 12]) counter.writeUInt8(counter.readUInt8(at) & 0x7f, at);
  const cipher = createCipheriv('aes-256-ctr', key.subarray(key.length / 2), counter);
  return Buffer.concat([tag, cipher.update(plain), cipher.final()]);
}

/** CMAC (SP 800-38B): CBC-MAC whose last block is mixed with a subkey. */
function cmac(key: Buffer, message: Buffer): Buffer {
  const subkey = doubled(cbcMac(key, Buffer.alloc(BLOCK)));
  const isWhole = message.length > 0 && message.length % BLOCK === 0;
  const from = isWhole ? message.length - BLOCK : message.length - (message.length % BLOCK);
  const end = message.subarray(from);
  const last = isWhole ? xored(end, subkey) : xored(padded(end), doubled(subkey));
  return cbcMac(key, Buffer.concat([message.subarray(0, from), last]));
}

function cbcMac(key: Buffer, blocks: Buffer): Buffer {
  const cipher = createCipheriv('aes-256-cbc', key, Buffer.alloc(BLOCK)).setAutoPadding(false);
  return Buffer.concat([cipher.update(blocks), cipher.final()]).subarray(-BLOCK);
}

/** Times x in GF(2^128). */
function doubled(block: Buffer): Buffer {
  const value = BigInt(`0x${block.toString('hex')}`);
  const shifted = BigInt.asUintN(BLOCK * 8, value << 1n) ^ (value >> 127n === 1n ? 0x87n : 0n);
  return Buffer.from(shifted.toString(16).padStart(BLOCK * 2, '0'), 'hex');
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.from([0x80]), Buffer.alloc(BLOCK)]).subarray(0, BLOCK);
}

function xored(one: Buffer, other: Buffer): Buffer {
  return Buffer.from(one.map((byte, index) => byte ^ (other[index] ?? 0)));
}

function unwrapped(kek: Buffer, wrapped: Buffer, aad: Buffer): Buffer {
  const cipher = createDecipheriv('aes-256-gcm', kek, wrapped.subarray(0, NONCE_BYTES));
  cipher.setAAD(aad).setAuthTag(wrapped.subarray(-BLOCK));
  return Buffer.concat([cipher.update(wrapped.subarray(NONCE_BYTES, -BLOCK)), cipher.final()]);
}

function framed(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
