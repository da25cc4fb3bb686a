// What the corpus of hostile bodies is made of: two pipelines, one event that both of them take, and cases that change
// one thing of it. Outcomes are stated by the rules of docs/reference.md and docs/masking.md, never computed by src.

import type { ColumnSpec } from '../../src/masking/methods.js';
import { column, policyOf, token } from './masking.js';

/** A token that the oracle is to compute. */
export interface TokenOf {
  readonly method: 'siv' | 'hmac';
  readonly domain: string;
  readonly as: 'text' | 'ip';
  readonly pad: 32 | null;
  readonly lower: boolean;
  /** As it was sent. */
  readonly text: string;
}

/** What a field of the table must hold: Postgres's text of it, NULL, or a token. */
export type Field = string | null | TokenOf;

/** What must become of a body in one pipeline. */
export type Outcome =
  | { readonly row: Readonly<{ [column: string]: Field }> }
  | { readonly code: string; readonly path: string | null };

/** One body and what must become of it in both pipelines. */
export interface HostileCase {
  readonly name: string;
  readonly body: string;
  readonly login: Outcome;
  readonly every: Outcome;
}

export type PipelineName = 'login' | 'every';

/** Of both pipelines, as by default. */
export const MAX_DEPTH = 32;
export const MAX_BODY = 1024 * 1024;

const messageId = column('message_id', { source: { kind: 'meta', name: 'message_id' } });

/** The pipeline of the logins, and the id by which a test finds a row. */
export const LOGIN_POLICY = policyOf(
  [
    messageId,
    column('user_id', { maxLength: 128, required: true }),
    column('device_type', { maxLength: 32 }),
    column('masked_ip', {
      path: 'ip',
      source: { kind: 'field', name: 'ip' },
      required: true,
      mask: token('siv', { domain: 'ip', as: 'ip' }),
    }),
    column('masked_device_id', {
      path: 'device_id',
      source: { kind: 'field', name: 'device_id' },
      required: true,
      mask: token('siv', { domain: 'device_id' }),
    }),
    column('locale', { maxLength: 32 }),
    column('app_version', { maxLength: 32 }),
    column('create_date', { path: '$sent_at', source: { kind: 'meta', name: 'sent_at' }, type: 'date' }),
  ],
  { pipeline: 'login', maxDepth: MAX_DEPTH, maxBody: MAX_BODY },
);

/** Columns of every type and mask there is, each of the field of its own name. */
export const EVERY_COLUMNS: readonly ColumnSpec[] = [
  column('kept'),
  column('int', { type: 'integer' }),
  column('big', { type: 'bigint' }),
  column('num', { type: 'numeric' }),
  column('flag', { type: 'boolean' }),
  column('day', { type: 'date' }),
  column('at', { type: 'timestamptz' }),
  column('uid', { type: 'uuid' }),
  column('net', { type: 'inet' }),
  column('doc', { type: 'jsonb' }),
  column('ver', { type: 'version_int' }),
  column('secret', { mask: token('siv', { domain: 'secret' }) }),
  column('folded', { mask: token('siv', { domain: 'folded', pad: 32, lower: true }) }),
  column('addr', { mask: token('siv', { domain: 'ip', as: 'ip' }) }),
  column('hashed', { mask: token('hmac', { domain: 'hashed' }) }),
  column('hashed_ip', { mask: token('hmac', { domain: 'ip', as: 'ip' }) }),
  column('gone', { mask: { method: 'null' } }),
  column('starred', { mask: { method: 'constant', value: '***' } }),
  column('dropped', { mask: { method: 'drop' } }),
];

export const EVERY_POLICY = policyOf([messageId, ...EVERY_COLUMNS], {
  pipeline: 'every',
  maxDepth: MAX_DEPTH,
  maxBody: MAX_BODY,
});

/** The tables of both. */
export const TABLES: Readonly<{ [name in PipelineName]: string }> = {
  login: `create table public.login (message_id text not null, user_id varchar(128) not null, device_type varchar(32),
    masked_ip varchar(256) not null, masked_device_id text not null, locale varchar(32), app_version varchar(32),
    create_date date)`,
  every: `create table public.every (message_id text not null, kept text, int integer, big bigint, num numeric,
    flag boolean, day date, at timestamptz, uid uuid, net inet, doc jsonb, ver integer, secret text, folded text,
    addr text, hashed text, hashed_ip text, gone text, starred text)`,
};

/** When every message was sent, and the day of it in UTC. */
export const SENT_AT = Date.UTC(2024, 1, 29, 23, 59, 59, 999);
const SENT_DAY = '2024-02-29';

/** The token that a column of `policy` must hold for a text. */
export function tokenFor(name: PipelineName, field: string, text: string): TokenOf {
  const { columns } = name === 'login' ? LOGIN_POLICY : EVERY_POLICY;
  const mask = columns.find((spec) => spec.path === field)?.mask;
  if (mask?.method !== 'siv' && mask?.method !== 'hmac') throw new RangeError(`${field} holds no token`);
  const { method, domain, as, lower } = mask;
  return { method, domain, as, lower, pad: mask.pad === 32 ? 32 : null, text };
}

/** The event that is changed: each field's JSON text, in the order sent. */
export const EVENT: readonly (readonly [string, string])[] = [
  ['user_id', '"5e3c0c2e-0001"'],
  ['app_version', '"2.3.0"'],
  ['device_type', '"android"'],
  ['ip', '"199.172.111.135"'],
  ['locale', '"RU"'],
  ['device_id', '"593-47-5928"'],
  ['kept', '"as it came"'],
  ['int', '42'],
  ['big', '"9223372036854775807"'],
  ['num', '1.50'],
  ['flag', 'true'],
  ['day', '"2024-02-29"'],
  ['at', '"2024-02-29T12:00:00Z"'],
  ['uid', '"424cdd21-063a-43a7-b91b-7ca1a833afae"'],
  ['net', '"10.1.0.0/16"'],
  ['doc', '{"a":[1,null]}'],
  ['ver', '"2.3"'],
  ['secret', '"a secret"'],
  ['folded', '"Folded"'],
  ['addr', '"2001:db8::1"'],
  ['hashed', '"a value"'],
  ['hashed_ip', '"192.0.2.1"'],
  ['gone', '"never seen"'],
  ['starred', '"never seen"'],
  ['dropped', '"never seen"'],
];

/** What must become of it in either pipeline. */
const ROWS: Readonly<{ [name in PipelineName]: Readonly<{ [column: string]: Field }> }> = {
  login: {
    user_id: '5e3c0c2e-0001',
    device_type: 'android',
    masked_ip: tokenFor('login', 'ip', '199.172.111.135'),
    masked_device_id: tokenFor('login', 'device_id', '593-47-5928'),
    locale: 'RU',
    app_version: '2.3.0',
    create_date: SENT_DAY,
  },
  every: {
    kept: 'as it came',
    int: '42',
    big: '9223372036854775807',
    num: '1.50',
    flag: 'true',
    day: '2024-02-29',
    at: '2024-02-29 12:00:00+00',
    uid: '424cdd21-063a-43a7-b91b-7ca1a833afae',
    net: '10.1.0.0/16',
    doc: '{"a": [1, null]}',
    ver: '2003000',
    secret: tokenFor('every', 'secret', 'a secret'),
    folded: tokenFor('every', 'folded', 'Folded'),
    addr: tokenFor('every', 'addr', '2001:db8::1'),
    hashed: tokenFor('every', 'hashed', 'a value'),
    hashed_ip: tokenFor('every', 'hashed_ip', '192.0.2.1'),
    gone: null,
    starred: '***',
  },
};

/** The column of `policy` that takes a field; null for a field that is dropped on purpose. */
const COLUMN_OF: Readonly<{ [field: string]: string }> = { ip: 'masked_ip', device_id: 'masked_device_id' };

/** The event with other JSON text for some fields; null leaves a field out. `extra` goes in front of its end. */
export function eventBody(
  changes: Readonly<{ [field: string]: string | null }> = {},
  extra: string = '',
): string {
  const members = EVENT.flatMap(([name, json]) => {
    const text = Object.hasOwn(changes, name) ? changes[name] : json;
    return text === null || text === undefined ? [] : [`${JSON.stringify(name)}:${text}`];
  });
  return `{${members.join(',')}${extra}}`;
}

/** The row of the unchanged event, but for these columns. */
export function rowWith(name: PipelineName, changes: Readonly<{ [column: string]: Field }> = {}): Outcome {
  return { row: { ...ROWS[name], ...changes } };
}

/** A rejection. */
export function rejected(code: string, path: string | null = null): Outcome {
  return { code, path };
}

/** A body that both pipelines reject as a whole. */
export function wholeBody(name: string, body: string, code: string): HostileCase {
  return { name, body, login: rejected(code), every: rejected(code) };
}

/** A body that is, for both pipelines, nothing else than the event. */
export function harmless(name: string, body: string): HostileCase {
  return { name, body, login: rowWith('login'), every: rowWith('every') };
}

/** What a field must become: what the table then holds, or the code of its rejection. */
export type Fate = { readonly stored: Field } | { readonly code: string };

/** One field of the event replaced by other JSON text. The other pipeline does not know that field. */
export function fieldCase(name: PipelineName, field: string, json: string, fate: Fate): HostileCase {
  const shown = json.length > 60 ? `${json.slice(0, 60)}… of ${json.length}` : json;
  return {
    name: `${field}: ${shown}`,
    body: eventBody({ [field]: json }),
    login: rowWith('login'),
    every: rowWith('every'),
    [name]:
      'code' in fate
        ? rejected(fate.code, field)
        : rowWith(name, field === 'dropped' ? {} : { [COLUMN_OF[field] ?? field]: fate.stored }),
  };
}
