import { z } from 'zod';
import { columnTypes } from '../masking/methods.js';
import { listOf, maskSchema } from './mask-schema.js';
import { choice, flag, integer, text } from './scalars.js';

// Postgres allows no longer varchar.
const LONGEST_VARCHAR = 10_485_760;

const keptPaths = z
  .unknown()
  .transform((given, context): readonly string[] | 'everything' => {
    if (given === 'everything') return given;
    const items: readonly unknown[] = Array.isArray(given) ? given : [];
    const paths = items.filter((item) => typeof item === 'string' && item !== '');
    if (paths.length > 0 && paths.length === items.length) return paths.map(String);
    context.addIssue({
      code: 'custom',
      message: 'must be a list of paths, such as [status, address.city], or `everything`',
    });
    return z.NEVER;
  })
  .meta({
    anyOf: [{ type: 'array', items: { type: 'string' }, minItems: 1 }, { const: 'everything' }],
    description:
      'With `type: jsonb`: the parts of the value that are stored as they are, by their paths; what is at none of these, nor of `masks`, is left out and counted. `everything` keeps all that `masks` does not name.',
  });

/** One entry of `columns`. */
export const columnSchema = z
  .strictObject({
    from: text(
      'The field of the body; a path such as `user.address.city`, `items[0].sku`, `contacts[*].email` (each element) or `["odd.name"]`; or one of `$message_id`, `$sent_at`, `$received_at`, `$loaded_at`, `$group_id`, `$sequence_number`, `$batch_id`, `$run_id`, `$mask_kid`, `$attributes.NAME`, `$index` (under `from_each`, the number of the element from 0), `$rest` (the fields that no other column takes). Needed unless the mask is `constant` or `null`.',
    ).optional(),
    type: choice(
      'What the value must be. Default `text`, for masks that make addresses `inet`. A `from` with `[*]` needs `jsonb` or `text[]`; `date-shift` and periods need `date` or `timestamptz`.',
      columnTypes,
    ).optional(),
    max_length: integer(
      'For text: a value, or token, of more characters is rejected as `too_long`.',
      1,
      LONGEST_VARCHAR,
    ).optional(),
    required: flag('Whether a record without this value is rejected as `missing_field`.').prefault(false),
    sentinels: listOf(
      'Values that stand for none, such as [unknown, 0.0.0.0]: they become NULL. Compared as the mask compares values.',
      'values',
    ).optional(),
    mask: maskSchema
      .meta({ description: 'How the values are masked. Default: kept as they are.' })
      .optional(),
    keep: keptPaths.optional(),
    masks: z.record(z.string(), maskSchema).optional().meta({
      description:
        'With `type: jsonb`: parts of the value by their paths, such as `user.email` or `items[*].name`, and the mask of each. Of the method siv, hmac, vault, ip-truncate, partial, bucket, generalize, constant, null, drop or keep.',
    }),
  })
  .meta({ description: 'A column of the table and where its value comes from.' });

/** What the file says of a column. */
export type ColumnInput = z.output<typeof columnSchema>;
