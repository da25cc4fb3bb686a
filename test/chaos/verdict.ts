import type { Found } from '../../src/proof/leak-scan.js';
import type { Findings } from '../../src/proof/oracle.js';

/** What the oracle counted; all should be zero. */
export interface Totals {
  readonly lost: number;
  readonly twice: number;
  readonly leaked: number;
  readonly misplaced: number;
  readonly strays: number;
  readonly wrong: number;
}

/** Where marked values were found. */
export interface Leaks {
  readonly leaks: readonly Found[];
}

/** The counts of a verdict, and how many of them there are in all. */
export function totalsOf({ lost, twice, misplaced, strays, wrong, leaks }: Findings): {
  readonly counts: Totals;
  readonly wrongs: number;
} {
  const counts = { lost, twice, leaked: leaks.length, misplaced, strays, wrong };
  return { counts, wrongs: Object.values(counts).reduce((sum, count) => sum + count, 0) };
}
