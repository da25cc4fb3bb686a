import type { RejectionCode } from '../batch.js';

/** Why a record cannot go on, in place of a field's text. */
export interface Refusal {
  readonly refused: RejectionCode;
  /** The path of the part that is refused, where it is not the whole value. */
  readonly path?: string;
}

/** A field of COPY text, or why there is none. */
export type Cell = string | Refusal;

/** How many values were changed before they were masked; part of what a batch reports. */
export interface Normalized {
  trimmed: number;
  empty_to_null: number;
  sentinel_to_null: number;
}

/** No changes yet. */
export function noneNormalized(): Normalized {
  return { trimmed: 0, empty_to_null: 0, sentinel_to_null: 0 };
}

/**
 * One column's mask. Takes the values of a whole column, none of them null or missing, and gives a cell for each, in
 * order; a cell that is text is encoded for COPY. `companions` are the values of the other field that the mask needs,
 * in the same order, if it needs any. Must not keep values from one call to the next.
 */
export type ColumnMask = (
  values: readonly unknown[],
  normalized: Normalized,
  companions?: readonly unknown[],
) => readonly Cell[];

/** A refusal with that code. */
export function refuse(code: RejectionCode): Refusal {
  return { refused: code };
}
