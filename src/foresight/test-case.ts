import type { Envelope } from '../batch.js';
import type { Position } from '../config/problem.js';

/** What one column of a row is expected to hold. */
export type ExpectedCell =
  /** The text that Postgres reads; of a `jsonb` column, any JSON text of the same value. */
  | { readonly kind: 'value'; readonly text: string }
  | { readonly kind: 'null' }
  /** Some token of the column's method under the primary key. */
  | { readonly kind: 'token' }
  /** The column is not loaded. */
  | { readonly kind: 'absent' }
  /** The same as in another case. */
  | { readonly kind: 'equal_to'; readonly test: string; readonly column: string }
  | { readonly kind: 'matches'; readonly pattern: RegExp };

/** A row, of which the named columns are looked at. */
export type ExpectedRow = ReadonlyMap<string, ExpectedCell>;

/** Rows, or a rejection; a `path` that is undefined may be any. */
export type Expected =
  | {
      readonly row: ExpectedRow;
      /** Of further tables, by `schema.table`, all rows in their order; tables that are not named may have any. */
      readonly further: ReadonlyMap<string, readonly ExpectedRow[]>;
    }
  | { readonly rejected: { readonly code: string; readonly path: string | null | undefined } };

/** A message, and what the pipeline is to make of it. */
export interface TestCase {
  readonly file: string;
  readonly place: Position;
  readonly pipeline: string;
  readonly name: string;
  readonly envelope: Envelope;
  readonly expected: Expected;
}
