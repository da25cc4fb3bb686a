/** Many byte strings end to end: value i is `bytes[ends[i - 1] .. ends[i])`. Masks take whole columns, not values. */
export interface Column {
  readonly bytes: Buffer;
  readonly ends: Uint32Array;
}

/** Bytes of an address in a column. */
export const IP_BYTES = 16;
/** ISO/IEC 7816-4: the byte that marks where padding begins; zeros follow. */
const PAD_MARK = 0x80;

/** The UTF-8 of each value. The values are well-formed, so joining them cannot pair surrogates anew. */
export function packText(values: readonly string[]): Column {
  const joined = values.join('');
  const bytes = Buffer.from(joined, 'utf8');
  // As many bytes as UTF-16 units: all ASCII, and lengths are byte lengths.
  const isAscii = bytes.length === joined.length;
  const ends = new Uint32Array(values.length);
  let end = 0;
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i] ?? '';
    end += isAscii ? value.length : Buffer.byteLength(value, 'utf8');
    ends[i] = end;
  }
  return { bytes, ends };
}

/** Byte strings as a column. */
export function packBytes(values: readonly Uint8Array[]): Column {
  const ends = new Uint32Array(values.length);
  let end = 0;
  for (const [i, value] of values.entries()) {
    end += value.length;
    ends[i] = end;
  }
  return { bytes: Buffer.concat(values), ends };
}

/** A column of values that are all `width` bytes long. */
export function fixedWidth(bytes: Buffer, width: number): Column {
  const ends = new Uint32Array(bytes.length / width);
  for (let i = 0; i < ends.length; i += 1) ends[i] = (i + 1) * width;
  return { bytes, ends };
}

/** Value i, as a view. */
export function valueAt(column: Column, i: number): Buffer {
  return column.bytes.subarray(i === 0 ? 0 : column.ends[i - 1], column.ends[i]);
}

/** Each value padded to a multiple of `block` bytes as ISO/IEC 7816-4 has it: at least one byte is added. */
export function padColumn(column: Column, block: number): Column {
  const ends = new Uint32Array(column.ends.length);
  let end = 0;
  let from = 0;
  for (let i = 0; i < ends.length; i += 1) {
    const to = column.ends[i] ?? from;
    end += (Math.floor((to - from) / block) + 1) * block;
    ends[i] = end;
    from = to;
  }
  const padded = { bytes: Buffer.alloc(end), ends };
  for (let i = 0; i < ends.length; i += 1) {
    const target = valueAt(padded, i);
    target[valueAt(column, i).copy(target)] = PAD_MARK;
  }
  return padded;
}

/** The value without its padding, or null when it is not padded to `block` as ISO/IEC 7816-4 has it. */
export function unpad(value: Buffer, block: number): Buffer | null {
  if (value.length === 0 || value.length % block !== 0) return null;
  let end = value.length - 1;
  while (end > 0 && value[end] === 0) end -= 1;
  return value[end] === PAD_MARK && value.length - end <= block ? value.subarray(0, end) : null;
}

/** `prefix` and the base64url (RFC 4648, unpadded) of each value, by one encoding of the whole column. */
export function base64UrlColumn(column: Column, prefix: string): string[] {
  const count = column.ends.length;
  // Zero bytes fill each value up to a multiple of three, so that its text is a slice of the whole column's text.
  const starts = new Uint32Array(count + 1);
  let from = 0;
  for (let i = 0; i < count; i += 1) {
    const to = column.ends[i] ?? from;
    starts[i + 1] = (starts[i] ?? 0) + Math.ceil((to - from) / 3) * 3;
    from = to;
  }
  const aligned = Buffer.alloc(starts[count] ?? 0);
  from = 0;
  for (let i = 0; i < count; i += 1) {
    const to = column.ends[i] ?? from;
    const start = starts[i] ?? 0;
    // Values are short: bytes one by one cost less than a call each.
    for (let k = 0; k < to - from; k += 1) aligned[start + k] = column.bytes[from + k] ?? 0;
    from = to;
  }
  const text = aligned.toString('base64url');
  const texts: string[] = [];
  from = 0;
  for (let i = 0; i < count; i += 1) {
    const to = column.ends[i] ?? from;
    const start = ((starts[i] ?? 0) / 3) * 4;
    texts.push(prefix + text.slice(start, start + Math.ceil(((to - from) * 4) / 3)));
    from = to;
  }
  return texts;
}
