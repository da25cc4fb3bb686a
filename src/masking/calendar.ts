import type { Period } from './methods.js';
import { type Cell, refuse } from './refusal.js';

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

/** A valid date so many days later, or null beyond the years 1 to 9999. */
export function shiftedDay(day: string, days: number): string | null {
  const ms = dayOf(day);
  return ms === null ? null : dayAt(ms + days * DAY_MS);
}

/** The first day, in ISO 8601's calendar, of the period that a valid date lies in. */
export function startOfPeriod(day: string, period: Exclude<Period, 'hour'>): string {
  switch (period) {
    case 'year':
      return `${day.slice(0, 4)}-01-01`;
    case 'quarter': {
      const month = Number(day.slice(5, 7));
      return `${day.slice(0, 5)}${String(month - ((month - 1) % 3)).padStart(2, '0')}-01`;
    }
    case 'month':
      return `${day.slice(0, 7)}-01`;
    case 'week': {
      // From Monday on; 0001-01-01 is one, so that no week begins before it.
      const sinceMonday = (new Date(dayOf(day) ?? 0).getUTCDay() + 6) % 7;
      return shiftedDay(day, -sinceMonday) ?? day;
    }
    case 'day':
      return day;
  }
}

/**
 * The UTC date and hour, as `2024-02-29` and `07`, of a time that `timestamptz` took; null beyond the years 1 to 9999.
 * A leap second is in the hour that it ends.
 */
export function utcHour(time: string): { readonly day: string; readonly hour: string } | null {
  const [, day = '', hour = '', minute = '', , , sign, offsetHour = '0', offsetMinute = '0'] =
    timePattern.exec(time) ?? [];
  const offset = (Number(offsetHour) * 60 + Number(offsetMinute)) * (sign === '-' ? -1 : 1);
  const ms = (dayOf(day) ?? 0) + (Number(hour) * 60 + Number(minute) - offset) * MINUTE_MS;
  const utc = dayAt(ms);
  return utc === null ? null : { day: utc, hour: new Date(ms).toISOString().slice(11, 13) };
}

/** The UTC date at that time; null beyond the years 1 to 9999. */
function dayAt(ms: number): string | null {
  const day = new Date(ms).toISOString().slice(0, 10);
  return datePattern.test(day) && !day.startsWith('0000') ? day : null;
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
