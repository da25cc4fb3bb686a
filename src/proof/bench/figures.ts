/** What one run has measured, by name; units are in the names. */
export type Figures = Readonly<{ [name: string]: number }>;

/** The middle of some values, and how far they lie apart. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Of at least one value; the median of an even number is the mean of the two in the middle. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number): number => {
    const value = sorted[index];
    if (value === undefined) throw new RangeError('a spread needs a value');
    return value;
  };
  const middle = (sorted.length - 1) / 2;
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    min: at(0),
    max: at(sorted.length - 1),
  };
}

/** Each figure over the runs, at least one: the median of a sum or a ratio is that of the runs' own. */
export function summaryOf(runs: readonly Figures[]): Readonly<{ [name: string]: Spread }> {
  const names = Object.keys(runs[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, spreadOf(runs.map((run) => run[name] ?? Number.NaN))]),
  );
}
