import type { ZSTDDecoder } from 'zstddec';
import { PipelineError } from '../errors.js';

/** The reference decoder as WebAssembly: Node has its own from 22.15 on only. */
let decoder: ZSTDDecoder | null = null;

/** RFC 8878, sections 3.1.1 and 3.1.2. */
const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const SKIPPABLE_MASK = 0xfffffff0;
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;
/** A block of one repeated byte. */
const RLE_BLOCK = 1;

/** The bytes, at most `maxBytes` of them, whatever the frames claim; or why there are none. */
export type Unpacked = { readonly bytes: Buffer } | { readonly rejected: 'bad_envelope' | 'too_large' };

/** Makes the decoder ready, once for the process: messages are opened without waiting. Takes some 50 ms. */
export async function loadZstd(): Promise<void> {
  if (decoder !== null) return;
  const loaded = new (await import('zstddec')).ZSTDDecoder();
  await loaded.init();
  decoder = loaded;
}

/** Decompresses frames of Zstandard (RFC 8878). What is cut off, altered under a checksum, or no frame is `bad_envelope`. Needs `loadZstd`. */
export function unpackZstd(packed: Buffer, maxBytes: number): Unpacked {
  if (decoder === null) throw new PipelineError('unexpected', 'the decoder of zstd is not loaded');
  const declared = declaredBytes(packed);
  if (declared === null) return { rejected: 'bad_envelope' };
  if (declared !== 'unknown' && declared > maxBytes) return { rejected: 'too_large' };
  if (declared === 0) return { bytes: Buffer.alloc(0) };
  // The decoder never writes more than it is given room for; its errors come as no bytes.
  const bytes = Buffer.from(decoder.decode(packed, maxBytes));
  if (bytes.length > 0) return { bytes };
  // Whole frames that don't say how much they are: most likely too much.
  return { rejected: declared === 'unknown' ? 'too_large' : 'bad_envelope' };
}

/** Whether the bytes begin a frame. */
export function isZstd(bytes: Buffer): boolean {
  return bytes.length >= 3 && bytes.readUIntLE(0, 3) === (FRAME_MAGIC & 0xffffff);
}

/** The sum of what the frames say that they hold; null when they are no whole frames. */
function declaredBytes(packed: Buffer): number | 'unknown' | null {
  let sum: number | 'unknown' = 0;
  try {
    for (let at = 0; at < packed.length;) {
      const magic = packed.readUInt32LE(at);
      if ((magic & SKIPPABLE_MASK) >>> 0 === SKIPPABLE_MAGIC) {
        at += 8 + packed.readUInt32LE(at + 4);
        if (at > packed.length) return null;
        continue;
      }
      if (magic !== FRAME_MAGIC) return null;
      const frame = readFrame(packed, at);
      at = frame.end;
      sum = sum === 'unknown' || frame.bytes === 'unknown' ? 'unknown' : sum + frame.bytes;
    }
  } catch (error) {
    // A read beyond the end.
    if (error instanceof RangeError) return null;
    throw error;
  }
  return sum;
}

/** Where a frame ends, and what it says that it holds. Throws a RangeError when it is cut off. */
function readFrame(
  packed: Buffer,
  start: number,
): { readonly end: number; readonly bytes: number | 'unknown' } {
  const flags = packed.readUInt8(start + 4);
  const isSingle = (flags & 0x20) !== 0;
  const sizeAt = start + 5 + (isSingle ? 0 : 1) + (DICTIONARY_BYTES[flags & 3] ?? 0);
  const sizeBytes = flags >> 6 === 0 ? Number(isSingle) : 1 << (flags >> 6);
  const bytes = declaredSize(packed, sizeAt, sizeBytes);
  let at = sizeAt + sizeBytes;
  for (let isLast = false; !isLast;) {
    const header = packed.readUIntLE(at, BLOCK_HEADER_BYTES);
    isLast = (header & 1) === 1;
    at += BLOCK_HEADER_BYTES + (((header >> 1) & 3) === RLE_BLOCK ? 1 : header >> 3);
  }
  const end = at + ((flags & 4) === 0 ? 0 : CHECKSUM_BYTES);
  if (end > packed.length) throw new RangeError('the frame is cut off');
  return { end, bytes };
}

function declaredSize(packed: Buffer, at: number, sizeBytes: number): number | 'unknown' {
  switch (sizeBytes) {
    case 0:
      return 'unknown';
    case 1:
      return packed.readUInt8(at);
    case 2:
      return packed.readUInt16LE(at) + 256;
    case 4:
      return packed.readUInt32LE(at);
    default:
      return Number(packed.readBigUInt64LE(at));
  }
}
