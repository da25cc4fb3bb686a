// Values that a column takes, made up by its mask and type.

import type { ColumnSpec, FieldPath, MaskSpec } from '../masking/methods.js';
import type { Marks } from './messages.js';

const DEVICES = 997;
const HEX = 16;
const PHONE_DIGITS = 9;
/** A card number that schemes publish for tests. */
const TEST_CARD = '4111111111111111';

/** Puts a value at a path into an event, and keeps what is there already; `[*]` is a list of one. */
export function place(event: { [field: string]: unknown }, { name, steps }: FieldPath, value: unknown): void {
  const first = steps.reduceRight<unknown>((inner, step) => {
    if ('member' in step) return { [step.member]: inner };
    return 'index' in step ? [...new Array<null>(step.index).fill(null), inner] : [inner];
  }, value);
  event[name] = merged(event[name], first);
}

function merged(before: unknown, after: unknown): unknown {
  if (before === undefined || before === null) return after;
  if (Array.isArray(before) && Array.isArray(after)) {
    const length = Math.max(before.length, after.length);
    return Array.from({ length }, (_, i) => merged(before[i], after[i] as unknown));
  }
  if (!isEvent(before) || !isEvent(after)) return before;
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return Object.fromEntries(names.map((name) => [name, merged(before[name], after[name])]));
}

function isEvent(value: unknown): value is { readonly [field: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value of the `index`-th message for a column; undefined where none can be made up for its mask. */
export function valueFor(column: ColumnSpec, marks: Marks, index: number): unknown {
  const { mask, type, maxLength } = column;
  const masked = maskedValue(mask, marks, index);
  if (masked !== null) return masked;
  switch (type) {
    case 'text':
    case 'text[]':
      return `${marks.kept}-${index}`.slice(-(maxLength ?? Infinity));
    case 'integer':
    case 'bigint':
    case 'numeric':
      return index;
    case 'boolean':
      return index % 2 === 0;
    case 'date':
      return '2026-01-31';
    case 'timestamptz':
      return '2026-01-31T12:00:00Z';
    case 'uuid':
      return `00000000-0000-4000-8000-${index.toString(HEX).padStart(12, '0')}`;
    case 'inet':
      return '192.0.2.1';
    case 'jsonb':
      return { index };
    case 'version_int':
      return '1.2.3';
  }
}

/** Null when the column's type decides. */
function maskedValue(mask: MaskSpec, marks: Marks, index: number): unknown {
  const text = `${marks.secret}-${index % DEVICES}`;
  const address = `${marks.address}::${index.toString(HEX).slice(-4)}`;
  switch (mask.method) {
    case 'siv':
    case 'hmac':
    case 'vault':
      return mask.as === 'ip' ? address : text;
    case 'ip-truncate':
    case 'ipcrypt-det':
    case 'ipcrypt-pfx':
      return address;
    case 'partial':
      return partialValue(mask.kind, text, index);
    case 'ff1':
      return mask.template
        .map((part) => {
          if ('literal' in part) return part.literal;
          const numerals = [...mask.alphabet];
          return Array.from({ length: part.most }, (_, i) => numerals[(index + i) % numerals.length]).join(
            '',
          );
        })
        .join('');
    case 'bucket':
      return index;
    case 'generalize':
      if ('map' in mask) return mask.map[index % mask.map.length]?.[0];
      return mask.to === 'ip_version' ? address : null;
    default:
      return null;
  }
}

function partialValue(kind: 'email' | 'phone' | 'card' | 'pattern', text: string, index: number): unknown {
  switch (kind) {
    case 'email':
      return `${text}@example.com`;
    case 'phone':
      return `+1${String(index).padStart(PHONE_DIGITS, '5')}`;
    case 'card':
      return TEST_CARD;
    case 'pattern':
      return undefined;
  }
}
