import { textMask } from './accepted.js';
import type { ColumnSpec, PartialMask } from './methods.js';
import { type Cell, type ColumnMask, refuse } from './refusal.js';

/** Stands for what is hidden of an address or a number, always of this length, so that it tells none. */
const HIDDEN = '***';
/**
 * A mail address: a dot-atom (RFC 5321 4.1.2, and RFC 6531's letters) of at most 64 characters, and a domain of two or
 * more labels. Quoted local parts and address literals are not taken.
 */
const mailAddress =
  /^(?<local>[\p{L}\p{N}\p{M}!#$%&'*+/=?^_`{|}~-]+(?:\.[\p{L}\p{N}\p{M}!#$%&'*+/=?^_`{|}~-]+)*)@(?<domain>[\p{L}\p{N}\p{M}-]+(?:\.[\p{L}\p{N}\p{M}-]+)+)$/u;
const MAX_LOCAL = 64;
/** RFC 1035 2.3.4; also keeps what the pattern is tried on short. */
const MAX_DOMAIN = 253;
const phoneSeparators = /[ ./()-]/g;
/** E.164 numbers have at most 15 digits. */
const phoneDigits = /^\+?[0-9]{1,15}$/;
/** Fewer hidden digits than this hide nothing. */
const MIN_HIDDEN_DIGITS = 3;
const cardSeparators = /[ -]/g;
/** ISO/IEC 7812-1: up to 19 digits; no scheme issues less than 13. */
const cardDigits = /^[0-9]{13,19}$/;
const CARD_SHOWN_FIRST = 6;
const CARD_SHOWN_LAST = 4;
/** A pattern is tried on no more bytes than this. */
const MAX_PATTERN_BYTES = 1024;

/** Shows the part of a text that its kind says. What is not of that kind is refused. */
export function partialMask(column: ColumnSpec, mask: PartialMask): ColumnMask {
  switch (mask.kind) {
    case 'email':
      return textMask(column, false, email);
    case 'phone':
      return textMask(column, false, (text) => phone(text, mask.show));
    case 'card':
      return textMask(column, false, card);
    case 'pattern':
      return textMask(column, false, pattern(mask));
  }
}

/** `a***@example.com`; of a local part of a single character, nothing is shown. */
function email(text: string): Cell {
  if (text.length > MAX_LOCAL * 2 + 1 + MAX_DOMAIN) return refuse('bad_text');
  const { local = '', domain = '' } = mailAddress.exec(text)?.groups ?? {};
  const characters = [...local];
  if (characters.length === 0 || characters.length > MAX_LOCAL || domain.length > MAX_DOMAIN)
    return refuse('bad_text');
  const shown = characters.length === 1 ? '' : (characters[0] ?? '');
  return `${shown}${HIDDEN}@${domain.toLowerCase().normalize('NFC')}`;
}

/** `***1234`: the last digits only, whatever the separators. */
function phone(text: string, show: number): Cell {
  const number = text.replace(phoneSeparators, '');
  if (!phoneDigits.test(number)) return refuse('bad_text');
  const digits = number.replace('+', '');
  return digits.length < show + MIN_HIDDEN_DIGITS ? refuse('bad_text') : `${HIDDEN}${digits.slice(-show)}`;
}

/** `411111******1111`, a star for each hidden digit. Its check digit must be right. */
function card(text: string): Cell {
  const digits = text.replace(cardSeparators, '');
  if (!cardDigits.test(digits) || !isLuhn(digits)) return refuse('bad_text');
  const hidden = digits.length - CARD_SHOWN_FIRST - CARD_SHOWN_LAST;
  return digits.slice(0, CARD_SHOWN_FIRST) + '*'.repeat(hidden) + digits.slice(-CARD_SHOWN_LAST);
}

/** The check of ISO/IEC 7812-1 annex B: every second digit from the right is doubled. */
function isLuhn(digits: string): boolean {
  let sum = 0;
  for (let i = 0; i < digits.length; i += 1) {
    const digit = digits.charCodeAt(digits.length - 1 - i) - 0x30;
    const doubled = i % 2 === 1 ? digit * 2 : digit;
    sum += doubled > 9 ? doubled - 9 : doubled;
  }
  return sum % 10 === 0;
}

/** What is stored is made by `replace` alone, as the pattern must match the whole value. */
function pattern(mask: Extract<PartialMask, { kind: 'pattern' }>): (text: string) => Cell {
  const whole = new RegExp(`^(?:${mask.pattern})$`, 'su');
  return (text) => {
    if (Buffer.byteLength(text, 'utf8') > MAX_PATTERN_BYTES) return refuse('too_long');
    return whole.test(text) ? text.replace(whole, mask.replace) : refuse('bad_text');
  };
}
