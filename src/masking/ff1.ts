import type { KeyObject } from 'node:crypto';

import { FF1 } from '@noble/ciphers/ff1.js';

import { textMask } from './accepted.js';
import { lp } from './framing.js';
import type { Keyring } from './keyring.js';
import type { ColumnSpec, Ff1Mask } from './methods.js';
import { type ColumnMask, refuse } from './refusal.js';

/** Encrypts and decrypts texts that fit a template, each to one that fits it too; null for all others. */
export interface Ff1Cipher {
  encrypt(text: string): string | null;
  decrypt(text: string): string | null;
}

/** FF1 (NIST SP 800-38G r1) under that key of 16, 24 or 32 bytes: the runs of a template are one numeral string. */
export function ff1Cipher(
  { template, alphabet }: Pick<Ff1Mask, 'template' | 'alphabet'>,
  key: KeyObject,
  tweak: Uint8Array,
): Ff1Cipher {
  const numerals = [...alphabet];
  const values = new Map(numerals.map((numeral, value) => [numeral, value]));
  const cipher = FF1(numerals.length, key.export(), tweak);
  const shape = shapeOf(template, numerals);
  const through = (text: string, work: (digits: number[]) => number[]): string | null => {
    const runs = shape
      .exec(text)
      ?.slice(1)
      .map((run) => [...run]);
    if (!runs) return null;
    const changed = work(runs.flat().map((numeral) => values.get(numeral) ?? 0));
    let at = 0;
    let next = 0;
    return template
      .map((part) => {
        if ('literal' in part) return part.literal;
        const from = at;
        at += runs[next]?.length ?? 0;
        next += 1;
        return changed
          .slice(from, at)
          .map((value) => numerals[value] ?? '')
          .join('');
      })
      .join('');
  };
  return {
    encrypt: (text) => through(text, (digits) => cipher.encrypt(digits)),
    decrypt: (text) => through(text, (digits) => cipher.decrypt(digits)),
  };
}

/** The cipher of a mask under that key id: the domain is the tweak. Throws `key_unavailable`. */
export function domainFf1(keyring: Keyring, mask: Ff1Mask, kid: number): Ff1Cipher {
  return ff1Cipher(mask, keyring.derive('ff1', mask.domain, kid), lp(mask.domain));
}

/** Masks with FF1 under the primary key. What does not fit the template is refused. Throws `key_unavailable`. */
export function ff1Mask(column: ColumnSpec, mask: Ff1Mask, keyring: Keyring): ColumnMask {
  const cipher = domainFf1(keyring, mask, keyring.primaryKid);
  return textMask(column, false, (text) => cipher.encrypt(text) ?? refuse('bad_text'));
}

/** Escaped by code points, no character of the alphabet or of a separator has a meaning of its own. */
function shapeOf(template: Ff1Mask['template'], numerals: readonly string[]): RegExp {
  const escaped = (text: string): string =>
    [...text].map((character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`).join('');
  const numeral = `[${escaped(numerals.join(''))}]`;
  const parts = template.map((part) =>
    'literal' in part ? escaped(part.literal) : `(${numeral}{${part.least},${part.most}})`,
  );
  return new RegExp(`^${parts.join('')}$`, 'u');
}
