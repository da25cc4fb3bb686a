import { memberText } from './json-member.js';
import { parsedOrNull } from './json-text.js';

/** What an SNS notification carries: the message as it was published, and its attributes. */
export interface Notification {
  readonly message: string;
  /** Message attributes of all types but Binary, as SQS gives them where SNS delivers raw. */
  readonly attributes: Readonly<{ [name: string]: string }>;
}

/** An SNS notification (Amazon SNS Developer Guide, "Parsing message formats"); null for any other text. */
export function snsNotification(body: string): Notification | null {
  // Most bodies are no envelopes: a search costs a fraction of a parse.
  if (!body.includes('"TopicArn"') || !body.includes('"Notification"')) return null;
  const envelope = parsedObject(body);
  if (envelope === null || Reflect.get(envelope, 'Type') !== 'Notification') return null;
  if (typeof Reflect.get(envelope, 'TopicArn') !== 'string') return null;
  const message: unknown = Reflect.get(envelope, 'Message');
  if (typeof message !== 'string') return null;
  return { message, attributes: attributesOf(Reflect.get(envelope, 'MessageAttributes')) };
}

function attributesOf(value: unknown): Notification['attributes'] {
  if (!isObject(value)) return {};
  const attributes: [string, string][] = [];
  for (const [name, attribute] of Object.entries(value) as [string, unknown][]) {
    if (!isObject(attribute)) continue;
    const type: unknown = Reflect.get(attribute, 'Type');
    const text: unknown = Reflect.get(attribute, 'Value');
    if (typeof type !== 'string' || type.startsWith('Binary') || typeof text !== 'string') continue;
    attributes.push([name, text]);
  }
  return Object.fromEntries(attributes);
}

/** Members that every event of Amazon EventBridge has as strings ("Events and event patterns", User Guide). */
const EVENT_STRINGS = ['id', 'detail-type', 'source', 'account', 'time', 'region'];

/** The `detail` of an EventBridge event as its source text, so that no digit of a number is lost; else null. */
export function eventDetail(body: string): string | null {
  if (!body.includes('"detail-type"') || !body.includes('"detail"')) return null;
  const event = parsedObject(body);
  if (event === null || !EVENT_STRINGS.every((name) => typeof Reflect.get(event, name) === 'string'))
    return null;
  return isObject(Reflect.get(event, 'detail')) ? memberText(body, 'detail') : null;
}

function parsedObject(body: string): object | null {
  const value = parsedOrNull(body);
  return isObject(value) ? value : null;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
