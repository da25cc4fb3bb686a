/** A JSON number (RFC 8259 6), groups: integer part, fraction, exponent. */
export const decimalPattern = /^-?(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;

/** An exact decimal number: sign · 0.digits · 10^point. `digits` neither begins nor ends with 0; of zero it is empty. */
export interface Decimal {
  readonly sign: -1 | 0 | 1;
  readonly digits: string;
  readonly point: number;
}

const ZERO = 0x30;

/** The number that JSON text is, digit for digit, or null when it is none. */
export function parseDecimal(text: string): Decimal | null {
  const parts = decimalPattern.exec(text);
  if (!parts) return null;
  const [, whole = '', fraction = '', exponent = '0'] = parts;
  const all = whole + fraction;
  let from = 0;
  let to = all.length;
  while (from < to && all.charCodeAt(from) === ZERO) from += 1;
  while (to > from && all.charCodeAt(to - 1) === ZERO) to -= 1;
  if (from === to) return { sign: 0, digits: '', point: 0 };
  const point = whole.length - from + Number(exponent);
  return { sign: text.startsWith('-') ? -1 : 1, digits: all.slice(from, to), point };
}

/** Negative when a < b, 0 when they are equal, positive when a > b. */
export function compareDecimals(a: Decimal, b: Decimal): number {
  if (a.sign !== b.sign) return a.sign - b.sign;
  if (a.point !== b.point) return a.point < b.point ? -a.sign : a.sign;
  // Without zeros at their ends, digits behind a common point compare as text.
  if (a.digits === b.digits) return 0;
  return a.digits < b.digits ? -a.sign : a.sign;
}

/** How many digits stand behind the point when the number is written out. */
export function scaleOf({ digits, point }: Decimal): number {
  return Math.max(0, digits.length - point);
}

/** The greatest integer that is not above the number times 10^scale. The number has at most some hundred digits before its point. */
export function floorAt({ sign, digits, point }: Decimal, scale: number): bigint {
  const length = Math.max(0, point + scale);
  const units = BigInt(digits.slice(0, length).padEnd(length, '0') || '0');
  if (sign >= 0) return units;
  return digits.length > length ? -units - 1n : -units;
}

/** `units` · 10^-scale, written out without an exponent and without zeros at the end of its fraction. */
export function writeDecimal(units: bigint, scale: number): string {
  const text = String(units < 0n ? -units : units).padStart(scale + 1, '0');
  const whole = text.slice(0, text.length - scale);
  const fraction = text.slice(text.length - scale).replace(/0+$/, '');
  return `${units < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`;
}
