/** SQL NULL in COPY's text format. */
export const NULL_FIELD = '\\N';

const NEWLINE = 0x0a;
const special = /[\\\t\n\r]/;
const allSpecial = /[\\\t\n\r]/g;
const escapes: Readonly<{ [character: string]: string }> = {
  '\\': '\\\\',
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
};
const unescapes: Readonly<{ [letter: string]: string }> = { t: '\t', n: '\n', r: '\r' };

/**
 * A value as one field of COPY's text format. The value holds no NUL and no lone surrogate: Postgres has no NUL, and
 * UTF-8 no surrogates. As every backslash is doubled, no line of such fields can ever be the end mark `\.`.
 */
export function encodeField(value: string): string {
  if (!special.test(value)) return value;
  return value.replace(allSpecial, (character) => escapes[character] ?? character);
}

/** The value of a field that `encodeField` wrote; NULL is `NULL_FIELD`, and no value. */
export function decodeField(field: string): string {
  if (!field.includes('\\')) return field;
  return field.replace(/\\(.)/g, (_, letter: string) => unescapes[letter] ?? letter);
}

/** Rows as COPY text: `columns[c][r]` is an encoded field; only the rows named are written, each ended by a newline byte. */
export function encodeRows(columns: readonly (readonly string[])[], rows: readonly number[]): Buffer {
  let text = '';
  for (const row of rows) {
    let separator = '';
    for (const column of columns) {
      const field = column[row];
      if (field === undefined) throw new RangeError(`row ${String(row)} lacks a field`);
      text += separator + field;
      separator = '\t';
    }
    text += '\n';
  }
  return Buffer.from(text, 'utf8');
}

/** Where each line ends, just behind its newline byte. Throws RangeError when the last line has no newline. */
export function lineEnds(rows: Buffer): readonly number[] {
  const ends: number[] = [];
  for (let at = rows.indexOf(NEWLINE); at !== -1; at = rows.indexOf(NEWLINE, at + 1)) ends.push(at + 1);
  if ((ends.at(-1) ?? 0) !== rows.length) throw new RangeError('COPY text does not end with a newline');
  return ends;
}

/** The line of that index, its newline byte included; a view, not a copy. */
export function lineAt(rows: Buffer, ends: readonly number[], index: number): Buffer {
  return rows.subarray(index === 0 ? 0 : ends[index - 1], ends[index]);
}

/** The rows without the lines whose indexes are in `drop`; the same buffer when there is nothing to drop. */
export function withoutLines(rows: Buffer, ends: readonly number[], drop: ReadonlySet<number>): Buffer {
  if (drop.size === 0) return rows;
  const kept: Buffer[] = [];
  let start = 0;
  let lineStart = 0;
  for (const [index, end] of ends.entries()) {
    if (drop.has(index)) {
      if (lineStart > start) kept.push(rows.subarray(start, lineStart));
      start = end;
    }
    lineStart = end;
  }
  if (lineStart > start) kept.push(rows.subarray(start, lineStart));
  return Buffer.concat(kept);
}
