// Messages for a pipeline that is not the run's own, made up by its columns.

import type { ColumnPolicy } from '../masking/methods.js';
import { allColumns } from '../masking/parts.js';
import { Dice } from './dice.js';
import type { Marks } from './messages.js';
import { place, valueFor } from './staging-values.js';

/** One in so many is no JSON, and must be quarantined. */
const BAD_EVERY = 50;

/** The `index`-th message of a run for that pipeline: always the same. */
export function stagingMessage(
  policy: Pick<ColumnPolicy, 'columns' | 'several'>,
  seed: number,
  marks: Marks,
  index: number,
): { readonly body: string; readonly isValid: boolean } {
  const isValid = new Dice(seed).of(`staging ${index}`).between(1, BAD_EVERY) > 1;
  if (!isValid) return { body: `${marks.secret} is not JSON`, isValid };
  const event: { [field: string]: unknown } = {};
  for (const column of allColumns(policy)) {
    const { source, mask } = column;
    if (source.kind === 'field') event[source.name] ??= valueFor(column, marks, index);
    if (source.kind === 'path') place(event, source, valueFor(column, marks, index));
    if (mask.method === 'date-shift') place(event, mask.entity, `${marks.secret}-entity`);
  }
  return { body: JSON.stringify(event), isValid };
}
