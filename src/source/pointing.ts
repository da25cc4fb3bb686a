// Messages that only point to S3: event notifications, and what the Extended Client Library leaves of large messages.

import { parsedOrNull } from './json-text.js';
import type { ObjectPlace } from './object-store.js';

/** What a message points to: objects that hold its records, or one that is the body itself. */
export type Pointed =
  | { readonly kind: 'objects'; readonly objects: readonly ObjectPlace[] }
  | { readonly kind: 'payload'; readonly payload: ObjectPlace };

/** By the libraries' versions from 2.0 on, and before. */
const PAYLOAD_CLASSES = new Set([
  'software.amazon.payloadoffloading.PayloadS3Pointer',
  'com.amazon.sqs.javamessaging.MessageS3Pointer',
]);

/** The pointer of the Amazon SQS (or SNS) Extended Client Library for Java and Python; null for any other text. */
export function payloadPointer(text: string): ObjectPlace | null {
  // Most texts are no pointers: a search costs a fraction of a parse.
  if (!text.includes('S3Pointer"') || !text.includes('"s3BucketName"')) return null;
  const value = parsedOrNull(text);
  if (!Array.isArray(value) || value.length !== 2) return null;
  const [name, place] = value as readonly unknown[];
  if (typeof name !== 'string' || !PAYLOAD_CLASSES.has(name)) return null;
  const bucket = textAt(place, 's3BucketName');
  const key = textAt(place, 's3Key');
  return bucket === null || key === null ? null : { bucket, key, versionId: null, eTag: null };
}

/**
 * The objects that an event of S3 tells of: a notification ("Event message structure", Amazon S3 User Guide), also the
 * one that S3 sends to try out a queue, or an EventBridge event. None for events that are not of new objects; null for any
 * other text.
 */
export function createdObjects(text: string): readonly ObjectPlace[] | null {
  if (text.includes('"aws.s3"')) return eventBridgeObjects(parsedOrNull(text));
  if (text.includes('"s3:TestEvent"')) return isTestEvent(parsedOrNull(text)) ? [] : null;
  if (!text.includes('"aws:s3"') || !text.includes('"Records"')) return null;
  const records = memberOf(parsedOrNull(text), 'Records');
  if (!Array.isArray(records) || records.length === 0) return null;
  const objects: ObjectPlace[] = [];
  for (const record of records as readonly unknown[]) {
    const place = notifiedObject(record);
    if (place === null) return null;
    if (textAt(record, 'eventName')?.startsWith('ObjectCreated:') === true) objects.push(place);
  }
  return objects;
}

/** Its key is encoded as in a form: `+` is a space, and `%XX` bytes of UTF-8. */
function notifiedObject(record: unknown): ObjectPlace | null {
  if (textAt(record, 'eventSource') !== 'aws:s3') return null;
  const s3 = memberOf(record, 's3');
  const object = memberOf(s3, 'object');
  const bucket = textAt(memberOf(s3, 'bucket'), 'name');
  const key = decodedKey(textAt(object, 'key'));
  if (bucket === null || key === null) return null;
  return { bucket, key, versionId: textAt(object, 'versionId'), eTag: textAt(object, 'eTag') };
}

function decodedKey(key: string | null): string | null {
  try {
    return key === null ? null : decodeURIComponent(key.replaceAll('+', ' '));
  } catch {
    return null;
  }
}

/** Its key is as it is ("Amazon S3 event message structure" for EventBridge). */
function eventBridgeObjects(event: unknown): readonly ObjectPlace[] | null {
  if (textAt(event, 'source') !== 'aws.s3') return null;
  const detail = memberOf(event, 'detail');
  const object = memberOf(detail, 'object');
  const bucket = textAt(memberOf(detail, 'bucket'), 'name');
  const key = textAt(object, 'key');
  if (bucket === null || key === null) return null;
  if (textAt(event, 'detail-type') !== 'Object Created') return [];
  return [{ bucket, key, versionId: textAt(object, 'version-id'), eTag: textAt(object, 'etag') }];
}

function isTestEvent(value: unknown): boolean {
  return textAt(value, 'Service') === 'Amazon S3' && textAt(value, 'Event') === 's3:TestEvent';
}

function memberOf(value: unknown, name: string): unknown {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject && Object.hasOwn(value, name) ? (Reflect.get(value, name) as unknown) : undefined;
}

/** A string that is not empty; null for all else. */
function textAt(value: unknown, name: string): string | null {
  const text = memberOf(value, name);
  return typeof text === 'string' && text !== '' ? text : null;
}
