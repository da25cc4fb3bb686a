import { type Cipher, type KeyObject, createCipheriv, createSecretKey, timingSafeEqual } from 'node:crypto';

import { PipelineError } from '../errors.js';
import { type Column, packBytes, valueAt } from './column.js';

const BLOCK = 16;
/** Bytes of V, the synthetic IV in front of every ciphertext. */
const TAG_BYTES = 16;
/** The constant of GF(2^128) in SP 800-38B and RFC 5297. */
const REDUCTION = 0x87;

/**
 * AES-SIV (RFC 5297), deterministic authenticated encryption, a column of values at a time: V || C for each. ECB
 * keeps no state between blocks, so one persistent cipher object serves as the bare AES of CMAC and CTR, and each
 * call of it does one block of every value. The key's length (32, 48 or 64 bytes) chooses AES-128, -192 or -256.
 */
export class Siv {
  readonly #mac: Cipher;
  readonly #stream: Cipher;
  /** CMAC's subkeys for a full and for a padded last block. */
  readonly #fullMask: Buffer;
  readonly #paddedMask: Buffer;
  /** S2V's state after the associated data, as it goes into a value of a block or more. */
  readonly #xorEnd: Buffer;
  /** The same for a shorter value, its CMAC subkey already in. */
  readonly #shortMask: Buffer;

  constructor(key: KeyObject, associatedData: readonly Uint8Array[]) {
    const bytes = key.export();
    const half = bytes.length / 2;
    this.#mac = bareAes(bytes.subarray(0, half));
    this.#stream = bareAes(bytes.subarray(half));
    bytes.fill(0);
    this.#fullMask = doubled(this.#mac.update(Buffer.alloc(BLOCK)));
    this.#paddedMask = doubled(this.#fullMask);
    let state = this.#cmac(Buffer.alloc(BLOCK));
    for (const data of associatedData) {
      state = doubled(state);
      xorInto(state, 0, this.#cmac(data));
    }
    this.#xorEnd = state;
    this.#shortMask = doubled(state);
    xorInto(this.#shortMask, 0, this.#fullMask);
  }

  /** V || C of each value. */
  seal(plain: Column): Column {
    const tags = this.#s2v(plain);
    const stream = this.#keyStream(tags, plain);
    const count = plain.ends.length;
    const bytes = Buffer.allocUnsafe(count * TAG_BYTES + plain.bytes.length);
    const ends = new Uint32Array(count);
    let at = 0;
    let from = 0;
    let streamAt = 0;
    for (let i = 0; i < count; i += 1) {
      const to = plain.ends[i] ?? from;
      for (let k = 0; k < TAG_BYTES; k += 1) bytes[at + k] = tags[i * TAG_BYTES + k] ?? 0;
      at += TAG_BYTES;
      for (let k = 0; k < to - from; k += 1) {
        bytes[at + k] = (plain.bytes[from + k] ?? 0) ^ (stream[streamAt + k] ?? 0);
      }
      at += to - from;
      ends[i] = at;
      streamAt += blocksOf(to - from) * BLOCK;
      from = to;
    }
    return { bytes, ends };
  }

  /** The plaintext of each V || C that is authentic, null for every other. */
  open(sealed: Column): (Buffer | null)[] {
    const count = sealed.ends.length;
    const tags = Buffer.alloc(count * TAG_BYTES);
    const bodies: Buffer[] = [];
    const ends = new Uint32Array(count);
    let end = 0;
    for (let i = 0; i < count; i += 1) {
      const value = valueAt(sealed, i);
      value.copy(tags, i * TAG_BYTES, 0, TAG_BYTES);
      const body = value.subarray(TAG_BYTES);
      bodies.push(body);
      end += body.length;
      ends[i] = end;
    }
    const plain = { bytes: Buffer.concat(bodies), ends };
    const stream = this.#keyStream(tags, plain);
    for (let i = 0, streamAt = 0; i < count; i += 1) {
      const value = valueAt(plain, i);
      for (let k = 0; k < value.length; k += 1) value[k] = (value[k] ?? 0) ^ (stream[streamAt + k] ?? 0);
      streamAt += blocksOf(value.length) * BLOCK;
    }
    const expected = this.#s2v(plain);
    return bodies.map((_, i) => {
      const tag = tags.subarray(i * TAG_BYTES, (i + 1) * TAG_BYTES);
      const isWhole = valueAt(sealed, i).length >= TAG_BYTES;
      const isAuthentic = timingSafeEqual(tag, expected.subarray(i * TAG_BYTES, (i + 1) * TAG_BYTES));
      const value = valueAt(plain, i);
      if (isWhole && isAuthentic) return Buffer.from(value);
      value.fill(0);
      return null;
    });
  }

  /** V of each value: the last step of S2V, which is one CMAC over the value with the state worked into its end. */
  #s2v(plain: Column): Buffer {
    const count = plain.ends.length;
    const starts = blockStarts(plain, 1);
    const padded = Buffer.alloc((starts[count] ?? 0) * BLOCK);
    let from = 0;
    for (let i = 0; i < count; i += 1) {
      const to = plain.ends[i] ?? from;
      const length = to - from;
      const start = (starts[i] ?? 0) * BLOCK;
      for (let k = 0; k < length; k += 1) padded[start + k] = plain.bytes[from + k] ?? 0;
      if (length % BLOCK !== 0 || length === 0) padded[start + length] = 0x80;
      if (length < BLOCK) xorInto(padded, start, this.#shortMask);
      else {
        xorInto(padded, start + length - BLOCK, this.#xorEnd);
        const last = start + (blocksOf(length) - 1) * BLOCK;
        xorInto(padded, last, length % BLOCK === 0 ? this.#fullMask : this.#paddedMask);
      }
      from = to;
    }
    return this.#chain(padded, starts);
  }

  /** CBC-MAC of each value in `padded`: round r does block r of every value that has one. */
  #chain(padded: Buffer, starts: Uint32Array): Buffer {
    const count = starts.length - 1;
    if (padded.length === count * BLOCK) return this.#mac.update(padded);
    const lengthOf = (i: number): number => (starts[i + 1] ?? 0) - (starts[i] ?? 0);
    const longestFirst = Uint32Array.from({ length: count }, (_, i) => i).toSorted(
      (a, b) => lengthOf(b) - lengthOf(a),
    );
    const tags = Buffer.alloc(count * BLOCK);
    let active = count;
    let state = Buffer.alloc(count * BLOCK);
    for (let round = 0; active > 0; round += 1) {
      for (let k = 0; k < active; k += 1) {
        const block = ((starts[longestFirst[k] ?? 0] ?? 0) + round) * BLOCK;
        for (let b = 0; b < BLOCK; b += 1)
          state[k * BLOCK + b] = (state[k * BLOCK + b] ?? 0) ^ (padded[block + b] ?? 0);
      }
      state = this.#mac.update(state.subarray(0, active * BLOCK));
      while (active > 0 && lengthOf(longestFirst[active - 1] ?? 0) === round + 1) {
        active -= 1;
        state.copy(tags, (longestFirst[active] ?? 0) * BLOCK, active * BLOCK, (active + 1) * BLOCK);
      }
    }
    return tags;
  }

  /** CTR's key stream for each value, in whole blocks: value i's begins where those of the values before it end. */
  #keyStream(tags: Buffer, plain: Column): Buffer {
    const starts = blockStarts(plain, 0);
    const count = plain.ends.length;
    const counters = Buffer.allocUnsafe((starts[count] ?? 0) * BLOCK);
    for (let i = 0; i < count; i += 1) {
      const tag = i * TAG_BYTES;
      const last = tags.readUInt32BE(tag + 12) & 0x7fffffff;
      for (let block = starts[i] ?? 0, n = 0; block < (starts[i + 1] ?? 0); block += 1, n += 1) {
        const at = block * BLOCK;
        // RFC 5297 2.5 clears bits 31 and 63, so adding a block number never carries out of the last word.
        for (let k = 0; k < 12; k += 1) counters[at + k] = tags[tag + k] ?? 0;
        counters[at + 8] = (counters[at + 8] ?? 0) & 0x7f;
        counters.writeUInt32BE(last + n, at + 12);
      }
    }
    return this.#stream.update(counters);
  }

  /** AES-CMAC (RFC 4493) of one message; for the associated data, once per key. */
  #cmac(message: Uint8Array): Buffer {
    const blocks = Math.max(1, blocksOf(message.length));
    const padded = Buffer.alloc(blocks * BLOCK);
    padded.set(message);
    const isFull = message.length === padded.length;
    if (!isFull) padded[message.length] = 0x80;
    xorInto(padded, padded.length - BLOCK, isFull ? this.#fullMask : this.#paddedMask);
    return this.#chain(padded, Uint32Array.of(0, blocks));
  }
}

/** AES by itself: whole blocks in, as many out, nothing kept. */
function bareAes(key: Buffer): Cipher {
  const aes = createCipheriv(`aes-${String(key.length * 8)}-ecb`, createSecretKey(key), null);
  aes.setAutoPadding(false);
  return aes;
}

function blocksOf(length: number): number {
  return Math.ceil(length / BLOCK);
}

/** The first block of each value when every value has at least `least` blocks; one more entry holds the total. */
function blockStarts(column: Column, least: number): Uint32Array {
  const starts = new Uint32Array(column.ends.length + 1);
  let from = 0;
  for (let i = 0; i < column.ends.length; i += 1) {
    const to = column.ends[i] ?? from;
    starts[i + 1] = (starts[i] ?? 0) + Math.max(least, blocksOf(to - from));
    from = to;
  }
  return starts;
}

/** Multiplication by x in GF(2^128), RFC 5297 2.3. */
function doubled(block: Buffer): Buffer {
  const out = Buffer.alloc(BLOCK);
  for (let i = 0; i < BLOCK; i += 1) out[i] = ((block[i] ?? 0) << 1) | ((block[i + 1] ?? 0) >> 7);
  // Whether the top bit falls out depends on the key alone; the product is taken without a branch all the same.
  out[BLOCK - 1] = (out[BLOCK - 1] ?? 0) ^ (((block[0] ?? 0) >> 7) * REDUCTION);
  return out;
}

function xorInto(target: Buffer, at: number, mask: Buffer): void {
  for (let i = 0; i < BLOCK; i += 1) target[at + i] = (target[at + i] ?? 0) ^ (mask[i] ?? 0);
}

/** Wycheproof aes_siv_cmac_test, case 320: a 64-byte key, one component of associated data, 17 bytes of text. */
const known = {
  key: '139383f3f82dc78e0b380027f9e5fcd2ed23716404be5c554452e4dc73d237026594491820c6b8297185cc1fa84f49a5c7d7cd05c5de090ff1c3397bc2740437',
  data: 'd39da73ffc03ad0a9213ffc7',
  plain: '48604944a80fadf50d55b87727934458c8',
  sealed: 'a9cf73951cb39823777f35c96c845169476e2ec2317cb6b8dd8b6172fdceabff9d',
} as const;

/**
 * Seals and opens a published known answer, beside two other values, and sees that an altered one is refused. Throws
 * `key_unavailable` when this Node's AES is not what it should be: then nothing may be masked.
 */
export function selfTest(): void {
  const plain = Buffer.from(known.plain, 'hex');
  const siv = new Siv(createSecretKey(Buffer.from(known.key, 'hex')), [Buffer.from(known.data, 'hex')]);
  const sealed = siv.seal(packBytes([plain.subarray(0, 3), plain, Buffer.alloc(0)]));
  const answer = Buffer.from(valueAt(sealed, 1));
  const altered = Buffer.from(answer);
  altered[0] = (altered[0] ?? 0) ^ 1;
  const [opened, refused] = siv.open(packBytes([answer, altered]));
  if (answer.toString('hex') === known.sealed && opened?.equals(plain) === true && refused === null) return;
  throw new PipelineError(
    'key_unavailable',
    'AES-SIV fails its known-answer test in this Node: nothing can be masked; use a supported Node release',
  );
}
