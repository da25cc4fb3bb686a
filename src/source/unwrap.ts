import type { InputRecord } from '../batch.js';
import { memberText } from './json-member.js';

/** What to make of messages that another service has wrapped. */
export type EnvelopeMode = 'auto' | 'none' | 'sns' | 'eventbridge';

/** A record, before its message has a place in a batch. */
export type LooseRecord = Omit<InputRecord, 'message'>;

/**
 * The records of a message: today always one, whose id is the message id. `none` takes the body as it is. `sns`
 * and `eventbridge` take what the envelope carries, or give a record rejected as `bad_envelope`. `auto` opens what
 * surely is an envelope, also an EventBridge event that came through SNS, and leaves everything else as it is.
 */
export function recordsOf(messageId: string, body: string, mode: EnvelopeMode): readonly LooseRecord[] {
  if (mode === 'none') return [{ id: messageId, body }];
  if (mode === 'auto') {
    const message = snsMessage(body) ?? body;
    return [{ id: messageId, body: eventDetail(message) ?? message }];
  }
  const inner = mode === 'sns' ? snsMessage(body) : eventDetail(body);
  return inner === null
    ? [{ id: messageId, body, rejected: 'bad_envelope' }]
    : [{ id: messageId, body: inner }];
}

/** The `Message` of an SNS notification (Amazon SNS Developer Guide, "Parsing message formats"), else null. */
function snsMessage(body: string): string | null {
  // Most bodies are no envelopes: a search costs a fraction of a parse.
  if (!body.includes('"TopicArn"') || !body.includes('"Notification"')) return null;
  const envelope = parsedObject(body);
  if (envelope === null || Reflect.get(envelope, 'Type') !== 'Notification') return null;
  if (typeof Reflect.get(envelope, 'TopicArn') !== 'string') return null;
  const message: unknown = Reflect.get(envelope, 'Message');
  return typeof message === 'string' ? message : null;
}

/** Members that every event of Amazon EventBridge has as strings ("Events and event patterns", User Guide). */
const EVENT_STRINGS = ['id', 'detail-type', 'source', 'account', 'time', 'region'];

/** The `detail` of an EventBridge event as its source text, so that no digit of a number is lost; else null. */
function eventDetail(body: string): string | null {
  if (!body.includes('"detail-type"') || !body.includes('"detail"')) return null;
  const event = parsedObject(body);
  if (event === null || !EVENT_STRINGS.every((name) => typeof Reflect.get(event, name) === 'string'))
    return null;
  const detail: unknown = Reflect.get(event, 'detail');
  if (typeof detail !== 'object' || detail === null || Array.isArray(detail)) return null;
  return memberText(body, 'detail');
}

/** The body as a JSON object; null for any other text. The parser's error quotes the text and is dropped. */
function parsedObject(body: string): object | null {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}
