import { elementTexts } from './json-member.js';
import { parsedOrNull, skipSpace } from './json-text.js';

/** How a message holds its records. */
export type RecordsMode = 'auto' | 'one' | 'array' | 'lines';

/** The texts of the records, as they came; or why the message can't be taken apart. */
export type Split =
  { readonly texts: readonly string[] } | { readonly rejected: 'bad_envelope' | 'too_large' };

/** An array that is empty or begins with an object: others, such as `["event", {…}]`, are one thing, not many. */
const ARRAY_OF_OBJECTS = /^\ufeff?[ \t\r\n]*\[[ \t\r\n]*[{\]]/;
const BYTE_ORDER_MARK = 0xfeff;
const BLANK_LINE = /^[ \t\r]*$/;

/**
 * Takes a text apart into at most `most` records; more of them are `too_large`. `array`: the elements of a JSON array, of
 * any type; `bad_envelope` for all else. `lines`: each line that is not blank, whatever it is. `auto`: an array that is
 * empty or begins with an object, and lines whose first is a JSON object and whose second begins like one; all else is
 * one record. A text of blank lines only is one record too: no JSON, and nobody's empty list.
 */
export function split(text: string, mode: RecordsMode, most: number): Split {
  if (mode === 'one') return { texts: [text] };
  if (mode === 'lines' || (mode === 'auto' && isLines(text))) return within(linesOf(text, most));
  if (mode === 'auto' && !ARRAY_OF_OBJECTS.test(text)) return { texts: [text] };
  const json = text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text;
  if (Array.isArray(parsedOrNull(json))) return within(elementTexts(json, most));
  return mode === 'array' ? { rejected: 'bad_envelope' } : { texts: [text] };
}

function within(texts: readonly string[] | null): Split {
  return texts === null ? { rejected: 'too_large' } : { texts };
}

/** Whether the text surely is one of JSON lines: no text that is JSON as a whole begins so. */
function isLines(text: string): boolean {
  const start = skipSpace(text, text.charCodeAt(0) === BYTE_ORDER_MARK ? 1 : 0);
  if (text[start] !== '{') return false;
  const end = text.indexOf('\n', start);
  if (end === -1 || text[skipSpace(text, end)] !== '{') return false;
  return parsedOrNull(text.slice(start, end)) !== null;
}

/** The lines that are not blank, without their ends; null when there are more than `most`. */
function linesOf(text: string, most: number): readonly string[] | null {
  const lines: string[] = [];
  for (let at = 0; at < text.length;) {
    const newline = text.indexOf('\n', at);
    const end = newline === -1 ? text.length : newline;
    const line = text.slice(at, text[end - 1] === '\r' && end > at ? end - 1 : end);
    at = end + 1;
    if (BLANK_LINE.test(line)) continue;
    if (lines.length === most) return null;
    lines.push(line);
  }
  return lines.length === 0 ? [text] : lines;
}
