// What was received of a FIFO group is settled together: in one call, and with one delay.

import type { Receipt } from '../batch.js';
import { MAX_ENTRIES } from './queue-client.js';

/** Receipts for one call each: ten at most, a group's in one of them unless they are more than ten. */
export function inCalls(receipts: readonly Receipt[]): readonly (readonly Receipt[])[] {
  const calls: Receipt[][] = [];
  for (const unit of unitsOf(receipts)) {
    for (let from = 0; from < unit.length; from += MAX_ENTRIES) {
      const part = unit.slice(from, from + MAX_ENTRIES);
      const last = calls.at(-1);
      if (last !== undefined && last.length + part.length <= MAX_ENTRIES) last.push(...part);
      else calls.push(part);
    }
  }
  return calls;
}

/** The same delays, but that of a group is the longest of its receipts. */
export function groupDelay(
  receipts: readonly Receipt[],
  delayMs: (receipt: Receipt) => number,
): (receipt: Receipt) => number {
  const longest = new Map<string, number>();
  for (const receipt of receipts) {
    const { groupId } = receipt;
    if (groupId !== undefined) longest.set(groupId, Math.max(delayMs(receipt), longest.get(groupId) ?? 0));
  }
  return (receipt) => longest.get(receipt.groupId ?? '') ?? delayMs(receipt);
}

/** Receipts of one group, in the order of its first; one that is of none is alone. */
function unitsOf(receipts: readonly Receipt[]): readonly Receipt[][] {
  const units: Receipt[][] = [];
  const byGroup = new Map<string, Receipt[]>();
  for (const receipt of receipts) {
    const known = receipt.groupId === undefined ? undefined : byGroup.get(receipt.groupId);
    if (known !== undefined) {
      known.push(receipt);
      continue;
    }
    const unit = [receipt];
    units.push(unit);
    if (receipt.groupId !== undefined) byGroup.set(receipt.groupId, unit);
  }
  return units;
}
