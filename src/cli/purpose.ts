import { PipelineError } from '../errors.js';

/** Words, not a keystroke. */
const MIN_CHARACTERS = 8;

/** Why something is done that goes on record. Throws `usage` for less than words. */
export function purposeOf(given = ''): string {
  const purpose = given.trim();
  if (purpose.length >= MIN_CHARACTERS) return purpose;
  throw new PipelineError(
    'usage',
    `--purpose TEXT of at least ${MIN_CHARACTERS} characters: who does it, and why, goes on record`,
  );
}
