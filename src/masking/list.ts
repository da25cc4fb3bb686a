import { NULL_FIELD, decodeField, encodeField } from '../copy-text.js';
import type { ColumnSpec } from './methods.js';
import { type Cell, type ColumnMask, refuse } from './refusal.js';

const arraySpecial = /["\\]/g;

/**
 * Masks the elements of lists, all of a column's at once, and stores them as a JSON array, or as an array of texts
 * where the type is `text[]`. An element without a value is a null in it; one that is refused refuses its record.
 */
export function listMask({ type, mask }: ColumnSpec, element: ColumnMask): ColumnMask {
  const write = type === 'text[]' ? textArray : mask.method === 'keep' ? jsonOfJson : jsonOfTexts;
  return (values, normalized, companions = []) => {
    const present: unknown[] = [];
    const owners: unknown[] = [];
    for (const [i, value] of values.entries()) {
      for (const item of Array.isArray(value) ? value : []) {
        if (isNone(item)) continue;
        present.push(item);
        owners.push(companions[i]);
      }
    }
    const cells = element(present, normalized, owners);
    if (cells.length !== present.length)
      throw new RangeError('a mask returned fewer or more cells than values');
    let next = 0;
    return values.map((value) => {
      if (!Array.isArray(value)) return refuse('wrong_type');
      const own: Cell[] = value.map((item: unknown) => (isNone(item) ? NULL_FIELD : (cells[next++] ?? '')));
      const refused = own.find((cell) => typeof cell !== 'string');
      if (refused !== undefined) return refused;
      const texts = own.map((cell) =>
        typeof cell !== 'string' || cell === NULL_FIELD ? null : decodeField(cell),
      );
      return encodeField(write(texts));
    });
  };
}

function isNone(value: unknown): boolean {
  return value === undefined || value === null;
}

function jsonOfTexts(texts: readonly (string | null)[]): string {
  return JSON.stringify(texts);
}

function jsonOfJson(texts: readonly (string | null)[]): string {
  return `[${texts.map((text) => text ?? 'null').join(',')}]`;
}

/** An array literal (PostgreSQL documentation, 8.15.2) in which every text is quoted. */
function textArray(texts: readonly (string | null)[]): string {
  const items = texts.map((text) => (text === null ? 'NULL' : `"${text.replace(arraySpecial, '\\$&')}"`));
  return `{${items.join(',')}}`;
}
