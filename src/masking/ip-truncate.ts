import { acceptIps, nullCells } from './accepted.js';
import { IP_BYTES } from './column.js';
import { formatIp, isMapped } from './ip.js';
import type { IpTruncateMask } from './methods.js';
import type { ColumnMask } from './refusal.js';

/** Bits in front of an IPv4 address in its 16 bytes. */
const MAPPED_BITS = 96;

/** Keeps the leading bits of addresses and clears the rest: `1.2.3.0`, without a suffix; IPv6 as RFC 5952 has it. */
export function ipTruncateMask({ v4, v6 }: IpTruncateMask): ColumnMask {
  return (values, normalized) => {
    const cells = nullCells(values);
    const { column, at } = acceptIps(values, cells, normalized);
    for (const [k, i] of at.entries()) {
      const address = column.bytes.subarray(k * IP_BYTES, (k + 1) * IP_BYTES);
      clearBehind(address, isMapped(address) ? MAPPED_BITS + v4 : v6);
      cells[i] = formatIp(address);
    }
    return cells;
  };
}

function clearBehind(address: Buffer, bits: number): void {
  const partial = Math.floor(bits / 8);
  if (partial === IP_BYTES) return;
  address[partial] = (address[partial] ?? 0) & (0xff00 >> (bits % 8));
  address.fill(0, partial + 1);
}
