import { skipSpace } from './json-text.js';

/**
 * The source text of a member of a JSON object, which a parse and a print would change (digits of large numbers,
 * escapes, order). `json` must be the valid text of an object (RFC 8259). A name that occurs twice counts where it
 * occurs last, as in JSON.parse. Null when there is no such member.
 */
export function memberText(json: string, name: string): string | null {
  let found: string | null = null;
  let at = json.indexOf('{') + 1;
  for (;;) {
    at = skipSpace(json, at);
    if (at >= json.length || json[at] === '}') return found;
    if (json[at] === ',') {
      at += 1;
      continue;
    }
    const nameEnd = stringEnd(json, at);
    const isIt = JSON.parse(json.slice(at, nameEnd)) === name;
    const start = skipSpace(json, json.indexOf(':', nameEnd) + 1);
    at = valueEnd(json, start);
    if (isIt) found = json.slice(start, at);
  }
}

/**
 * The source texts of the elements of a JSON array, which must be the valid text of one; null when there are more than
 * `most`.
 */
export function elementTexts(json: string, most: number): readonly string[] | null {
  const elements: string[] = [];
  let at = skipSpace(json, json.indexOf('[') + 1);
  while (at < json.length && json[at] !== ']') {
    if (elements.length === most) return null;
    const end = valueEnd(json, at);
    elements.push(json.slice(at, end));
    at = skipSpace(json, end);
    if (json[at] === ',') at = skipSpace(json, at + 1);
  }
  return elements;
}

/** Just after the string that begins at `from`. */
function stringEnd(json: string, from: number): number {
  let at = from + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Just after the value that begins at `from`. Loops instead of recursing: depth is the sender's choice. */
function valueEnd(json: string, from: number): number {
  let at = from;
  let depth = 0;
  while (at < json.length) {
    const char = json[at];
    if (char === '"') {
      at = stringEnd(json, at);
    } else if (char === '{' || char === '[') {
      depth += 1;
      at += 1;
    } else if (char === '}' || char === ']') {
      if (depth === 0) return at;
      depth -= 1;
      at += 1;
    } else if (
      depth === 0 &&
      (char === ',' || char === ' ' || char === '\n' || char === '\r' || char === '\t')
    ) {
      return at;
    } else {
      at += 1;
      continue;
    }
    if (depth === 0) return at;
  }
  return at;
}
