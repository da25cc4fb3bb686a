import { createHmac } from 'node:crypto';

import { trimmedOf, nullCells } from './accepted.js';
import { date, shiftedDay, timestamptz } from './calendar.js';
import { canonicalText, trimAscii } from './canonical.js';
import type { Keyring } from './keyring.js';
import type { ColumnSpec, DateShiftMask } from './methods.js';
import { type Cell, type ColumnMask, type Refusal, refuse } from './refusal.js';

/** `2024-02-29`, with which a time of RFC 3339 begins too. */
const DATE_CHARACTERS = 10;

/**
 * Moves dates and times by whole days, the same number for all values of one entity in one domain: u64be of the first
 * 8 bytes of HMAC-SHA-256(K, entity), mod 2·days + 1, - days. The time of day and the offset stay as they were written.
 * `companions` are the entities: canonical text. Throws `key_unavailable`.
 */
export function dateShiftMask(column: ColumnSpec, mask: DateShiftMask, keyring: Keyring): ColumnMask {
  const key = keyring.derive('date-shift', mask.domain, keyring.primaryKid);
  const range = BigInt(2 * mask.days + 1);
  const read = column.type === 'date' ? date : timestamptz;
  return (values, normalized, companions = []) => {
    const cells = nullCells(values);
    const shifts = new Map<string, number>();
    const shiftOf = (entity: string): number => {
      const known = shifts.get(entity);
      if (known !== undefined) return known;
      const digest = createHmac('sha256', key).update(entity, 'utf8').digest();
      const shift = Number(digest.readBigUInt64BE(0) % range) - mask.days;
      shifts.set(entity, shift);
      return shift;
    };
    for (const [i, value] of values.entries()) {
      const text = trimmedOf(value, i, cells, normalized);
      if (text === null) continue;
      const entity = canonicalEntity(companions[i]);
      const cell = typeof entity === 'string' ? read(text) : entity;
      cells[i] = typeof cell === 'string' && typeof entity === 'string' ? moved(cell, shiftOf(entity)) : cell;
    }
    return cells;
  };
}

/** The canonical text of the field that says whose a value is, or why it says that of nobody. */
export function canonicalEntity(value: unknown): string | Refusal {
  if (value === undefined || value === null) return refuse('missing_field');
  if (typeof value !== 'string') return refuse('wrong_type');
  const trimmed = trimAscii(value);
  if (trimmed === '') return refuse('missing_field');
  return canonicalText(trimmed, false) ?? refuse('bad_text');
}

function moved(text: string, days: number): Cell {
  const day = shiftedDay(text.slice(0, DATE_CHARACTERS), days);
  return day === null ? refuse('out_of_range') : day + text.slice(DATE_CHARACTERS);
}
