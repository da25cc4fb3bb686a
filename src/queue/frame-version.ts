// Of which version a frame is: the oldest whose readers know all that is in it. Older ones leave it to another.

import type { Batch, MaskedBatch } from '../batch.js';

const FIRST = 1;
const BATCH_CODES: { readonly [code: string]: number } = { too_large: 2, object_gone: 4, no_route: 5 };
/** Masked batches had the others from the first version on. */
const MASKED_CODES: { readonly [code: string]: number } = { object_gone: 4, no_route: 5 };
/** Who did not know of groups would load what is to be held. */
const GROUPS = 3;
/** Who did not know of several tables would load the rows of one. */
const SEVERAL = 5;

/** By the reasons for which records must not be read. */
export function versionOfBatch({ records }: Batch): number {
  const reasons = new Set(records.map(({ rejected }) => rejected ?? ''));
  return Math.max(FIRST, ...[...reasons].map((reason) => BATCH_CODES[reason] ?? FIRST));
}

/** By groups, tables and the codes of rejections. */
export function versionOfMasked({ groups, several, rejections }: MaskedBatch): number {
  const codes = new Set(rejections.map(({ code }) => code));
  return Math.max(
    groups === undefined ? FIRST : GROUPS,
    several === undefined ? FIRST : SEVERAL,
    ...[...codes].map((code) => MASKED_CODES[code] ?? FIRST),
  );
}
