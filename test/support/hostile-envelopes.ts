// Envelopes of SNS and EventBridge around events, around each other, and around what is no event at all.

import {
  EVENT,
  type HostileCase,
  eventBody,
  harmless,
  rejected,
  rowWith,
  wholeBody,
} from './hostile-case.js';

const event = eventBody();

function sns(message: string, changes: Readonly<{ [name: string]: unknown }> = {}): string {
  return JSON.stringify({
    Type: 'Notification',
    MessageId: '165545c9-2a5c-472c-8df2-7ff2be2b3b1b',
    TopicArn: 'arn:aws:sns:eu-central-1:123456789012:topic',
    Message: message,
    Timestamp: '2024-02-29T12:00:00.000Z',
    ...changes,
  });
}

function eventBridge(detail: string, changes: Readonly<{ [name: string]: string }> = {}): string {
  const members: Readonly<{ [name: string]: string }> = {
    version: '"0"',
    id: '"17793124-05d4-b198-2fde-7ededc63b103"',
    'detail-type': '"login"',
    source: '"app.logins"',
    account: '"123456789012"',
    time: '"2024-02-29T12:00:00Z"',
    region: '"eu-central-1"',
    resources: '[]',
    detail,
    ...changes,
  };
  return `{${Object.entries(members)
    .map(([name, json]) => `"${name}":${json}`)
    .join(',')}}`;
}

/** An object that is no event of ours: the logins miss what they require, the other pipeline takes a row of nothing. */
function stranger(name: string, body: string): HostileCase {
  const nothing = Object.fromEntries(EVENT.slice(6, -1).map(([field]) => [field, null]));
  return { name, body, login: rejected('missing_field', 'user_id'), every: rowWith('every', nothing) };
}

/** All of these; the pipelines unwrap automatically. */
export function envelopeCases(): readonly HostileCase[] {
  return [
    harmless('in SNS', sns(event)),
    harmless('in EventBridge', eventBridge(event)),
    harmless('in EventBridge, spread out', eventBridge(` \n${event}\t `)),
    harmless('in EventBridge in SNS', sns(eventBridge(event))),
    harmless('with a byte order mark in SNS', sns(`\ufeff${event}`)),
    harmless('in SNS with more members', sns(event, { Extra: { a: [1] }, __proto__x: 1 })),
    harmless(
      'in EventBridge, the last detail counts',
      eventBridge(event).replace('"detail":', '"detail":{"a":1},"detail":'),
    ),
    harmless(
      'in EventBridge, detail escaped',
      eventBridge(event).replace('"detail":', '"detail":0,"\\u0064etail":'),
    ),
    harmless(
      'with members that look like an envelope',
      eventBody({}, ',"Type":"Notification","TopicArn":"arn","detail-type":"x","detail":{}'),
    ),
    harmless(
      'with Message but no topic',
      eventBody({}, `,"Type":"Notification","Message":${JSON.stringify(event)}`),
    ),
    // One envelope of a kind is opened, not more.
    stranger('in SNS in SNS', sns(sns(event))),
    stranger('in SNS in EventBridge', eventBridge(sns(event))),
    stranger('in EventBridge in EventBridge', eventBridge(eventBridge(event))),
    stranger('in SNS in EventBridge in SNS', sns(eventBridge(sns(event)))),
    stranger('in SNS as an object', sns('x').replace('"x"', event)),
    stranger('in SNS without a topic', sns(event, { TopicArn: undefined })),
    stranger('in SNS of another type', sns(event, { Type: 'SubscriptionConfirmation' })),
    stranger('in SNS whose type is a list', sns(event, { Type: ['Notification'] })),
    stranger('in SNS whose message is null', sns(event, { Message: null })),
    stranger('in EventBridge without a source', eventBridge(event, { source: '1' })),
    stranger('in EventBridge whose detail is text', eventBridge(JSON.stringify(event))),
    stranger('in EventBridge whose detail is a list', eventBridge(`[${event}]`)),
    stranger('in EventBridge whose detail is null', eventBridge('null')),
    stranger(
      'in EventBridge, the last detail is none',
      eventBridge(event, { z: '1' }).replace(/\}$/, ',"detail":null}'),
    ),
    stranger('an empty object in SNS', sns('{}')),
    stranger('an empty object in EventBridge', eventBridge('{}')),
    stranger('under __proto__', `{"__proto__":${sns(event)}}`),
    ...['', ' ', 'x', '{', '{"a":', Buffer.from(event).toString('base64'), 'H4sIAAAAAAAA', 'null,', '\0'].map(
      (text, i) => wholeBody(`no JSON in SNS ${i}`, sns(text), 'not_json'),
    ),
    ...['null', '1', '"x"', '[]', `[${event}]`, JSON.stringify(event)].map((text) =>
      wholeBody(`no object in SNS: ${text.slice(0, 20)}`, sns(text), 'not_object'),
    ),
    wholeBody('SNS cut off', sns(event).slice(0, -1), 'not_json'),
    wholeBody('EventBridge cut off', eventBridge(event).slice(0, -1), 'not_json'),
    wholeBody('SNS in a list', `[${sns(event)}]`, 'not_object'),
    wholeBody('too deep in SNS', sns(eventBody({}, `,"x":${'['.repeat(32)}${']'.repeat(32)}`)), 'too_deep'),
    wholeBody(
      'too deep in EventBridge',
      eventBridge(eventBody({}, `,"x":${'['.repeat(32)}${']'.repeat(32)}`)),
      'too_deep',
    ),
    wholeBody('a deep envelope', eventBridge('[]', { x: `${'['.repeat(40)}${']'.repeat(40)}` }), 'too_deep'),
    // The envelope does not count for the limits.
    harmless('in a deep envelope', eventBridge(event, { x: `${'['.repeat(40)}${']'.repeat(40)}` })),
    harmless('in a large envelope', sns(event, { Padding: 'x'.repeat(1024 * 1024) })),
  ];
}
