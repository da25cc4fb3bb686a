import { isUtf8 } from 'node:buffer';
import { PipelineError } from '../errors.js';

/** The newest frame that this version writes and reads, and the oldest that it reads. */
const FRAME_VERSION = 5;
const OLDEST_VERSION = 1;

/** What a frame holds, as its second byte. */
export type FrameKind = 'batch' | 'masked';

const KIND_BYTE: { readonly [kind in FrameKind]: number } = { batch: 0x42, masked: 0x4d };

/** Version, kind and the length of the head. */
const PREFIX_BYTES = 6;

/** Nothing smaller can be a frame: the prefix and the head `[]`. */
export const MIN_FRAME_BYTES = PREFIX_BYTES + 2;

/** The error of everything malformed. `what` names the part; never a value, and no parser's text. */
export function corrupt(what: string): PipelineError {
  return new PipelineError('payload_corrupt', `a queued payload can't be read: ${what}`);
}

/** The error of what a newer maskline wrote. */
export function newer(version: number, known: number): PipelineError {
  const message = `a queued payload has version ${version}, and this maskline reads up to ${known}: finish the upgrade`;
  return new PipelineError('payload_newer', message);
}

/**
 * A frame: version u8, kind u8, length of the head u32be, the head as JSON, then `parts` as they are. The head says
 * how long each part is, so bodies are carried without being escaped or encoded. The version is the oldest that a reader
 * must know to make sense of the frame.
 */
export function writeFrame(
  kind: FrameKind,
  head: readonly unknown[],
  parts: readonly Buffer[],
  version = OLDEST_VERSION,
): Buffer {
  const json = Buffer.from(JSON.stringify(head), 'utf8');
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  prefix.writeUInt8(version, 0);
  prefix.writeUInt8(KIND_BYTE[kind], 1);
  prefix.writeUInt32BE(json.length, 2);
  return Buffer.concat([prefix, json, ...parts]);
}

/** The head of a frame, still to be validated, and its parts. Throws `payload_newer` and `payload_corrupt`. */
export function readFrame(kind: FrameKind, frame: Buffer): { readonly head: unknown; readonly parts: Parts } {
  if (frame.length < MIN_FRAME_BYTES) throw corrupt('the frame is too short');
  const version = frame.readUInt8(0);
  if (version > FRAME_VERSION) throw newer(version, FRAME_VERSION);
  if (version < OLDEST_VERSION) throw corrupt('the version of the frame');
  if (frame.readUInt8(1) !== KIND_BYTE[kind]) throw corrupt('the kind of the frame');
  const start = PREFIX_BYTES + frame.readUInt32BE(2);
  if (start > frame.length) throw corrupt('the length of the head');
  const json = frame.subarray(PREFIX_BYTES, start);
  if (!isUtf8(json)) throw corrupt('the head');
  return { head: parse(json), parts: new Parts(frame, start) };
}

function parse(json: Buffer): unknown {
  try {
    return JSON.parse(json.toString('utf8'));
  } catch {
    // Without the cause: JSON.parse quotes its input.
    throw corrupt('the head');
  }
}

/** Hands out the bytes behind a frame's head, part by part; `end` makes sure that none are left. */
export class Parts {
  readonly #frame: Buffer;
  #at: number;

  constructor(frame: Buffer, start: number) {
    this.#frame = frame;
    this.#at = start;
  }

  /** The next `length` bytes, not copied. */
  bytes(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#frame.length) throw corrupt('a part is longer than the frame');
    const part = this.#frame.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  /** The next `length` bytes as a string, in UTF-8 or, where that can't hold it, in UTF-16LE. */
  text(length: number, encoding: 'utf8' | 'utf16le'): string {
    const part = this.bytes(length);
    if (encoding === 'utf8' ? !isUtf8(part) : part.length % 2 !== 0) throw corrupt('the encoding of a body');
    return part.toString(encoding);
  }

  end(): void {
    if (this.#at !== this.#frame.length) throw corrupt('bytes left over');
  }
}

/** The value as a list, of exactly `length` items where that is given. */
export function list(value: unknown, field: string, length?: number): readonly unknown[] {
  if (!Array.isArray(value)) throw corrupt(field);
  if (length !== undefined && value.length !== length) throw corrupt(field);
  return value;
}

/** The value as a string. */
export function text(value: unknown, field: string): string {
  if (typeof value !== 'string') throw corrupt(field);
  return value;
}

/** The value as an integer from `min` to `max`. */
export function integer(value: unknown, field: string, min = 0, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw corrupt(field);
  if (value < min || value > max) throw corrupt(field);
  return value;
}

/** The value as one of the allowed ones. */
export function oneOf<const T>(value: unknown, allowed: readonly T[], field: string): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw corrupt(field);
  return found;
}
