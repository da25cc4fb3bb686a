/** A test that must fail. */
export interface Witness {
  /** Below `test/`. */
  readonly file: string;
  /** The test's own name, without those of the suites around it. */
  readonly name: string;
}

/** A protection, and what the code is without it. */
export interface Mutant {
  /** The row of the failure table of docs/guarantees.md, by a word or two that only that row has. */
  readonly row: string;
  /** What is gone. */
  readonly name: string;
  /** Below the root of the project. */
  readonly file: string;
  /** Occurs in the file exactly once. */
  readonly replace: string;
  readonly by: string;
  /** At least one of them must fail. */
  readonly tests: readonly Witness[];
}

/** In place of a row: what is promised above the table, of masks and of what stands in clear. */
export const PROMISE = 'the promise';
