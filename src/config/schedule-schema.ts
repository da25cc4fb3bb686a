import { z } from 'zod';
import { flag, text } from './scalars.js';

const TIME = /^(?:[01][0-9]|2[0-3]):[0-5][0-9]$/;
const END = /^(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]|24:00)$/;

/** A schedule without options. */
export const scheduleText = text(
  'When the pipeline drains its queue: a cron pattern of 5 or 6 fields, the first of 6 being seconds; or `continuous`. Without it, only `maskline drain` does.',
);

const pause = z.strictObject({
  from: text('Time of day at which it begins.', TIME, 'must be a time of day such as "22:00"'),
  to: text(
    'Time of day at which it ends; one that is not later is on the next day.',
    END,
    'must be a time of day such as "06:00", or "24:00"',
  ),
  days: text('The days on which it begins, such as `mon-fri` or `sat,sun`.').prefault('mon-sun'),
});

/** A schedule with options. */
export const scheduleMap = z.strictObject({
  cron: text('A cron pattern of 5 or 6 fields, the first of 6 being seconds; or `continuous`.'),
  timezone: text('IANA time zone that the pattern and the pauses are read in.').prefault('UTC'),
  exclusive: flag(
    'Whether only one ingester of the deployment drains at a time; another takes over when it dies.',
  ).prefault(false),
  catch_up: flag(
    'Whether a slot that was missed, while no ingester ran or in a pause, is made up for by one run.',
  ).prefault(true),
  pause: z.array(pause).prefault([]).meta({
    description:
      'Times of day in which nothing is received, such as `{ from: "22:00", to: "06:00", days: mon-fri }`; what is held then is finished. `days` are those on which it begins, all unless given.',
  }),
});
