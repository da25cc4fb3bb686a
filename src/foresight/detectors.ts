import { isIPv4, isIPv6 } from 'node:net';

/** Kinds of personal data that a value itself gives away. */
export const valueKinds = ['ip', 'email', 'iban', 'card', 'ssn', 'phone', 'coordinates'] as const;

/** One of `valueKinds`. */
export type ValueKind = (typeof valueKinds)[number];

const EMAIL = /^[^\s@<>()",;:]{1,64}@(?:[\p{L}\p{N}-]{1,63}\.)+[\p{L}]{2,24}$/u;
/** ISO 13616: a country, two check digits, up to 30 letters and digits; printed in groups. */
const IBAN = /^[A-Z]{2}[0-9]{2}[A-Z0-9 ]{10,37}[A-Z0-9]$/;
/** ISO/IEC 7812: 13 to 19 digits, printed in groups. */
const CARD = /^[2-6][0-9](?:[ -]?[0-9]){11,17}$/;
const SSN = /^[0-9]{3}-[0-9]{2}-[0-9]{4}$/;
/** ITU-T E.164: a plus and 8 to 15 digits. */
const PHONE = /^\+[1-9](?:[ ().-]{0,2}[0-9]){7,14}$/;
/** The way numbers are written within one country, where the field's name says that it is one. */
const NATIONAL_PHONE = /^\(?[0-9](?:[ ()./-]{0,2}[0-9]){5,14}$/;
const COORDINATES = /^-?[0-9]{1,2}\.[0-9]{2,}[,; ] ?-?[0-9]{1,3}\.[0-9]{2,}$/;
const IBAN_MODULUS = 97n;
const A = 'A'.charCodeAt(0);
const IBAN_FIRST_LETTER = 10;

/** Parts of free text that may be personal data on their own; words end at white space and at what encloses them. */
const WORD = /[^\s,;:!?"'<>()[\]{}|]{3,254}/g;
const IN_TEXT = [
  /\+[0-9][0-9 ().-]{7,20}[0-9]/g,
  /\b[2-6][0-9](?:[ -]?[0-9]){11,17}\b/g,
  /\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b/g,
] as const;
/** More of a text is not searched: what personal data it holds shows before. */
const MOST_SEARCHED = 10_000;

/** What kind of personal data a text is; null when it shows none. */
export function kindOf(text: string): ValueKind | null {
  if (text.length > 254) return null;
  return valueKinds.find((kind) => tests[kind](text)) ?? null;
}

/** Whether a text could be a telephone number as it is written in its own country. */
export function isNationalPhone(text: string): boolean {
  return NATIONAL_PHONE.test(text);
}

/** The first kind of personal data that stands somewhere within a text; null when there is none. */
export function kindWithin(text: string): ValueKind | null {
  const searched = text.slice(0, MOST_SEARCHED);
  for (const [word] of searched.matchAll(WORD)) {
    const kind = kindOf(word.replace(/[.]+$/, ''));
    if (kind !== null) return kind;
  }
  for (const pattern of IN_TEXT) {
    for (const [part] of searched.matchAll(pattern)) {
      const kind = kindOf(part.trim());
      if (kind !== null) return kind;
    }
  }
  return null;
}

const tests: Readonly<{ [kind in ValueKind]: (text: string) => boolean }> = {
  ip: (text) => isIPv4(text) || (isIPv6(text) && text !== '::'),
  email: (text) => EMAIL.test(text),
  iban: isIban,
  card: isCard,
  ssn: (text) => SSN.test(text),
  phone: (text) => PHONE.test(text),
  coordinates: (text) => COORDINATES.test(text),
};

/** ISO 7064 MOD 97-10 over the digits, with the first four characters moved to the end. */
function isIban(text: string): boolean {
  if (!IBAN.test(text) || text.includes('  ')) return false;
  const plain = text.replaceAll(' ', '');
  if (plain.length < 15 || plain.length > 34) return false;
  const digits = [...plain.slice(4), ...plain.slice(0, 4)].map((character) =>
    /[0-9]/.test(character) ? character : String(character.charCodeAt(0) - A + IBAN_FIRST_LETTER),
  );
  return BigInt(digits.join('')) % IBAN_MODULUS === 1n;
}

/** The digit sum of Luhn (ISO/IEC 7812-1, annex B): from the right, every second digit is doubled. */
function isCard(text: string): boolean {
  if (!CARD.test(text)) return false;
  const digits = [...text.replace(/[ -]/g, '')].map(Number).toReversed();
  const sum = digits.reduce((total, digit, i) => {
    const counted = i % 2 === 1 ? digit * 2 : digit;
    return total + (counted > 9 ? counted - 9 : counted);
  }, 0);
  return sum % 10 === 0;
}
