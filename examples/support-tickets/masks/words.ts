/** Whether something is a list of words. */
export function isWords(given: unknown): given is readonly string[] {
  return Array.isArray(given) && given.every((word) => typeof word === 'string' && /^\p{L}+$/u.test(word));
}

/** Finds the words, whatever their case. */
export function patternOf(words: readonly string[]): RegExp {
  return new RegExp(`(?<!\\p{L})(?:${words.join('|')})(?!\\p{L})`, 'giu');
}
