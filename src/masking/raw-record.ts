import { isUtf8 } from 'node:buffer';

import { PipelineError } from '../errors.js';

/**
 * All of a rejected record that its row in the quarantine does not hold anyway, so that a replay makes of it what
 * would have become of the message: columns may take any of it.
 */
export interface RawRecord {
  /** JSON text as it came; may hold lone surrogates. */
  readonly body: string;
  /** The body is the whole message's, since it could not be opened: its envelope is broken, or it holds too much. */
  readonly badEnvelope: boolean;
  /** Epoch milliseconds. */
  readonly receivedAt: number;
  readonly groupId?: string;
  readonly sequenceNumber?: string;
  readonly attributes: Readonly<{ [name: string]: string }>;
}

/** `R`: sealed bytes of another kind are no raw record, whatever their row says of them. */
const KIND = 0x52;
/** The newest form that this version writes and reads. */
const VERSION = 1;
/** Kind, version, flags and the length of the head. */
const PREFIX_BYTES = 7;
/** Bits of the flags. */
const UTF16 = 1;
const BAD_ENVELOPE = 2;

/** U+FFFD, which Node writes in place of what UTF-8 can't hold. */
const REPLACEMENT = Buffer.from('\ufffd');

/**
 * The record as bytes: kind u8, version u8, flags u8, length of the head u32be, the head as JSON
 * (`[receivedAt, attributes, groupId, sequenceNumber]`), then the body as it came, in UTF-8, or in UTF-16LE where
 * that can't hold it.
 */
export function writeRawRecord(record: RawRecord): Buffer {
  const { body, receivedAt, attributes, groupId = null, sequenceNumber = null } = record;
  const head = Buffer.from(JSON.stringify([receivedAt, attributes, groupId, sequenceNumber]), 'utf8');
  const utf8 = Buffer.from(body, 'utf8');
  const isLossy = utf8.includes(REPLACEMENT);
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  prefix.writeUInt8(KIND, 0);
  prefix.writeUInt8(VERSION, 1);
  prefix.writeUInt8((isLossy ? UTF16 : 0) | (record.badEnvelope ? BAD_ENVELOPE : 0), 2);
  prefix.writeUInt32BE(head.length, 3);
  return Buffer.concat([prefix, head, isLossy ? Buffer.from(body, 'utf16le') : utf8]);
}

/** The record of those bytes; `id` names its entry in errors. Throws `payload_newer` or `payload_corrupt`. */
export function readRawRecord(id: string, bytes: Buffer): RawRecord {
  checkKind(id, bytes, KIND, VERSION);
  if (bytes.length < PREFIX_BYTES) throw unreadable(id, 'it is too short');
  const flags = bytes.readUInt8(2);
  const bodyStart = PREFIX_BYTES + bytes.readUInt32BE(3);
  if (flags > (UTF16 | BAD_ENVELOPE) || bodyStart > bytes.length) throw unreadable(id, 'its prefix');
  const head = readHead(id, bytes.subarray(PREFIX_BYTES, bodyStart));
  const body = bytes.subarray(bodyStart);
  const isUtf16 = (flags & UTF16) !== 0;
  if (isUtf16 ? body.length % 2 !== 0 : !isUtf8(body)) throw unreadable(id, 'the encoding of its body');
  return {
    ...head,
    body: body.toString(isUtf16 ? 'utf16le' : 'utf8'),
    badEnvelope: (flags & BAD_ENVELOPE) !== 0,
  };
}

/** Throws unless the bytes begin with that kind and a version that this maskline reads. */
export function checkKind(id: string, bytes: Buffer, kind: number, version: number): void {
  if (bytes[0] !== kind) throw unreadable(id, 'it holds something else than its row says');
  const found = bytes[1] ?? 0;
  if (found > version) {
    throw new PipelineError(
      'payload_newer',
      `quarantine entry ${id} has version ${String(found)}, and this maskline reads up to ${String(version)}: finish the upgrade`,
    );
  }
  if (found !== version) throw unreadable(id, 'its version');
}

/** The error of a malformed entry; `what` names the part and quotes nothing of it. */
export function unreadable(id: string, what: string): PipelineError {
  return new PipelineError('payload_corrupt', `quarantine entry ${id} can't be read: ${what}`);
}

function readHead(id: string, json: Buffer): Omit<RawRecord, 'body' | 'badEnvelope'> {
  const head = parse(json);
  if (!Array.isArray(head) || head.length !== 4) throw unreadable(id, 'its head');
  const [receivedAt, attributes, groupId, sequenceNumber] = head as readonly unknown[];
  // A date that JavaScript can't hold could not be printed.
  if (typeof receivedAt !== 'number' || Number.isNaN(new Date(receivedAt).getTime()))
    throw unreadable(id, 'the time of its receipt');
  if (!isTexts(attributes)) throw unreadable(id, 'its attributes');
  if (!isTextOrNull(groupId) || !isTextOrNull(sequenceNumber)) throw unreadable(id, 'its group');
  return {
    receivedAt,
    // The parsed object itself: copying it name by name would go wrong on an attribute called `__proto__`.
    attributes,
    ...(groupId === null ? {} : { groupId }),
    ...(sequenceNumber === null ? {} : { sequenceNumber }),
  };
}

function parse(json: Buffer): unknown {
  try {
    return JSON.parse(json.toString('utf8'));
  } catch {
    // What the parser says quotes its input.
    return null;
  }
}

function isTexts(value: unknown): value is RawRecord['attributes'] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((item) => typeof item === 'string');
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string';
}
