import type { Cell } from './refusal.js';
import { refuse } from './refusal.js';

const datePattern = /^(\d{4})-(\d{2})-(\d{2})$/;
/** RFC 3339 5.6, groups: date, hour, minute, second, fraction, offset sign, hour, minute. */
const timePattern =
  /^(\d{4}-\d{2}-\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;
const MAX_FRACTION_DIGITS = 9;
/** Postgres takes offsets below 16 hours. */
const MAX_OFFSET_HOURS = 15;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** A date `YYYY-MM-DD` of the years 1 to 9999 that the calendar has. */
export function date(value: unknown): Cell {
  if (typeof value !== 'string' || !datePattern.test(value)) return refuse('wrong_type');
  return dayOf(value) === null ? refuse('out_of_range') : value;
}

/** An RFC 3339 time with its offset, to the nanosecond at most; Postgres rounds to microseconds. */
export function timestamptz(value: unknown): Cell {
  const parts = typeof value === 'string' ? timePattern.exec(value) : null;
  if (!parts) return refuse('wrong_type');
  const [text, day = '', hour = '', minute = '', second = '', fraction = '', sign, ...offset] = parts;
  const dayMs = dayOf(day);
  if (dayMs === null) return refuse('out_of_range');
  const [h, m, s] = [Number(hour), Number(minute), Number(second)];
  const [offsetHour = '0', offsetMinute = '0'] = offset;
  const [oh, om] = [Number(offsetHour), Number(offsetMinute)];
  if (h > 23 || m > 59 || s > 60 || oh > MAX_OFFSET_HOURS || om > 59) return refuse('out_of_range');
  if (fraction.length > MAX_FRACTION_DIGITS) return refuse('out_of_range');
  const offsetMs = (oh * 60 + om) * MINUTE_MS * (sign === '-' ? -1 : 1);
  const minuteEnd = dayMs + (h * 60 + m + 1) * MINUTE_MS - offsetMs;
  // Postgres takes a leap second, but none of its fractions.
  if (s === 60 && (!endsMonth(minuteEnd) || Number(fraction) > 0)) return refuse('out_of_range');
  return text.toUpperCase();
}

/** The day's first millisecond in UTC, or null when the calendar has no such day. */
function dayOf(text: string): number | null {
  const ms = Date.parse(`${text}T00:00:00Z`);
  if (Number.isNaN(ms) || text.startsWith('0000')) return null;
  return new Date(ms).toISOString().startsWith(text) ? ms : null;
}

/** Leap seconds are only ever put at the end of a month, UTC (RFC 3339 5.7). */
function endsMonth(ms: number): boolean {
  return ms % DAY_MS === 0 && new Date(ms).getUTCDate() === 1;
}
