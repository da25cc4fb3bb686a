import { closest, distance } from 'fastest-levenshtein';

/** The known word that `word` is most likely a slip of, or null: a third of its letters may be wrong. */
export function suggest(word: string, known: readonly string[]): string | null {
  if (known.length === 0) return null;
  // Two letters that swapped places count as two edits, which is too many for a short word.
  const swapped = known.find((candidate) => letters(candidate) === letters(word));
  if (swapped !== undefined) return swapped;
  const best = closest(word.toLowerCase(), known);
  return distance(word.toLowerCase(), best.toLowerCase()) <= Math.max(1, Math.floor(word.length / 3))
    ? best
    : null;
}

/** `; did you mean "…"?`, or nothing. */
export function didYouMean(word: string, known: readonly string[]): string {
  const best = suggest(word, known);
  return best === null ? '' : `; did you mean "${best}"?`;
}

function letters(word: string): string {
  return [...word.toLowerCase()].toSorted().join('');
}
