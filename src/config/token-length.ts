import { type TokenMask, type VaultMask, tokenLength } from '../masking/methods.js';

const FIRST_KID = 1;
// A token carries its kid in at most four digits.
const LAST_KID = 9999;
// Identifiers, mail addresses and most names are shorter; below this a limit deserves a second look.
const ROOMY_BYTES = 128;

interface Verdict {
  readonly wrong: (message: string) => void;
  readonly doubtful: (message: string) => void;
}

/** Bytes of the largest value, up to `most`, whose token always fits into so many characters; 0 when none does. */
export function largestValue(mask: TokenMask | VaultMask, maxLength: number, most: number): number {
  let bytes = most;
  while (bytes > 0 && tokenLength(mask, LAST_KID, bytes) > maxLength) bytes -= 1;
  return bytes;
}

/** Says when no token fits into the column, none once key ids have grown, or none of longer values. */
export function reportTokenLength(mask: TokenMask | VaultMask, maxLength: number, verdict: Verdict): void {
  const shortest = tokenLength(mask, FIRST_KID, 1);
  const grown = tokenLength(mask, LAST_KID, 1);
  if (maxLength < shortest) {
    verdict.wrong(
      `no token of the mask ${mask.method} fits: it has ${shortest} characters or more; allow ${grown}`,
    );
    return;
  }
  if (maxLength < grown) {
    verdict.doubtful(`tokens have ${grown} characters once key ids have four digits; allow ${grown}`);
    return;
  }
  const bytes = largestValue(mask, maxLength, ROOMY_BYTES);
  if (bytes < ROOMY_BYTES) {
    verdict.doubtful(
      `a value of more than ${bytes} bytes gets a token that does not fit, and is rejected as too_long`,
    );
  }
}
