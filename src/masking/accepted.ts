// What a masked column takes: strings, trimmed, in canonical form; whatever else is decided cell by cell.

import { encodeField, NULL_FIELD } from '../copy-text.js';
import { canonicalText, trimAscii } from './canonical.js';
import { type Column, IP_BYTES, fixedWidth } from './column.js';
import { writeIp } from './ip.js';
import type { ColumnSpec } from './methods.js';
import { type Cell, type ColumnMask, type Normalized, refuse } from './refusal.js';
import { isLonger } from './values.js';

/** Canonical texts, and which cells they are of. */
export interface AcceptedTexts {
  readonly texts: readonly string[];
  readonly at: readonly number[];
}

/** Addresses of 16 bytes each, and which cells they are of. */
export interface AcceptedIps {
  readonly column: Column;
  readonly at: readonly number[];
}

/** The value without white space at its ends; null when its cell is decided: not a string, or nothing left of it. */
export function trimmedOf(value: unknown, i: number, cells: Cell[], normalized: Normalized): string | null {
  if (typeof value !== 'string') {
    cells[i] = refuse('wrong_type');
    return null;
  }
  const trimmed = trimAscii(value);
  if (trimmed === '') {
    normalized.empty_to_null += 1;
    return null;
  }
  if (trimmed.length !== value.length) normalized.trimmed += 1;
  return trimmed;
}

/** The canonical texts of a column; every other cell is NULL or refused. */
export function acceptTexts(
  values: readonly unknown[],
  lower: boolean,
  cells: Cell[],
  normalized: Normalized,
): AcceptedTexts {
  const texts: string[] = [];
  const at: number[] = [];
  for (const [i, value] of values.entries()) {
    const trimmed = trimmedOf(value, i, cells, normalized);
    if (trimmed === null) continue;
    const canonical = canonicalText(trimmed, lower);
    if (canonical === null) cells[i] = refuse('bad_text');
    else {
      texts.push(canonical);
      at.push(i);
    }
  }
  return { texts, at };
}

/** The addresses of a column; every other cell is NULL or refused. */
export function acceptIps(values: readonly unknown[], cells: Cell[], normalized: Normalized): AcceptedIps {
  const bytes = Buffer.allocUnsafe(values.length * IP_BYTES);
  const at: number[] = [];
  for (const [i, value] of values.entries()) {
    const trimmed = trimmedOf(value, i, cells, normalized);
    if (trimmed === null) continue;
    if (writeIp(trimmed, bytes, at.length * IP_BYTES)) at.push(i);
    else cells[i] = refuse('bad_ip');
  }
  return { column: fixedWidth(bytes.subarray(0, at.length * IP_BYTES), IP_BYTES), at };
}

/** As many cells of NULL as there are values. */
export function nullCells(values: readonly unknown[]): Cell[] {
  return new Array<Cell>(values.length).fill(NULL_FIELD);
}

/**
 * A mask that makes one text of another: `change` gets canonical text and gives what is stored, null for NULL, or
 * refuses. It is called once for equal values of a column, which are forgotten with the column.
 */
export function textMask(
  { maxLength }: Pick<ColumnSpec, 'maxLength'>,
  lower: boolean,
  change: (canonical: string) => Cell | null,
): ColumnMask {
  const field = (text: string): Cell => {
    const cell = change(text);
    if (cell === null) return NULL_FIELD;
    if (typeof cell !== 'string') return cell;
    return maxLength !== null && isLonger(cell, maxLength) ? refuse('too_long') : encodeField(cell);
  };
  return (values, normalized) => {
    const cells = nullCells(values);
    const { texts, at } = acceptTexts(values, lower, cells, normalized);
    const known = new Map<string, Cell>();
    for (const [k, i] of at.entries()) {
      const text = texts[k] ?? '';
      const cell = known.get(text) ?? field(text);
      known.set(text, cell);
      cells[i] = cell;
    }
    return cells;
  };
}
