import { isUtf8 } from 'node:buffer';
import { gunzipSync, inflateRawSync, inflateSync } from 'node:zlib';
import { isZstd, unpackZstd } from './zstd.js';

/** What a body's text stands for; all but `none` are base64 of it, since SQS carries text only. */
export type EncodingMode = 'auto' | 'none' | 'base64' | 'gzip' | 'deflate' | 'zstd';

/** The text; or why there is none. */
export type Decoded = { readonly text: string } | { readonly rejected: 'bad_envelope' | 'too_large' };

/** How bytes are compressed, `plain` being not at all. */
type Compression = 'plain' | 'gzip' | 'deflate' | 'zstd';

/** Standard or URL-safe, padded or not; some encoders break lines. */
const BASE64 = /^[A-Za-z0-9+/_-]+={0,2}$/;
const WHITE_SPACE = /[ \t\r\n]+/g;
/** So many characters tell what is in base64: they are three bytes. */
const HEAD_CHARACTERS = 4;
/** Larger pieces than zlib's own, since what is unpacked is mostly larger than those. */
const CHUNK_BYTES = 64 * 1024;

/**
 * The text that a body stands for, at most `maxBytes` of it: more is `too_large`, whatever the body claims, and is never
 * held. A body that is not what the mode names, or is cut off, or is no UTF-8, is `bad_envelope`. `auto` decodes base64
 * that begins like gzip (RFC 1952), zlib (RFC 1950), Zstandard (RFC 8878) or a JSON object or array, and leaves all
 * else as it is.
 */
export function decode(body: string, mode: EncodingMode, maxBytes: number): Decoded {
  if (mode === 'none') return { text: body };
  const start = body.search(/[^ \t\r\n]/);
  if (mode === 'auto' && (start === -1 || !mayBeEncoded(body, start))) return { text: body };
  const base64 = body.replace(WHITE_SPACE, '');
  if (!BASE64.test(base64)) return mode === 'auto' ? { text: body } : { rejected: 'bad_envelope' };
  const bytes = Buffer.from(base64, 'base64');
  if (mode !== 'auto') return unpacked(bytes, mode === 'base64' ? 'plain' : mode, maxBytes);
  const compression = compressionOf(bytes);
  const isClaimed = compression !== null && (compression !== 'plain' || isUtf8(bytes));
  return isClaimed ? unpacked(bytes, compression, maxBytes) : { text: body };
}

/** Without a look at all of a body, which most often is JSON. */
function mayBeEncoded(body: string, start: number): boolean {
  const head = body.slice(start, start + HEAD_CHARACTERS);
  return BASE64.test(head) && compressionOf(Buffer.from(head, 'base64')) !== null;
}

/** By the first bytes; null when they are of none of these. */
function compressionOf(bytes: Buffer): Compression | null {
  const [first = 0, second = 0, third = 0] = bytes;
  if (first === 0x1f && second === 0x8b && third === 8) return 'gzip';
  if (isZlib(bytes)) return 'deflate';
  if (isZstd(bytes)) return 'zstd';
  return first === 0x7b || first === 0x5b ? 'plain' : null;
}

/** A window of 32 KiB, which every encoder takes, and a header that is a multiple of 31. */
function isZlib([first = 0, second = 0]: Buffer): boolean {
  return first === 0x78 && (first * 256 + second) % 31 === 0;
}

function unpacked(bytes: Buffer, compression: Compression, maxBytes: number): Decoded {
  if (compression === 'plain') return asText(bytes);
  if (compression === 'zstd') {
    const result = unpackZstd(bytes, maxBytes);
    return 'rejected' in result ? result : asText(result.bytes);
  }
  try {
    return asText(inflated(bytes, compression, maxBytes));
  } catch (error) {
    const isTooLarge = error instanceof Error && Reflect.get(error, 'code') === 'ERR_BUFFER_TOO_LARGE';
    return { rejected: isTooLarge ? 'too_large' : 'bad_envelope' };
  }
}

function asText(bytes: Buffer): Decoded {
  return isUtf8(bytes) ? { text: bytes.toString('utf8') } : { rejected: 'bad_envelope' };
}

/** What calls itself deflate comes with zlib's header, or without. */
function inflated(bytes: Buffer, compression: 'gzip' | 'deflate', maxBytes: number): Buffer {
  const options = { maxOutputLength: maxBytes, chunkSize: CHUNK_BYTES };
  if (compression === 'gzip') return gunzipSync(bytes, options);
  return isZlib(bytes) ? inflateSync(bytes, options) : inflateRawSync(bytes, options);
}
