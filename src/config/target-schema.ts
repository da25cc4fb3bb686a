import { z } from 'zod';
import { listOf } from './mask-schema.js';
import { choice, flag, integer, text } from './scalars.js';

const rolesOf = (right: string) =>
  listOf(
    `Database roles that get the right to ${right} of it, such as [maskline_analyst].`,
    'roles',
  ).optional();

const grants = z.strictObject({
  select: rolesOf('read rows'),
  insert: rolesOf('add rows'),
  update: rolesOf('change rows'),
  delete: rolesOf('delete rows'),
});

// So many partitions are made at most on either side of today's.
const MOST_PERIODS = 400;

const partition = z.strictObject({
  by: text(
    'The column that decides, of type timestamptz or date and `required`, or from `$sent_at` and the like.',
  ),
  every: choice('How much time a partition covers, in UTC.', ['day', 'month']).prefault('day'),
  back: integer(
    'So many partitions before the one of today. SQS holds messages for 14 days.',
    0,
    MOST_PERIODS,
  ).prefault(15),
  ahead: integer('So many partitions after the one of today.', 0, MOST_PERIODS).prefault(7),
});

/** What stands below `target`. */
export const targetSchema = z.strictObject({
  table: text('The table: `schema.table`, or `table` in the schema `public`. Case counts.'),
  create: flag('Whether `maskline migrate` creates the table.').prefault(false),
  mode: choice(
    'What becomes of a record: `append` adds a row for each, `upsert` keeps one row for each key, which the next record of that key overwrites.',
    ['append', 'upsert'],
  ).prefault('append'),
  keys: listOf(
    'With `upsert`: the columns that make up the key, each `required`. The table must have a unique index, or its primary key, of just these.',
    'columns',
  ).optional(),
  newest_by: text(
    'With `upsert`: a column, such as one from `$sent_at`, by which a record overwrites only what is not newer. Without it, what is committed last stays, whatever was sent first. Of one batch, the last sent stays.',
  ).optional(),
  partition: partition
    .meta({
      description:
        'Partitions of the table that `maskline migrate` makes, and then the ingest and admin roles each day. With `create: true` the table is made so. A row for which there is none is quarantined.',
    })
    .optional(),
  grants: grants
    .meta({
      description:
        'With `create: true`: rights on the table that `maskline migrate` grants. It takes none away.',
    })
    .optional(),
});

/** One of `targets`, but for its columns. */
export const tableSchema = targetSchema.extend({
  from_each: text(
    'The list of which each element is a row, such as `items[*]`; a record without it has no row here. Paths that begin so are of the element, others of the whole event, and `$index` is the number of the element, from 0. Not for the first table, which has a row for each record.',
  ).optional(),
});

/** What the file says of a target. */
export type TargetInput = z.output<typeof targetSchema>;
