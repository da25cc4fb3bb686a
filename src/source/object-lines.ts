// The text of objects: unpacked, and taken apart into lines, as it comes.

import { isUtf8 } from 'node:buffer';
import { Readable, pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { isZstd, loadZstd, unpackZstd } from './zstd.js';

/** So much of a line that is longer than may be is kept of it. */
const KEPT_OF_LONG_LINE_BYTES = 64 * 1024;
/** A zstd object is unpacked as a whole, for want of a decoder that could be fed: so much it may hold, packed or not. */
const MAX_ZSTD_BYTES = 32 * 1024 * 1024;
/** So many bytes tell how an object is packed. */
const MAGIC_BYTES = 4;
const NEWLINE = 0x0a;
const RETURN = 0x0d;

/** Why the rest of an object can't be had. */
export type Unreadable = 'object_gone' | 'bad_envelope' | 'too_large';

/** Thrown within the reading of an object, and turned into a rejection there. */
export class ObjectUnreadable extends Error {
  readonly reason: Unreadable;

  constructor(reason: Unreadable) {
    super(`an object can't be read: ${reason}`);
    this.name = 'ObjectUnreadable';
    this.reason = reason;
  }
}

/** A line that is a record, or that can't be one. */
export interface Line {
  readonly text: string;
  readonly rejected?: 'bad_envelope' | 'too_large';
}

/**
 * The bytes of an object, unpacked if they begin like gzip (RFC 1952) or zstd (RFC 8878), whatever its name or headers
 * say: nothing that is text begins so. Throws `ObjectUnreadable` for what is damaged or cut off, and what `packed` throws.
 */
export async function* unpacked(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const chunks = packed[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < MAGIC_BYTES) {
    const next = await chunks.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const whole = joined(head, chunks);
  if (isZstd(head)) yield* unzstd(whole);
  else if (head[0] === 0x1f && head[1] === 0x8b) yield* gunzipped(whole);
  else yield* whole;
}

async function* joined(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  try {
    if (head.length > 0) yield head;
    for (;;) {
      const next = await rest.next();
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    await rest.return?.();
  }
}

async function* gunzipped(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const gunzip = createGunzip();
  // Its callback is told what the loop below throws.
  pipeline(Readable.from(packed, { objectMode: false }), gunzip, () => undefined);
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    const isDamaged = error instanceof Error && String(Reflect.get(error, 'code')).startsWith('Z_');
    throw isDamaged ? new ObjectUnreadable('bad_envelope') : error;
  }
}

async function* unzstd(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const held = await atMost(packed, MAX_ZSTD_BYTES);
  if (held === null) throw new ObjectUnreadable('too_large');
  await loadZstd();
  const plain = unpackZstd(held, MAX_ZSTD_BYTES);
  if ('rejected' in plain) throw new ObjectUnreadable(plain.rejected);
  yield plain.bytes;
}

/** All bytes; null when there are more than `maxBytes`. */
export async function atMost(chunks: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer | null> {
  const held: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > maxBytes) return null;
    held.push(chunk);
  }
  return Buffer.concat(held);
}

/** The lines that are not blank, without their ends; one of more than `maxBytes` is rejected, with its beginning kept. */
export async function* linesOf(
  chunks: AsyncIterable<Buffer>,
  maxBytes: number,
): AsyncGenerator<Line, void, undefined> {
  let open: Buffer[] = [];
  let bytes = 0;
  const take = (part: Buffer): void => {
    bytes += part.length;
    // Of a line that is too long nothing more is held.
    if (bytes - part.length <= maxBytes) open.push(part);
  };
  const ended = (): Line | null => {
    const line = lineOf(Buffer.concat(open), bytes > maxBytes);
    open = [];
    bytes = 0;
    return line;
  };
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      take(chunk.subarray(from, end));
      from = end + 1;
      const line = ended();
      if (line !== null) yield line;
    }
    take(chunk.subarray(from));
  }
  const last = ended();
  if (last !== null) yield last;
}

/** Null for a blank line. */
function lineOf(bytes: Buffer, isTooLong: boolean): Line | null {
  if (isTooLong) {
    return { text: bytes.toString('utf8', 0, KEPT_OF_LONG_LINE_BYTES), rejected: 'too_large' };
  }
  const line = bytes.at(-1) === RETURN ? bytes.subarray(0, -1) : bytes;
  const text = line.toString('utf8');
  if (/^[ \t\r]*$/.test(text)) return null;
  return isUtf8(line) ? { text } : { text, rejected: 'bad_envelope' };
}
