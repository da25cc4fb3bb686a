// Values that mark where they go, and messages that carry them down every path, good and bad.

import type { OutgoingMessage } from '../../src/embedded/sqs.js';
import { PIPELINE } from './stack.js';

/** Values that are personal: to be found nowhere in clear. */
export const SECRETS = {
  device: 'canary-device-7f3a91b2c4',
  address: '2001:db8:c0ff:ee01:cafe:f00d:dead:beef',
  unlisted: 'canary-unlisted-0b1d"é/&=',
  unlisted_name: 'canary_field_name_55aa',
  nested: 'canary-nested-91c2d3e4f5',
  bad_address: 'canary-bad-address-6612ef',
  too_long: 'canary-too-long-a8b7c6d5',
  bad_version: 'canary-bad-version-3d4e5f',
  bad_number: 'canary-bad-number-9e8d7c',
  bad_text: 'canary-bad-text-1f2e3d4c',
  not_json: 'canary-not-json-c0d1e2f3',
  not_object: 'canary-not-object-b4a596',
  attribute: 'canary-attribute-8899aabb',
  attribute_name: 'canary-attribute-name-77',
};
/** A value of a kept column: it is to be in the table, and nowhere else. */
const KEPT = { kept: 'canary-kept-user-5e6f7a8b' };
/** A value of a kept column whose row the table refuses: on its way to Postgres, and to nobody else. */
export const REFUSED = { refused: 'canary-refused-plan-d1c2b3' };
/** All of these. */
export const ALL = { ...SECRETS, ...KEPT, ...REFUSED };

/** The table of the messages. */
export const TABLE = `public.${PIPELINE}`;
/** It refuses all plans but one. */
export const DDL = `create table ${TABLE} (user_id varchar(64) not null, masked_ip varchar(256), masked_device_id varchar(256),
  app_version integer, n integer, plan varchar(64) check (plan = 'free'), note varchar(40))`;
/** Where values of kept columns are to be. */
export const KEPT_COLUMNS = ['user_id', 'app_version', 'n', 'plan', 'note'].map(
  (column) => `${TABLE}.${column}`,
);
/** Of the pipeline. */
export const COLUMNS = {
  user_id: { from: 'user_id', type: 'text', max_length: 64, required: true },
  masked_ip: { from: 'ip', required: true, mask: { method: 'siv', as: 'ip' } },
  masked_device_id: { from: 'device_id', required: true, mask: { method: 'siv' } },
  app_version: { from: 'app_version', type: 'version_int' },
  n: { from: 'n', type: 'integer' },
  plan: { from: 'plan', type: 'text', max_length: 64 },
  note: { from: 'note', type: 'text', max_length: 40 },
} as const;

/** A message that becomes a row. */
export const GOOD = {
  user_id: KEPT.kept,
  ip: SECRETS.address,
  device_id: SECRETS.device,
  app_version: '1.2.3',
  n: 1,
  plan: 'free',
  note: 'x',
  email: SECRETS.unlisted,
  [SECRETS.unlisted_name]: { deep: [SECRETS.nested] },
};

/** One message of each kind, the first of them good; all carry values that must not get out. */
export const MESSAGES: readonly OutgoingMessage[] = [
  GOOD,
  { ...GOOD, plan: REFUSED.refused },
  { ...GOOD, ip: SECRETS.bad_address },
  { ...GOOD, device_id: { [SECRETS.unlisted_name]: SECRETS.nested } },
  { ...GOOD, app_version: SECRETS.bad_version },
  { ...GOOD, n: SECRETS.bad_number },
  { ...GOOD, note: `${SECRETS.bad_text}\u0000` },
  { ...GOOD, note: SECRETS.too_long.padEnd(41, '!') },
  { ...GOOD, device_id: undefined },
  [SECRETS.not_object, GOOD],
  SECRETS.not_object,
]
  .map((body) => ({ body: JSON.stringify(body) }))
  .concat([
    { body: `{"device_id":"${SECRETS.not_json}` },
    { body: SECRETS.not_json },
    { body: `{"user_id":"${KEPT.kept}","n":${SECRETS.not_json}}` },
  ])
  .map((message) => ({ ...message, attributes: { [SECRETS.attribute_name]: SECRETS.attribute } }));
