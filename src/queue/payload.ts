// What a frame holds, in both queues: the only coupling between processes, and a trust boundary when it is read.

import type {
  Batch,
  FurtherRows,
  InputRecord,
  MaskedBatch,
  MessageHead,
  RecordKey,
  Rejection,
} from '../batch.js';
import { asMasked } from '../masking/masked.js';
import { type FrameRows, countLines, readSeveral, writeSeveral } from './several.js';
import { readCode } from './rejection-code.js';
import { versionOfBatch, versionOfMasked } from './frame-version.js';
import { type Parts, corrupt, integer, list, oneOf, readFrame, text, writeFrame } from './frame.js';

/** Key ids go into seals as u32be. */
export const MAX_KID = 0xffff_ffff;

/** How one kind of batch becomes bytes and is read back. */
export interface Codec<T> {
  encode(batch: T): Buffer;
  /** Throws `payload_newer` or `payload_corrupt`; validates every field. */
  decode(frame: Buffer): T;
  /** In records. */
  count(batch: T): number;
}

/** The codec of the transform queue. */
export const batchCodec: Codec<Batch> = {
  encode: encodeBatch,
  decode: decodeBatch,
  count: (batch) => batch.records.length,
};

/** The codec of the load queue. */
export const maskedCodec: Codec<MaskedBatch> = {
  encode: encodeMasked,
  decode: decodeMasked,
  count: (batch) => batch.keys.length + batch.rejections.length,
};

/** Bits of a record's flags. */
const UTF16 = 1;
const BAD_ENVELOPE = 2;
const CRASHED_WORKER = 4;
const TOO_LARGE = 8;
const OBJECT_GONE = 16;
const NO_ROUTE = 32;

const REJECTED_BIT: { readonly [code in NonNullable<InputRecord['rejected']>]: number } = {
  bad_envelope: BAD_ENVELOPE,
  crashed_worker: CRASHED_WORKER,
  too_large: TOO_LARGE,
  object_gone: OBJECT_GONE,
  no_route: NO_ROUTE,
};

/** U+FFFD, which Node writes in place of what UTF-8 can't hold. */
const REPLACEMENT = Buffer.from('\ufffd');

/** The batch as a frame. A body that UTF-8 can't hold (lone surrogates) is carried in UTF-16. */
function encodeBatch(batch: Batch): Buffer {
  const bodies: Buffer[] = [];
  const records = batch.records.map((record) => {
    const utf8 = Buffer.from(record.body, 'utf8');
    const lossy = utf8.includes(REPLACEMENT);
    const body = lossy ? Buffer.from(record.body, 'utf16le') : utf8;
    bodies.push(body);
    const id = record.id === batch.messages[record.message]?.messageId ? null : record.id;
    const flags = (lossy ? UTF16 : 0) | (record.rejected === undefined ? 0 : REJECTED_BIT[record.rejected]);
    return [id, record.message, body.length, flags];
  });
  const messages = batch.messages.map((message) => [
    message.messageId,
    message.sentAt,
    message.receivedAt,
    message.attributes,
    message.groupId ?? null,
    message.sequenceNumber ?? null,
  ]);
  const head = [batch.batchId, batch.runId, batch.pipeline, messages, records];
  return writeFrame('batch', head, bodies, versionOfBatch(batch));
}

/** The batch in a frame. Throws `payload_newer` or `payload_corrupt`. */
function decodeBatch(frame: Buffer): Batch {
  const { head, parts } = readFrame('batch', frame);
  const [batchId, runId, pipeline, heads, items] = list(head, 'the batch', 5);
  const messages = list(heads, 'the messages').map(readMessage);
  const records = list(items, 'the records').map((item) => readRecord(item, messages, parts));
  parts.end();
  return {
    batchId: text(batchId, 'the batch id'),
    runId: text(runId, 'the run id'),
    pipeline: text(pipeline, 'the pipeline'),
    messages,
    records,
  };
}

function readMessage(value: unknown): MessageHead {
  const [messageId, sentAt, receivedAt, attributes, groupId, sequenceNumber] = list(value, 'a message', 6);
  return {
    messageId: text(messageId, 'a message id'),
    sentAt: integer(sentAt, 'a time of sending'),
    receivedAt: integer(receivedAt, 'a time of receipt'),
    attributes: readAttributes(attributes),
    ...(groupId === null ? {} : { groupId: text(groupId, 'a group id') }),
    ...(sequenceNumber === null ? {} : { sequenceNumber: text(sequenceNumber, 'a sequence number') }),
  };
}

/** The parsed object itself: copying it name by name would go wrong on an attribute called `__proto__`. */
function readAttributes(value: unknown): MessageHead['attributes'] {
  if (!isTexts(value)) throw corrupt('the attributes of a message');
  return value;
}

function isTexts(value: unknown): value is { readonly [name: string]: string } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return Object.values(value).every((item) => typeof item === 'string');
}

function readRecord(value: unknown, messages: readonly MessageHead[], parts: Parts): InputRecord {
  const [id, message, length, flags] = list(value, 'a record', 4);
  const index = integer(message, 'the message of a record', 0, messages.length - 1);
  const bits = integer(flags, 'the flags of a record');
  const body = parts.text(integer(length, 'the length of a body'), bits & UTF16 ? 'utf16le' : 'utf8');
  return {
    id: text(id ?? messages[index]?.messageId, 'a record id'),
    message: index,
    body,
    ...readReason(bits & ~UTF16),
  };
}

/** Why a body must not be read: one reason, or none. */
function readReason(bits: number): Pick<InputRecord, 'rejected'> {
  switch (bits) {
    case 0:
      return {};
    case BAD_ENVELOPE:
      return { rejected: 'bad_envelope' };
    case CRASHED_WORKER:
      return { rejected: 'crashed_worker' };
    case TOO_LARGE:
      return { rejected: 'too_large' };
    case OBJECT_GONE:
      return { rejected: 'object_gone' };
    case NO_ROUTE:
      return { rejected: 'no_route' };
    default:
      throw corrupt('the flags of a record');
  }
}

/** The masked batch as a frame. */
function encodeMasked(batch: MaskedBatch): Buffer {
  const rejections = batch.rejections.map((rejection) => [
    ...writeKey(rejection),
    rejection.quarantineId,
    rejection.code,
    rejection.path,
    rejection.kind,
    rejection.kid,
    rejection.held,
    rejection.sealed.length,
  ]);
  const head = [
    batch.batchId,
    batch.runId,
    batch.pipeline,
    batch.messages,
    batch.receivedAt,
    batch.policySha256,
    batch.kids,
    batch.columns,
    batch.keys.map(writeKey),
    batch.rows.length,
    rejections,
  ];
  const parts = [batch.rows, ...batch.rejections.map((rejection) => rejection.sealed)];
  if (batch.several !== undefined) {
    const several = writeSeveral(batch.several);
    const tables = batch.several.further.map(({ rows }) => rows);
    const all = [...head, batch.groups ?? null, several];
    return writeFrame('masked', all, [...parts, ...tables], versionOfMasked(batch));
  }
  const groups = batch.groups === undefined ? [] : [batch.groups];
  return writeFrame('masked', [...head, ...groups], parts, versionOfMasked(batch));
}

/** The masked batch in a frame: sealed after masking, hence masked. Throws `payload_newer` or `payload_corrupt`. */
function decodeMasked(frame: Buffer): MaskedBatch {
  const { head, parts } = readFrame('masked', frame);
  const fields = list(head, 'the batch');
  if (fields.length < MASKED_FIELDS || fields.length > MASKED_FIELDS + 2) throw corrupt('the batch');
  const [
    batchId,
    runId,
    pipeline,
    count,
    receivedAt,
    sha256,
    kids,
    columns,
    keys,
    length,
    rejections,
    groups,
    several,
  ] = fields;
  const messages = integer(count, 'the count of messages');
  const recordKeys = list(keys, 'the keys').map((key) => readKey(list(key, 'a key', KEY_FIELDS), messages));
  const rows = parts.bytes(integer(length, 'the length of the rows'));
  if (countLines(rows) !== recordKeys.length) throw corrupt('the count of rows');
  const rejected = list(rejections, 'the rejections').map((item) => readRejection(item, messages, parts));
  const tables = several === undefined ? null : readSeveral(several, recordKeys.length, parts);
  parts.end();
  return {
    batchId: text(batchId, 'the batch id'),
    runId: text(runId, 'the run id'),
    pipeline: text(pipeline, 'the pipeline'),
    messages,
    receivedAt: integer(receivedAt, 'the time of receipt'),
    policySha256: readSha256(sha256),
    kids: list(kids, 'the key ids').map((kid) => integer(kid, 'a key id', 1, MAX_KID)),
    columns: list(columns, 'the columns').map((column) => text(column, 'a column')),
    keys: recordKeys,
    rows: asMasked(rows),
    rejections: rejected,
    ...(groups === undefined || (groups === null && tables) ? {} : { groups: readGroups(groups, messages) }),
    ...(tables === null ? {} : { several: { ...tables, further: tables.further.map(asFurther) } }),
  };
}

function asFurther({ rows, ...rest }: FrameRows): FurtherRows {
  return { ...rest, rows: asMasked(rows) };
}

function readGroups(value: unknown, messages: number): readonly (number | null)[] {
  return list(value, 'the groups', messages).map((group) =>
    group === null ? null : integer(group, 'a group', 0, messages - 1),
  );
}

/** Of the head, without groups and further tables. */
const MASKED_FIELDS = 11;
const KEY_FIELDS = 4;
const REJECTION_FIELDS = KEY_FIELDS + 7;

/** Most records are one message: its id is then written once. */
function writeKey(key: RecordKey): readonly unknown[] {
  return [key.id, key.sentAt, key.messageId === key.id ? null : key.messageId, key.message];
}

function readKey([id, sentAt, messageId, message]: readonly unknown[], messages: number): RecordKey {
  const recordId = text(id, 'a record id');
  return {
    id: recordId,
    sentAt: integer(sentAt, 'a time of sending'),
    messageId: messageId === null ? recordId : text(messageId, 'a message id'),
    message: integer(message, 'the message of a record', 0, messages - 1),
  };
}

function readRejection(value: unknown, messages: number, parts: Parts): Rejection {
  const fields = list(value, 'a rejection', REJECTION_FIELDS);
  const [quarantineId, code, path, kind, kid, held, length] = fields.slice(KEY_FIELDS);
  return {
    ...readKey(fields, messages),
    quarantineId: text(quarantineId, 'a quarantine id'),
    code: readCode(code),
    path: path === null ? null : text(path, 'a path'),
    kind: oneOf(kind, ['raw', 'masked'], 'the kind of a rejection'),
    kid: integer(kid, 'a key id', 1, MAX_KID),
    held: oneOf(held, [true, false], 'whether a rejection is held'),
    sealed: parts.bytes(integer(length, 'the length of a sealed body')),
  };
}

function readSha256(value: unknown): string {
  const sha256 = text(value, 'the policy');
  if (!/^[0-9a-f]{64}$/.test(sha256)) throw corrupt('the policy');
  return sha256;
}
