// FF1 from NIST SP 800-38G r1, algorithm 7, step by step: it shares nothing with what it judges but Node's AES.

import { createCipheriv } from 'node:crypto';

/** Encrypts numerals of that radix under an AES key of 16, 24 or 32 bytes. */
export function ff1Oracle(
  key: Uint8Array,
  radix: number,
  tweak: Uint8Array,
  numerals: readonly number[],
): number[] {
  const n = numerals.length;
  const u = Math.floor(n / 2);
  const v = n - u;
  let a = numerals.slice(0, u);
  let b = numerals.slice(u);
  // Step 3: bytes that radix^v - 1 takes.
  const bytes = Math.ceil((BigInt(radix) ** BigInt(v) - 1n).toString(2).length / 8);
  const d = 4 * Math.ceil(bytes / 4) + 4;
  const p = Buffer.alloc(16);
  p.set([1, 2, 1]);
  p.writeUIntBE(radix, 3, 3);
  p.set([10, u % 256], 6);
  p.writeUInt32BE(n, 8);
  p.writeUInt32BE(tweak.length, 12);
  for (let i = 0; i < 10; i += 1) {
    const gap = (((-tweak.length - bytes - 1) % 16) + 16) % 16;
    const number = Buffer.from(
      numberOf(b, radix)
        .toString(16)
        .padStart(bytes * 2, '0'),
      'hex',
    );
    const q = Buffer.concat([tweak, Buffer.alloc(gap), Buffer.from([i]), number]);
    const r = cbcMac(key, Buffer.concat([p, q]));
    const s = [r];
    for (let j = 1; j * 16 < d; j += 1) {
      const counter = Buffer.alloc(16);
      counter.writeUInt32BE(j, 12);
      s.push(cbcMac(key, Buffer.from(r.map((byte, k) => byte ^ (counter[k] ?? 0)))));
    }
    const y = BigInt(`0x${Buffer.concat(s).subarray(0, d).toString('hex')}`);
    const m = i % 2 === 0 ? u : v;
    const c = (numberOf(a, radix) + y) % BigInt(radix) ** BigInt(m);
    a = b;
    b = numeralsOf(c, radix, m);
  }
  return [...a, ...b];
}

function cbcMac(key: Uint8Array, blocks: Buffer): Buffer {
  const cipher = createCipheriv(`aes-${key.length * 8}-cbc`, key, Buffer.alloc(16)).setAutoPadding(false);
  return Buffer.concat([cipher.update(blocks), cipher.final()]).subarray(-16);
}

function numberOf(numerals: readonly number[], radix: number): bigint {
  return numerals.reduce((number, numeral) => number * BigInt(radix) + BigInt(numeral), 0n);
}

function numeralsOf(number: bigint, radix: number, length: number): number[] {
  const numerals: number[] = [];
  for (let rest = number; numerals.length < length; rest /= BigInt(radix))
    numerals.unshift(Number(rest % BigInt(radix)));
  return numerals;
}
