// Messages for a pipeline that is not the run's own, made up by its columns.

import type { ColumnPolicy, ColumnSpec } from '../masking/methods.js';
import { Dice } from './dice.js';
import type { Marks } from './messages.js';

/** One in so many is no JSON, and must be quarantined. */
const BAD_EVERY = 50;
const DEVICES = 997;
const HEX = 16;

/** The `index`-th message of a run for that pipeline: always the same. */
export function stagingMessage(
  policy: Pick<ColumnPolicy, 'columns'>,
  seed: number,
  marks: Marks,
  index: number,
): { readonly body: string; readonly isValid: boolean } {
  const isValid = new Dice(seed).of(`staging ${index}`).between(1, BAD_EVERY) > 1;
  if (!isValid) return { body: `${marks.secret} is not JSON`, isValid };
  const event: { [field: string]: unknown } = {};
  for (const column of policy.columns) {
    if (column.source.kind === 'field') event[column.source.name] ??= valueFor(column, marks, index);
  }
  return { body: JSON.stringify(event), isValid };
}

function valueFor({ mask, type, maxLength }: ColumnSpec, marks: Marks, index: number): unknown {
  if (mask.method === 'siv' || mask.method === 'hmac') {
    return mask.as === 'ip'
      ? `${marks.address}::${index.toString(16).slice(-4)}`
      : `${marks.secret}-${index % DEVICES}`;
  }
  switch (type) {
    case 'text':
      return `${marks.kept}-${index}`.slice(-(maxLength ?? Infinity));
    case 'integer':
    case 'bigint':
    case 'numeric':
      return index;
    case 'boolean':
      return index % 2 === 0;
    case 'date':
      return '2026-01-31';
    case 'timestamptz':
      return '2026-01-31T12:00:00Z';
    case 'uuid':
      return `00000000-0000-4000-8000-${index.toString(HEX).padStart(12, '0')}`;
    case 'inet':
      return '192.0.2.1';
    case 'jsonb':
      return { index };
    case 'version_int':
      return '1.2.3';
  }
}
