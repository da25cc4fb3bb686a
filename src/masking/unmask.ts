import { IP_BYTES, packBytes } from './column.js';
import { domainFf1 } from './ff1.js';
import { formatIp, writeIp } from './ip.js';
import { domainIpcrypt } from './ipcrypt.js';
import type { Keyring } from './keyring.js';
import type { MaskSpec } from './methods.js';

/** The canonical value of each stored text, null for what no value of the mask becomes; in order. */
export type Unmask = (stored: readonly string[]) => readonly (string | null)[];

/**
 * Undoes a reversible mask that keeps the format, under the key id that stands in its row; null for every other mask.
 * Nothing is authenticated: under another key id, or of a text that was never masked, other values come out. Throws
 * `key_unavailable`.
 */
export function unmaskOf(mask: MaskSpec, keyring: Keyring, kid: number): Unmask | null {
  switch (mask.method) {
    case 'ff1': {
      const cipher = domainFf1(keyring, mask, kid);
      return (stored) => stored.map((text) => cipher.decrypt(text));
    }
    case 'ipcrypt-det':
    case 'ipcrypt-pfx': {
      const cipher = domainIpcrypt(keyring, mask, kid);
      return (stored) => {
        const addresses = stored.map((text) => {
          const bytes = Buffer.alloc(IP_BYTES);
          return writeIp(text, bytes, 0) ? bytes : null;
        });
        const known = addresses.filter((bytes) => bytes !== null);
        const plain = cipher.decrypt(packBytes(known).bytes);
        let next = 0;
        return addresses.map((bytes) => {
          if (bytes === null) return null;
          next += IP_BYTES;
          return formatIp(plain.subarray(next - IP_BYTES, next));
        });
      };
    }
    default:
      return null;
  }
}
