import type { InputRecord } from '../batch.js';
import { type EncodingMode, decode } from './encoding.js';
import { eventDetail, snsNotification } from './envelopes.js';
import { type RecordsMode, split } from './splitting.js';
import { type Pointed, createdObjects, payloadPointer } from './pointing.js';
import { loadZstd } from './zstd.js';

/** What to make of messages that another service has wrapped. */
export type EnvelopeMode = 'auto' | 'none' | 'sns' | 'eventbridge' | 's3';

/** How the records of a message are come by, and how much a message may be. */
export interface Opening {
  readonly envelope: EnvelopeMode;
  readonly encoding: EncodingMode;
  readonly records: RecordsMode;
  /** Of one message: they stay in one batch, since the message has one fate. */
  readonly maxRecords: number;
  /** What an encoded body may become, in bytes. */
  readonly maxUnpackedBytes: number;
  /** Where messages may point to; absent: such messages are like any others. */
  readonly buckets?: readonly string[];
}

/** What a message points to: objects that hold its records, or its body, and how that is to be opened. */
export type Points =
  | Extract<Pointed, { kind: 'objects' }>
  | (Extract<Pointed, { kind: 'payload' }> & { readonly opening: Opening });

/** Makes ready what `openMessage` may need, which doesn't wait. */
export async function prepareOpening(
  { encoding }: Pick<Opening, 'encoding'> = { encoding: 'auto' },
): Promise<void> {
  if (encoding === 'auto' || encoding === 'zstd') await loadZstd();
}

/** A record, before its message has a place in a batch. */
export type LooseRecord = Omit<InputRecord, 'message'>;

/** What a message holds. */
export interface OpenedMessage {
  /** None for a message that holds an empty list. */
  readonly records: readonly LooseRecord[];
  /** Message attributes that an envelope carries. */
  readonly attributes: Readonly<{ [name: string]: string }>;
  /** Size of the body as it came, or unpacked, whichever is more. */
  readonly bytes: number;
  /** Then it holds no records itself. */
  readonly points?: Points;
}

/** The text within, or why it can't be read. */
type Inner =
  | { readonly text: string; readonly attributes: OpenedMessage['attributes'] }
  | { readonly points: Points; readonly attributes: OpenedMessage['attributes'] }
  | { readonly rejected: 'bad_envelope' | 'too_large' };

/** Of most messages: one for all of them, told by its identity. */
export const NO_ATTRIBUTES: OpenedMessage['attributes'] = {};

/**
 * The records of a message. The id of one alone is the message id, that of several `messageId#index`. A message that
 * can't be opened as the settings say is one record with the body as it came, rejected: `bad_envelope`, or `too_large`
 * beyond the limits. Needs `prepareOpening`.
 */
export function openMessage(messageId: string, body: string, opening: Opening): OpenedMessage {
  const inner = innerText(body, opening);
  const bytes = Buffer.byteLength(body);
  if ('rejected' in inner) return unopened(messageId, body, bytes, inner.rejected);
  if ('points' in inner) return { records: [], bytes, ...inner };
  const pieces = split(inner.text, opening.records, opening.maxRecords);
  if ('rejected' in pieces) return unopened(messageId, body, bytes, pieces.rejected);
  const { texts } = pieces;
  return {
    records: texts.map((text, index) => ({
      id: texts.length === 1 ? messageId : `${messageId}#${index}`,
      body: text,
    })),
    attributes: inner.attributes,
    bytes: inner.text === body ? bytes : Math.max(bytes, Buffer.byteLength(inner.text)),
  };
}

function unopened(
  id: string,
  body: string,
  bytes: number,
  rejected: 'bad_envelope' | 'too_large',
): OpenedMessage {
  return { records: [{ id, body, rejected }], attributes: NO_ATTRIBUTES, bytes };
}

/**
 * What is wrapped or encoded. Encodings are looked for around an SNS notification and in it, once each; a named one is
 * that of the innermost text. `auto` opens what surely is an envelope, also an EventBridge event that came through SNS,
 * and leaves everything else as it is.
 */
function innerText(body: string, opening: Opening): Inner {
  const { envelope, encoding, maxUnpackedBytes } = opening;
  const outer = encoding === 'auto' ? decode(body, 'auto', maxUnpackedBytes) : { text: body };
  if ('rejected' in outer) return outer;
  const mayBeSns = envelope === 'auto' || envelope === 'sns' || envelope === 's3';
  const notification = mayBeSns ? snsNotification(outer.text) : null;
  if (envelope === 'sns' && notification === null) return { rejected: 'bad_envelope' };
  const attributes = notification?.attributes ?? NO_ATTRIBUTES;
  const points = pointsOf(notification?.message ?? outer.text, opening, notification !== null);
  if (points !== null) return 'rejected' in points ? points : { points, attributes };
  if (envelope === 's3') return { rejected: 'bad_envelope' };
  const isDecoded = encoding === 'auto' && notification === null;
  const inner = isDecoded ? outer : decode(notification?.message ?? outer.text, encoding, maxUnpackedBytes);
  if ('rejected' in inner) return inner;
  if (envelope === 'none' || envelope === 'sns') return { text: inner.text, attributes };
  const detail = eventDetail(inner.text);
  if (envelope === 'eventbridge' && detail === null) return { rejected: 'bad_envelope' };
  return { text: detail ?? inner.text, attributes };
}

/** Null when the text points to nothing, or nothing is to be followed; a bucket that is not named is not read. */
function pointsOf(
  text: string,
  whole: Opening,
  isNotified: boolean,
): Points | { readonly rejected: 'bad_envelope' } | null {
  if (whole.buckets === undefined) return null;
  const { buckets, ...opening } = whole;
  const { envelope } = opening;
  if (envelope === 'none') return null;
  const payload = payloadPointer(text);
  const objects = envelope === 'auto' || envelope === 's3' ? createdObjects(text) : null;
  const places = payload === null ? objects : [payload];
  if (places === null) return null;
  if (!places.every(({ bucket }) => buckets.includes(bucket))) return { rejected: 'bad_envelope' };
  if (payload === null) return { kind: 'objects', objects: places };
  // The payload is what was sent: to the topic, or to the queue. It is never a pointer itself.
  const rest = envelope === 's3' ? 'auto' : envelope;
  const own = isNotified && rest === 'sns' ? 'none' : rest;
  return { kind: 'payload', payload, opening: { ...opening, envelope: own } };
}
