// Looks for many byte strings at once, in time that grows with the bytes and not with their product: by the hash of
// every window, as Rabin and Karp have it (Efficient randomized pattern-matching algorithms, 1987).

/** The shortest form that can be looked for, in bytes; windows of this size are what is filtered by. */
export const MIN_FORM_BYTES = 8;
/** Of longer forms only the beginning is looked for, so that the number of lengths, and with it the work, is bounded. */
const MAX_FORM_BYTES = 64;

/** Odd, so that multiplying loses nothing: 2^32 divided by the golden ratio. */
const BASE = 0x9e3779b1;
const MIX = 0x85ebca6b;
/** Bits of the filter per form: two windows in a hundred pass it by chance. */
const FILTER_BITS_PER_FORM = 48;
const MIN_LOG_BITS = 10;

/** Upper case as lower case, and base64's alphabet as base64url's: what differs in these alone is one text. */
const fold = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x41 && byte <= 0x5a) return byte + 0x20;
  if (byte === 0x2b) return 0x2d;
  return byte === 0x2f ? 0x5f : byte;
});

/** BASE to the power of each length. */
const powers = new Int32Array(MAX_FORM_BYTES + 1).fill(1);
for (let i = 1; i <= MAX_FORM_BYTES; i += 1) powers[i] = Math.imul(powers[i - 1] ?? 1, BASE);

/** Parts of what is searched, in its order: part k is `[starts[k], ends[k])`. No form is found across a border. */
export interface Parts {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

/** Hears of a form, by its number, found in `[from, to)` of a part. */
export type OnFound = (form: number, part: number, from: number, to: number) => void;

/** Bytes that hold a form. */
interface Form {
  readonly bytes: Buffer;
  readonly from: number;
  readonly length: number;
  readonly hash: number;
  /** Of its first window. */
  readonly windowHash: number;
}

/** Forms to look for, numbered as they are added. Case of ASCII letters and the alphabet of base64 don't count. */
export class FormSearch {
  readonly #forms: Form[] = [];
  #lengths: readonly number[] = [];
  #slots = new Int32Array(0);
  #filter = new Int32Array(0);
  #filterShift = 0;

  /** The form is `[from, to)` of bytes that are not to change, and at least `MIN_FORM_BYTES` long. */
  add(bytes: Buffer, from: number, to: number): void {
    const length = Math.min(to - from, MAX_FORM_BYTES);
    let hash = 0;
    let windowHash = 0;
    for (let i = 0; i < length; i += 1) {
      hash = (Math.imul(hash, BASE) + (fold[bytes[from + i] ?? 0] ?? 0)) | 0;
      if (i === MIN_FORM_BYTES - 1) windowHash = hash;
    }
    this.#forms.push({ bytes, from, length, hash, windowHash });
  }

  /** Every form in each of the parts, once a place. */
  find(bytes: Buffer, parts: Parts, onFound: OnFound): void {
    this.#prepare();
    const sums = sumsOf(bytes);
    const windowPower = powers[MIN_FORM_BYTES] ?? 0;
    const filter = this.#filter;
    const shift = this.#filterShift;
    for (const [part, start] of parts.starts.entries()) {
      const end = parts.ends[part] ?? start;
      for (let at = start; at + MIN_FORM_BYTES <= end; at += 1) {
        const hash = ((sums[at + MIN_FORM_BYTES] ?? 0) - Math.imul(sums[at] ?? 0, windowPower)) | 0;
        const bit = Math.imul(hash, MIX) >>> shift;
        if (((filter[bit >>> 5] ?? 0) & (1 << (bit & 31))) === 0) continue;
        for (const length of this.#lengths) {
          if (at + length > end) break;
          this.#match(bytes, sums, at, length, (form) => onFound(form, part, at, at + length));
        }
      }
    }
  }

  /** Fills the filter with the forms' first windows, and the table with their hashes. */
  #prepare(): void {
    const count = this.#forms.length;
    const logBits = Math.max(MIN_LOG_BITS, Math.ceil(Math.log2(count * FILTER_BITS_PER_FORM + 1)));
    this.#filterShift = 32 - logBits;
    this.#filter = new Int32Array(2 ** (logBits - 5));
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * count + 2)));
    const lengths = new Set<number>();
    for (const [number, { hash, windowHash, length }] of this.#forms.entries()) {
      lengths.add(length);
      const bit = Math.imul(windowHash, MIX) >>> this.#filterShift;
      this.#filter[bit >>> 5] = (this.#filter[bit >>> 5] ?? 0) | (1 << (bit & 31));
      let slot = this.#slotOf(hash, length);
      while (this.#slots[slot] !== 0) slot = (slot + 1) & (this.#slots.length - 1);
      this.#slots[slot] = number + 1;
    }
    this.#lengths = [...lengths].sort((a, b) => a - b);
  }

  /** Every form of that length at that place. */
  #match(bytes: Buffer, sums: Int32Array, at: number, length: number, onMatch: (form: number) => void): void {
    const hash = ((sums[at + length] ?? 0) - Math.imul(sums[at] ?? 0, powers[length] ?? 0)) | 0;
    let slot = this.#slotOf(hash, length);
    for (let taken = this.#slots[slot] ?? 0; taken !== 0; taken = this.#slots[slot] ?? 0) {
      const form = this.#forms[taken - 1];
      if (form?.hash === hash && form.length === length && isAt(form, bytes, at)) onMatch(taken - 1);
      slot = (slot + 1) & (this.#slots.length - 1);
    }
  }

  #slotOf(hash: number, length: number): number {
    return (Math.imul(hash ^ length, MIX) >>> 7) & (this.#slots.length - 1);
  }
}

/** The hash of each beginning of the bytes: any part's hash is a difference of two of them. */
function sumsOf(bytes: Buffer): Int32Array {
  const sums = new Int32Array(bytes.length + 1);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 1) {
    sum = (Math.imul(sum, BASE) + (fold[bytes[i] ?? 0] ?? 0)) | 0;
    sums[i + 1] = sum;
  }
  return sums;
}

function isAt(form: Form, bytes: Buffer, at: number): boolean {
  for (let i = 0; i < form.length; i += 1)
    if (fold[form.bytes[form.from + i] ?? 0] !== fold[bytes[at + i] ?? 0]) return false;
  return true;
}
