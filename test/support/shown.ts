// What a page says that a command shows, against what it showed: the same lines, whatever is different each time.

import assert from 'node:assert/strict';

/** What differs from run to run, and the name that stands for it. */
const VARYING: readonly (readonly [RegExp, string])[] = [
  [/\b[sh]\d+\.[\w-]{20,}…?/g, 'TOKEN'],
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, 'UUID'],
  [/\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2})?)?/g, 'TIME'],
  [/\b127\.0\.0\.1:\d+/g, 'ADDRESS'],
  [/\b\d+(?:\.\d+)? (?:s|ms)\b/g, 'DURATION'],
  [/-{3,}/g, '---'],
  [/\s+/g, ' '],
];

/** Each line that is said to be shown is in what was printed, in that order. Fails with the first that is not. */
export function assertShows(shows: string, printed: string): void {
  const lines = shapesOf(printed);
  let at = 0;
  for (const shape of shapesOf(shows)) {
    const found = lines.indexOf(shape, at);
    assert.ok(found >= 0, `it does not show "${shape}"; it shows:\n${printed}`);
    at = found + 1;
  }
}

function shapesOf(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => VARYING.reduce((shape, [pattern, name]) => shape.replaceAll(pattern, name), line).trim())
    .filter((line) => line !== '');
}
