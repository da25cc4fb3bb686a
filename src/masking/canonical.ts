const plainAscii = /^[\x20-\x7e]*$/;
const refusedCharacters = /[\p{Cc}\p{Cf}\p{Cs}]/u;
/**
 * Composing is quadratic in a run of combining marks (measured: one minute for a body of 1 MiB). UAX #15 calls 30
 * enough for any text; a run of more than this is refused.
 */
const MAX_MARKS = 128;
const tooManyMarks = new RegExp(`\\p{M}{${String(MAX_MARKS + 1)}}`, 'u');

/** The value without white space at its ends: space, tab, LF, FF and CR, which is what WHATWG calls ASCII white space. */
export function trimAscii(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isSpace(value.charCodeAt(start))) start += 1;
  while (end > start && isSpace(value.charCodeAt(end - 1))) end -= 1;
  return start === 0 && end === value.length ? value : value.slice(start, end);
}

/**
 * The form in which equal texts are equal bytes: NFC, in lower case if asked for. The value is trimmed already. Null
 * when it holds NUL, a lone surrogate, a control or format character, or more combining marks than any script uses.
 */
export function canonicalText(trimmed: string, lower: boolean): string | null {
  if (plainAscii.test(trimmed)) return lower ? trimmed.toLowerCase() : trimmed;
  if (refusedCharacters.test(trimmed) || tooManyMarks.test(trimmed)) return null;
  const composed = trimmed.normalize('NFC');
  // Lower case may leave NFC (U+0130 with a mark below it); composing again makes the form stable.
  return lower ? composed.toLowerCase().normalize('NFC') : composed;
}

function isSpace(unit: number): boolean {
  return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d && unit !== 0x0b);
}
