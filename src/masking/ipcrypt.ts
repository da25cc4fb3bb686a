import {
  type Cipher,
  type Decipher,
  type KeyObject,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  timingSafeEqual,
} from 'node:crypto';

import { PipelineError } from '../errors.js';
import { acceptIps, nullCells } from './accepted.js';
import { IP_BYTES } from './column.js';
import { formatIp, isMapped } from './ip.js';
import type { Keyring } from './keyring.js';
import type { IpcryptMask } from './methods.js';
import type { ColumnMask } from './refusal.js';

/** Encrypts and decrypts columns of addresses, 16 bytes each, one for one. Without integrity: a wrong key gives other addresses. */
export interface IpcryptCipher {
  encrypt(addresses: Buffer): Buffer;
  decrypt(addresses: Buffer): Buffer;
}

const BITS = 128;
/** Bits of the prefix that all IPv4 addresses share, which `pfx` leaves as it is. */
const MAPPED_BITS = 96;
/** So many addresses at a time, since a bit of each is a block of AES: 2 MiB of them. */
const CHUNK = 1024;

/** ipcrypt-deterministic (draft-denis-ipcrypt): one block of AES-128 an address. */
export function ipcryptDet(key: KeyObject): IpcryptCipher {
  const forward = aes(key);
  const backward: Decipher = createDecipheriv('aes-128-ecb', key, null).setAutoPadding(false);
  return {
    encrypt: (addresses) => forward.update(addresses),
    decrypt: (addresses) => backward.update(addresses),
  };
}

/**
 * ipcrypt-pfx (draft-denis-ipcrypt): two addresses have as many leading bits in common after it as before, and IPv4
 * stays IPv4. The key is two of AES-128. Throws `key_unavailable` when they are equal, which would encrypt nothing.
 */
export function ipcryptPfx(key: KeyObject): IpcryptCipher {
  const bytes = key.export();
  const halves = [bytes.subarray(0, bytes.length / 2), bytes.subarray(bytes.length / 2)] as const;
  if (timingSafeEqual(...halves)) {
    throw new PipelineError(
      'key_unavailable',
      'a key for ipcrypt-pfx has two equal halves and would encrypt nothing; promote another key',
    );
  }
  const one = aes(createSecretKey(halves[0]));
  const other = aes(createSecretKey(halves[1]));
  bytes.fill(0);
  const pads: Pads = (blocks) => {
    const [a, b] = [one.update(blocks), other.update(blocks)];
    return Uint8Array.from({ length: blocks.length / IP_BYTES }, (_, i) => {
      const last = (i + 1) * IP_BYTES - 1;
      return ((a[last] ?? 0) ^ (b[last] ?? 0)) & 1;
    });
  };
  return {
    encrypt: (addresses) => byFamily(addresses, (part, from) => encryptBits(part, from, pads)),
    decrypt: (addresses) => byFamily(addresses, (part, from) => decryptBits(part, from, pads)),
  };
}

/** The cipher of a mask under that key id. Throws `key_unavailable`. */
export function domainIpcrypt(keyring: Keyring, { method, domain }: IpcryptMask, kid: number): IpcryptCipher {
  const key = keyring.derive(method, domain, kid);
  return method === 'ipcrypt-det' ? ipcryptDet(key) : ipcryptPfx(key);
}

/** Masks addresses with addresses, printed as RFC 5952 has it, under the primary key. Throws `key_unavailable`. */
export function ipcryptMask(mask: IpcryptMask, keyring: Keyring): ColumnMask {
  const cipher = domainIpcrypt(keyring, mask, keyring.primaryKid);
  return (values, normalized) => {
    const cells = nullCells(values);
    const { column, at } = acceptIps(values, cells, normalized);
    const masked = cipher.encrypt(column.bytes);
    for (const [k, i] of at.entries()) cells[i] = formatIp(masked.subarray(k * IP_BYTES, (k + 1) * IP_BYTES));
    return cells;
  };
}

/** The bit that each prefix, a block each, is encrypted with. */
type Pads = (blocks: Buffer) => Uint8Array;

function aes(key: KeyObject): Cipher {
  return createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
}

/** Works on IPv4 and IPv6 apart, since they have different numbers of bits, some addresses at a time. */
function byFamily(addresses: Buffer, work: (part: Buffer, from: number) => Buffer): Buffer {
  const out = Buffer.allocUnsafe(addresses.length);
  const families: [mapped: number[], others: number[]] = [[], []];
  for (let at = 0; at < addresses.length; at += IP_BYTES)
    families[isMapped(addresses.subarray(at, at + IP_BYTES)) ? 0 : 1].push(at);
  for (const [family, places] of families.entries()) {
    for (let start = 0; start < places.length; start += CHUNK) {
      const chunk = places.slice(start, start + CHUNK);
      const part = Buffer.concat(chunk.map((at) => addresses.subarray(at, at + IP_BYTES)));
      const done = work(part, family === 0 ? MAPPED_BITS : 0);
      for (const [k, at] of chunk.entries()) done.copy(out, at, k * IP_BYTES, (k + 1) * IP_BYTES);
    }
  }
  return out;
}

/** Every prefix is known beforehand, so that all bits of all addresses are two calls of AES. */
function encryptBits(addresses: Buffer, from: number, pads: Pads): Buffer {
  const count = addresses.length / IP_BYTES;
  const bits = BITS - from;
  const blocks = Buffer.alloc(count * bits * IP_BYTES);
  for (let i = 0; i < count; i += 1) {
    const prefix = firstPrefix(addresses, i, from);
    for (let bit = from; bit < BITS; bit += 1) {
      blocks.set(prefix, (i * bits + bit - from) * IP_BYTES);
      append(prefix, bitOf(addresses, i, bit));
    }
  }
  const pad = pads(blocks);
  const out = Buffer.from(addresses);
  for (let i = 0; i < count; i += 1)
    for (let bit = from; bit < BITS; bit += 1) flip(out, i, bit, pad[i * bits + bit - from] ?? 0);
  return out;
}

/** A bit's prefix is known once the bits before it are decrypted: round r decrypts bit r of every address. */
function decryptBits(addresses: Buffer, from: number, pads: Pads): Buffer {
  const count = addresses.length / IP_BYTES;
  const out = Buffer.from(addresses);
  const prefixes = Array.from({ length: count }, (_, i) => firstPrefix(addresses, i, from));
  for (let bit = from; bit < BITS; bit += 1) {
    const pad = pads(Buffer.concat(prefixes));
    for (const [i, prefix] of prefixes.entries()) {
      flip(out, i, bit, pad[i] ?? 0);
      append(prefix, bitOf(out, i, bit));
    }
  }
  return out;
}

/** The first `from` bits of an address as a block: a 1 in front of them, and zeros in front of that. */
function firstPrefix(addresses: Buffer, i: number, from: number): Buffer {
  const prefix = Buffer.alloc(IP_BYTES);
  prefix[IP_BYTES - 1] = 1;
  for (let bit = 0; bit < from; bit += 1) append(prefix, bitOf(addresses, i, bit));
  return prefix;
}

function append(prefix: Buffer, bit: number): void {
  let carry = bit;
  for (let k = IP_BYTES - 1; k >= 0; k -= 1) {
    const byte = prefix[k] ?? 0;
    prefix[k] = (byte << 1) | carry;
    carry = byte >> 7;
  }
}

/** Bit 0 is the first, the most significant. */
function bitOf(addresses: Buffer, i: number, bit: number): number {
  return ((addresses[i * IP_BYTES + (bit >> 3)] ?? 0) >> (7 - (bit & 7))) & 1;
}

function flip(addresses: Buffer, i: number, bit: number, by: number): void {
  const at = i * IP_BYTES + (bit >> 3);
  addresses[at] = (addresses[at] ?? 0) ^ (by << (7 - (bit & 7)));
}
