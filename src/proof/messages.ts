// What is sent: made-up events that each carry marks, by which they are known again, and by which leaks are found.

import { Dice } from './dice.js';

/** Texts that are in every message of a run, and hardly anywhere else. */
export interface Marks {
  /** In everything that is to be masked, dropped or quarantined: to be found nowhere. */
  readonly secret: string;
  /** The same as an address: the first 64 bits of each. */
  readonly address: string;
  /** In a kept column: to be found in the target, or the search is worth nothing. */
  readonly kept: string;
}

/** A message and what must become of it. */
export interface Message {
  readonly body: string;
  readonly isValid: boolean;
  /** What the row holds, or would. */
  readonly eventId: string;
  readonly device: string;
  /** 16 bytes. */
  readonly address: Buffer;
}

/** One in so many can't become a row. */
const BAD_EVERY = 50;
/** So many devices share the messages: equal values must get equal tokens. */
const DEVICES = 997;

/** The columns that these messages are read by, as maskline.yaml has them. */
export const EVENT_COLUMNS = {
  event_id: { from: 'event_id', type: 'text', max_length: 64, required: true },
  message_id: { from: '$message_id', type: 'text' },
  masked_ip: { from: 'ip', required: true, mask: { method: 'siv', domain: 'ip', as: 'ip' } },
  masked_device: { from: 'device', required: true, mask: { method: 'siv', domain: 'device' } },
  plan: { from: 'plan', type: 'text', max_length: 16 },
  n: { from: 'n', type: 'integer', required: true },
  sent_on: { from: '$sent_at', type: 'date' },
} as const;

/** The columns of messages of a FIFO queue besides: by them it is seen whether their order was kept. */
export const FIFO_COLUMNS = {
  sequence_number: { from: '$sequence_number', type: 'numeric', required: true },
  batch_id: { from: '$batch_id', type: 'uuid', required: true },
} as const;

/** The plan that the table refuses by its check, so that rows are refused by Postgres too. */
const REFUSED_PLAN = 'refused';

/** The table of these columns, for messages of a FIFO queue with the order in which rows came. */
export const eventTable = (name: string, isFifo = false): string =>
  `create table ${name} (event_id text not null, message_id text not null, masked_ip text not null, ` +
  `masked_device text not null, plan varchar(16) check (plan <> '${REFUSED_PLAN}'), n integer not null, sent_on date` +
  (isFifo
    ? ', sequence_number numeric(20) not null, batch_id uuid not null, came_as bigint generated always as identity)'
    : ')');

/** The marks of a run. */
export function marksOf(seed: number): Marks {
  const dice = new Dice(seed).of('marks');
  const hex = (): string => dice.between(0x1000, 0xffff).toString(16);
  return {
    secret: `zq${hex()}canary${hex()}`,
    address: `2001:db8:${hex()}:${hex()}`,
    kept: `kept${hex()}mark${hex()}`,
  };
}

/** The `index`-th message of a run: always the same, whoever asks. */
export function messageOf(seed: number, marks: Marks, index: number): Message {
  const dice = new Dice(seed).of(`message ${index}`);
  const eventId = `${marks.kept}-${index}`;
  const device = `${marks.secret}-${index % DEVICES}`;
  const suffix = [index >>> 16, index & 0xffff].map((part) => part.toString(16).padStart(4, '0'));
  const ip = `${marks.address}::${suffix.map((part) => part.replace(/^0+(?=.)/, '')).join(':')}`;
  const prefix = marks.address.split(':').map((part) => part.padStart(4, '0'));
  const address = Buffer.from([...prefix, '0000', '0000', ...suffix].join(''), 'hex');
  const event = {
    event_id: eventId,
    ip,
    device,
    plan: dice.pick(['free', 'team', null]),
    n: index,
    // No column takes these: they are dropped, the name and the value.
    email: `${marks.secret}-${index}@example.org`,
    [`${marks.secret}_field`]: { deep: [`${marks.secret}-${index}`] },
  };
  const isValid = dice.between(1, BAD_EVERY) > 1;
  const body = isValid ? JSON.stringify(event) : spoiled(dice, marks, event);
  return { body, isValid, eventId, device, address };
}

/** The index in an event id of this run; null for any other text. */
export function indexOfEvent({ kept }: Marks, eventId: string): number | null {
  const match = eventId.startsWith(`${kept}-`) ? /^\d{1,9}$/.exec(eventId.slice(kept.length + 1)) : null;
  return match ? Number(match[0]) : null;
}

function spoiled(dice: Dice, { secret }: Marks, event: { readonly [name: string]: unknown }): string {
  return dice.pick([
    JSON.stringify({ ...event, device: undefined }),
    JSON.stringify({ ...event, ip: `${secret}-no-address` }),
    JSON.stringify({ ...event, n: `${secret}-no-number` }),
    JSON.stringify({ ...event, plan: `${secret}-${secret}` }),
    JSON.stringify({ ...event, plan: REFUSED_PLAN }),
    // A list that begins with an object would be taken apart.
    JSON.stringify(['event', event]),
    JSON.stringify(event).slice(0, -2),
    `${secret} is not JSON`,
  ]);
}
