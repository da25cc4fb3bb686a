import { isIPv4, isIPv6 } from 'node:net';

import { IP_BYTES } from './column.js';

/** Bytes 10 and 11 of an IPv4 address in IPv6's space, `::ffff:a.b.c.d` (RFC 4291 2.5.5.2). */
const MAPPED = 0xff;
const COLON = ':';

/**
 * Writes an address as 16 bytes, IPv4 as `::ffff:a.b.c.d`, and says whether it was one. Every spelling of an address
 * gives the same bytes; zone ids, octal, short forms and prefixes are no addresses.
 */
export function writeIp(text: string, target: Uint8Array, at: number): boolean {
  if (isIPv4(text)) {
    target.fill(0, at, at + 10);
    target.fill(MAPPED, at + 10, at + 12);
    writeIPv4(text, target, at + 12);
    return true;
  }
  if (!isIPv6(text) || text.includes('%')) return false;
  const gap = text.indexOf('::');
  target.fill(0, at, at + IP_BYTES);
  if (gap === -1) {
    writeGroups(text, target, at);
    return true;
  }
  writeGroups(text.slice(0, gap), target, at);
  const tail = text.slice(gap + 2);
  writeGroups(tail, target, at + IP_BYTES - groupBytes(tail));
  return true;
}

/** The address as text: dotted for IPv4 and IPv4-mapped addresses, RFC 5952 for all others. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length !== IP_BYTES) throw new RangeError('an address is 16 bytes long');
  if (isMapped(bytes)) return bytes.subarray(12).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  const { start, length } = longestZeros(groups);
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(COLON);
  if (length < 2) return hex(groups);
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** Whether 16 bytes are an IPv4 address, `::ffff:a.b.c.d`. */
export function isMapped(bytes: Uint8Array): boolean {
  for (let i = 0; i < 12; i += 1) if (bytes[i] !== (i < 10 ? 0 : MAPPED)) return false;
  return true;
}

/** The dotted form has passed `isIPv4`: four decimal parts without leading zeros. */
function writeIPv4(text: string, target: Uint8Array, at: number): void {
  let part = 0;
  let value = 0;
  for (let i = 0; i < text.length; i += 1) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0) {
      target[at + part] = value;
      part += 1;
      value = 0;
    } else value = value * 10 + digit;
  }
  target[at + part] = value;
}

/** Groups of one side of `::`, which have passed `isIPv6`; the last may be dotted. */
function writeGroups(text: string, target: Uint8Array, at: number): void {
  if (text === '') return;
  let end = at;
  for (const group of text.split(COLON)) {
    if (group.includes('.')) {
      writeIPv4(group, target, end);
      return;
    }
    const value = Number.parseInt(group, 16);
    target[end] = value >> 8;
    target[end + 1] = value & 0xff;
    end += 2;
  }
}

function groupBytes(text: string): number {
  if (text === '') return 0;
  return text.split(COLON).length * 2 + (text.includes('.') ? 2 : 0);
}

/** RFC 5952 4.2: the longest run of zero groups is shortened, the first of equal ones. */
function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [i, group] of groups.entries()) {
    if (group !== 0) start = i + 1;
    else if (i + 1 - start > best.length) best = { start, length: i + 1 - start };
  }
  return best;
}
