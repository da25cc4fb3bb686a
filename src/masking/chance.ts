// What may be found in a batch by chance, and what may not: the rules of the leak gate.
//
// Chances are those of a batch of 1,000 rows with two masked columns, of random values, and with a random text of 32
// hexadecimal digits in a kept column of each row, which is the worst that is common.

/** In its own row: 8 base36 characters stand there by chance in one batch of 10^7. */
const TELLING_BYTES = 8;
/** 9 hexadecimal digits, or decimal ones, do in one batch of 10^6; 8 of them in one of 10^5. */
const TELLING_DIGITS = 9;
/** `00000000-0000-…`, `xxxxxxxx`: what has fewer different characters stands for no value. */
const TELLING_DIFFERENT = 4;
/** In any row, and within tokens: 16 hexadecimal digits stand there by chance in one batch of 10^8. */
export const DISTINCTIVE_BYTES = 16;
/** A kept column repeats a masked one if independent columns agreed as much in less than one batch of 10^12. */
const NATS_OF_SURPRISE = 27.6;

const digits = /^[0-9a-f]*$/i;
const time = /^\d{4}-\d\d-\d\d(?:[T ]|$)/;
const space = /\s/;
const digitOrAt = /[\d@]/;

/** Whether a value that stands in a kept cell of its own row does not stand there by chance. */
export function isTelling(text: string): boolean {
  if (text.length < TELLING_DIGITS) {
    const bytes = Buffer.byteLength(text, 'utf8');
    if (bytes < (digits.test(text) ? TELLING_DIGITS : TELLING_BYTES)) return false;
  }
  return hasDifferent(text);
}

/** Whether there are enough different characters; one that is not ASCII has several different bytes. */
function hasDifferent(text: string): boolean {
  let different = '';
  for (const character of text) {
    if (different.includes(character)) continue;
    different += character;
    if (different.length >= TELLING_DIFFERENT || character > '\x7f') return true;
  }
  return false;
}

/**
 * Whether a telling value is one's own, so that it has no business in another row either: an address, a number, an
 * id; not a name, a phrase or a time, which rows share for good reasons.
 */
export function isDistinctive(text: string): boolean {
  return text.length >= DISTINCTIVE_BYTES && digitOrAt.test(text) && !space.test(text) && !time.test(text);
}

/** A masked value and the kept one of the same row. */
export type Pair = readonly [masked: string, kept: string];

/**
 * Whether a kept column repeats a masked one: in more different values than columns that know nothing of each other
 * would agree in. Pairs are counted once each, so that a person with many rows, or a value that all rows share, is one
 * coincidence. By Chernoff's bound for the number of agreements under a random order of the kept values.
 */
export function isRepeated(pairs: Iterable<Pair>): boolean {
  const different = new Map<string, Pair>();
  for (const pair of pairs) different.set(pair.join('\t'), pair);
  const masked = new Map<string, number>();
  const kept = new Map<string, number>();
  let agreed = 0;
  for (const [a, b] of different.values()) {
    masked.set(a, (masked.get(a) ?? 0) + 1);
    kept.set(b, (kept.get(b) ?? 0) + 1);
    if (a === b) agreed += 1;
  }
  let expected = 0;
  for (const [value, count] of masked) expected += (count * (kept.get(value) ?? 0)) / different.size;
  if (agreed <= expected) return false;
  return agreed * Math.log(agreed / expected) - agreed + expected >= NATS_OF_SURPRISE;
}
