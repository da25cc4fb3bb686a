// CUST-XXXXXXXXXXXX: the same for the same customer, as long as the key is the same.
import { defineMasker } from 'maskline';

const LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789';
const LENGTH = 12;

export const pseudonym = defineMasker({
  keyed: true,
  mask: (value, { hmac }) => {
    if (!/^[0-9]{1,12}$/.test(value)) return null;
    const digest = Buffer.from(hmac(value), 'base64url');
    return `CUST-${[...digest.subarray(0, LENGTH)].map((byte) => LETTERS[byte % LETTERS.length]).join('')}`;
  },
});
