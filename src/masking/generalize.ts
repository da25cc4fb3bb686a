import { acceptIps, nullCells, textMask, trimmedOf } from './accepted.js';
import { date, startOfPeriod, timestamptz, utcHour } from './calendar.js';
import { IP_BYTES } from './column.js';
import { isMapped } from './ip.js';
import type { ColumnSpec, GeneralizeMask, Period } from './methods.js';
import { type Cell, type ColumnMask, refuse } from './refusal.js';

/**
 * Gives many values one: the beginning of the period that a date or, in UTC, a time lies in; 4 or 6 for an address; the
 * group that a map names for a text.
 */
export function generalizeMask(column: ColumnSpec, mask: GeneralizeMask): ColumnMask {
  if ('map' in mask) return groupMask(column, mask);
  if (mask.to === 'ip_version') return ipVersion;
  const { to } = mask;
  const start = column.type === 'date' ? startOfDate(to) : startOfTime(to);
  return (values, normalized) => {
    const cells = nullCells(values);
    for (const [i, value] of values.entries()) {
      const text = trimmedOf(value, i, cells, normalized);
      if (text !== null) cells[i] = start(text);
    }
    return cells;
  };
}

const ipVersion: ColumnMask = (values, normalized) => {
  const cells = nullCells(values);
  const { column, at } = acceptIps(values, cells, normalized);
  for (const [k, i] of at.entries())
    cells[i] = isMapped(column.bytes.subarray(k * IP_BYTES, (k + 1) * IP_BYTES)) ? '4' : '6';
  return cells;
};

function groupMask(column: ColumnSpec, mask: Extract<GeneralizeMask, { map: unknown }>): ColumnMask {
  const groups = new Map(mask.map);
  const other = mask.other === undefined ? refuse('bad_text') : mask.other;
  return textMask(column, mask.lower, (text) => groups.get(text) ?? other);
}

function startOfDate(to: Period): (text: string) => Cell {
  return (text) => {
    const day = date(text);
    return typeof day === 'string' && to !== 'hour' ? startOfPeriod(day, to) : day;
  };
}

function startOfTime(to: Period): (text: string) => Cell {
  return (text) => {
    const time = timestamptz(text);
    if (typeof time !== 'string') return time;
    const utc = utcHour(time);
    if (utc === null) return refuse('out_of_range');
    return to === 'hour' ? `${utc.day}T${utc.hour}:00:00Z` : `${startOfPeriod(utc.day, to)}T00:00:00Z`;
  };
}
