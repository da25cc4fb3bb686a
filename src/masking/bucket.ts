import { trimmedOf, nullCells } from './accepted.js';
import { type Decimal, compareDecimals, floorAt, parseDecimal, scaleOf, writeDecimal } from './decimal.js';
import { encodeField } from '../copy-text.js';
import { PipelineError } from '../errors.js';
import { isLonger } from './values.js';
import type { BucketMask, ColumnSpec } from './methods.js';
import { type Cell, type ColumnMask, refuse } from './refusal.js';

/** Buckets of a width end where a bucket's name would be unreadable; edges have no such limit. */
const MAX_INTEGER_DIGITS = 30;

/**
 * Names the range that a number lies in: `[18,30)`, below the first edge `(,18)`, from the last on `[65,)`. Takes JSON
 * numbers by their digits, and decimal strings; nothing is rounded.
 */
export function bucketMask({ maxLength }: Pick<ColumnSpec, 'maxLength'>, mask: BucketMask): ColumnMask {
  const name = 'edges' in mask ? byEdges(mask.edges) : byWidth(mask.width);
  return (values, normalized) => {
    const cells = nullCells(values);
    for (const [i, value] of values.entries()) {
      const text = trimmedOf(value, i, cells, normalized);
      if (text === null) continue;
      const number = parseDecimal(text);
      const cell = number === null ? refuse('wrong_type') : name(number);
      const isTooLong = typeof cell === 'string' && maxLength !== null && isLonger(cell, maxLength);
      cells[i] = typeof cell !== 'string' ? cell : isTooLong ? refuse('too_long') : encodeField(cell);
    }
    return cells;
  };
}

function byEdges(written: readonly string[]): (number: Decimal) => Cell {
  const edges = written.map(exact);
  return (number) => {
    let below = 0;
    let above = edges.length;
    while (below < above) {
      const middle = (below + above) >> 1;
      const edge = edges[middle];
      if (edge && compareDecimals(edge, number) <= 0) below = middle + 1;
      else above = middle;
    }
    return `${below === 0 ? '(' : '['}${written[below - 1] ?? ''},${written[below] ?? ''})`;
  };
}

function byWidth(written: string): (number: Decimal) => Cell {
  const width = exact(written);
  const scale = scaleOf(width);
  const step = floorAt(width, scale);
  return (number) => {
    if (number.point > MAX_INTEGER_DIGITS) return refuse('out_of_range');
    const units = floorAt(number, scale);
    const above = ((units % step) + step) % step;
    const low = units - above;
    return `[${writeDecimal(low, scale)},${writeDecimal(low + step, scale)})`;
  };
}

function exact(written: string): Decimal {
  const number = parseDecimal(written);
  if (number) return number;
  throw new PipelineError('config_invalid', 'an edge or the width of the mask bucket is no decimal number');
}
