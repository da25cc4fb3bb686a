import { PipelineError } from '../errors.js';

const MAX_FRAMED_BYTES = 0xffff;

/** The prefix of every key derivation and every SIV context: the name, a zero byte and version 1 of the scheme. */
export const schemePrefix: Readonly<Buffer> = Buffer.from('maskline\0\u0001', 'latin1');

/** `u16be(byteLength) || UTF-8`: framed so that no two lists of texts join to the same bytes. */
export function lp(text: string): Buffer {
  const length = Buffer.byteLength(text, 'utf8');
  if (length > MAX_FRAMED_BYTES) {
    throw new PipelineError('config_invalid', `a name of ${String(length)} bytes is too long: at most 65535`);
  }
  const framed = Buffer.allocUnsafe(2 + length);
  framed.writeUInt16BE(length, 0);
  framed.write(text, 2, 'utf8');
  return framed;
}

/** Four bytes, big-endian. */
export function u32be(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}
