// The plaintext key in an answer of AWS KMS, taken out as bytes. The SDK would make a text of the whole answer first, and
// texts stay in the heap for as long as they like.

import { type KeyObject, createSecretKey } from 'node:crypto';
import { Readable } from 'node:stream';

import { isObject } from './keyring-file.js';

const MEMBER = Buffer.from('"Plaintext"', 'latin1');
const QUOTE = 0x22;
const ZERO = 0x41;
const PADDING = 0x3d;
const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1');
/** An answer has a key, its encrypted form and an ARN; what is much longer is none. */
const MAX_ANSWER_BYTES = 64 * 1024;

/**
 * Takes the key out of an HTTP answer of the SDK and leaves zeros in its place; null when there is none in it. The body
 * is replaced by one that can be read again.
 */
export async function takePlaintext(response: unknown): Promise<KeyObject | null> {
  if (!isResponse(response)) return null;
  const body = await collect(response.body);
  response.body = Readable.from([body]);
  const member = body.indexOf(MEMBER);
  const from = member === -1 ? -1 : body.indexOf(QUOTE, member + MEMBER.length) + 1;
  const to = from > 0 ? body.indexOf(QUOTE, from) : -1;
  if (to === -1) return null;
  const text = body.subarray(from, to);
  const bytes = decodeBase64(text);
  text.fill(ZERO);
  if (bytes === null || bytes.length === 0) return null;
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}

interface Response {
  body: Readable;
}

function isResponse(value: unknown): value is Response {
  return isObject(value) && value['body'] instanceof Readable;
}

/** Each piece is wiped once it is copied. */
async function collect(stream: Readable): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of stream) {
    if (!Buffer.isBuffer(piece)) continue;
    length += piece.length;
    if (length > MAX_ANSWER_BYTES) throw new RangeError('too long for an answer of KMS');
    pieces.push(piece);
  }
  const body = Buffer.concat(pieces);
  for (const piece of pieces) piece.fill(0);
  return body;
}

/** RFC 4648, section 4, without a string in between; null for what is none. */
function decodeBase64(text: Buffer): Buffer | null {
  let end = text.length;
  while (end > 0 && text[end - 1] === PADDING) end -= 1;
  const bytes = Buffer.alloc(Math.floor((end * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < end; i += 1) {
    const digit = ALPHABET.indexOf(text[i] ?? 0);
    if (digit === -1) return null;
    held = ((held << 6) | digit) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at] = (held >> bits) & 0xff;
      at += 1;
    }
  }
  return bytes;
}
