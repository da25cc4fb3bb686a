// The spellings under which a raw value may stand in what leaves `transform`.

import { encodeField } from '../copy-text.js';
import { canonicalText } from './canonical.js';
import { type Column, IP_BYTES, packText } from './column.js';
import { FormSearch, MIN_FORM_BYTES } from './form-search.js';
import { formatIp, writeIp } from './ip.js';

/** What a search is for, by the number of the form. */
export interface RawForms {
  readonly search: FormSearch;
  /** The number of the value that each form is one of. */
  readonly values: readonly number[];
  /** Whether the form is base64 or hexadecimal. */
  readonly encoded: readonly boolean[];
}

const plain = /^[\w.~-]*$/;
const ascii = /^[\0-\x7f]*$/;
const beyondAscii = /[^\0-\x7f]/g;
/** Bytes of a base64 group, and its characters. */
const GROUP_BYTES = 3;
const GROUP_CHARACTERS = 4;

/**
 * The forms of each value that is `wanted`: as it was sent, in its canonical form (addresses too), in lower and upper
 * case, each as text of COPY, within JSON text, and with URL escapes; and what was sent, in hexadecimal and in base64
 * at each of the three offsets that text before it can cause.
 */
export function rawForms(texts: readonly string[], wanted: readonly boolean[]): RawForms {
  const numbers = [...wanted.keys()].filter((number) => wanted[number] === true);
  const search = new FormSearch();
  const values: number[] = [];
  const encoded: boolean[] = [];
  const adder =
    (of: readonly number[], isEncoded: boolean) =>
    (i: number, bytes: Buffer, from: number, to: number): void => {
      if (to - from < MIN_FORM_BYTES) return;
      search.add(bytes, from, to);
      values.push(of[i] ?? 0);
      encoded.push(isEncoded);
    };
  const written: string[] = [];
  const writtenOf: number[] = [];
  for (const number of numbers) {
    for (const spelling of spellings(texts[number] ?? '')) {
      written.push(spelling);
      writtenOf.push(number);
    }
  }
  addEach(packText(written), 1, adder(writtenOf, false));
  const column = packText(numbers.map((number) => texts[number] ?? ''));
  const add = adder(numbers, true);
  addEach({ ...column, bytes: Buffer.from(column.bytes.toString('hex'), 'latin1') }, 2, add);
  for (let offset = 0; offset < GROUP_BYTES; offset += 1) addBase64(column, offset, add);
  return { search, values, encoded };
}

/** Adds the form of value i of a column: it is in `[from, to)` of the bytes. */
type AddForm = (i: number, bytes: Buffer, from: number, to: number) => void;

/** The values themselves, or another writing of them with `width` characters for a byte. */
function addEach({ bytes, ends }: Column, width: number, add: AddForm): void {
  let from = 0;
  for (const [i, to] of ends.entries()) {
    add(i, bytes, from * width, to * width);
    from = to;
  }
}

function spellings(text: string): Iterable<string> {
  if (plain.test(text)) return [text];
  const all = new Set<string>();
  // Case that is not ASCII's is not folded by the search.
  const cases = ascii.test(text) ? [] : [text.toLowerCase(), text.toUpperCase()];
  for (const one of [text, canonical(text), ...cases]) {
    all.add(encodeField(one));
    const json = JSON.stringify(one).slice(1, -1);
    all.add(encodeField(json));
    if (!ascii.test(json)) all.add(encodeField(json.replace(beyondAscii, escaped)));
    const url = encodeURIComponent(one);
    all.add(url);
    all.add(url.replaceAll('%20', '+'));
  }
  return all;
}

/** What a mask makes of it: an address as RFC 5952 has it, other text in NFC. */
function canonical(text: string): string {
  const bytes = Buffer.alloc(IP_BYTES);
  if (text.includes(':') && writeIp(text, bytes, 0)) return formatIp(bytes);
  return canonicalText(text, false) ?? text;
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Of each value's base64 the characters that depend on nothing before or after it, by one encoding of them all. */
function addBase64({ bytes, ends }: Column, offset: number, add: AddForm): void {
  const aligned = Buffer.alloc(bytes.length + ends.length * (offset + GROUP_BYTES));
  const starts: number[] = [];
  let start = 0;
  let from = 0;
  for (const to of ends) {
    starts.push(start);
    // Values are short: bytes one by one cost less than a call each.
    for (let at = from; at < to; at += 1) aligned[start + offset + at - from] = bytes[at] ?? 0;
    start += Math.ceil((offset + to - from) / GROUP_BYTES) * GROUP_BYTES;
    from = to;
  }
  const text = Buffer.from(aligned.toString('base64url', 0, start), 'latin1');
  from = 0;
  for (const [i, to] of ends.entries()) {
    const group = ((starts[i] ?? 0) / GROUP_BYTES) * GROUP_CHARACTERS;
    const end = offset + to - from;
    add(i, text, group + Math.ceil((offset * 8) / 6), group + Math.floor((end * 8) / 6));
    from = to;
  }
}
