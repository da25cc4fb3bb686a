import { z } from 'zod';
import { listOf } from './mask-schema.js';
import { choice, flag, text } from './scalars.js';

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
  grants: grants
    .meta({
      description:
        'With `create: true`: rights on the table that `maskline migrate` grants. It takes none away.',
    })
    .optional(),
});

/** What the file says of a target. */
export type TargetInput = z.output<typeof targetSchema>;
