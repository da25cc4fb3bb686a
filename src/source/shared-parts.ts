import type { Delivery } from '../batch.js';
import type { Branch } from './branch.js';
import { type RouteTable, routed } from './route.js';

/**
 * Whose the records of a delivery are, as a delivery to each: the last part of a message goes to all who have had another
 * one, though it be empty for them. Who refuses a message gets none of it.
 */
export function partsOf(
  { envelope, records, receipt }: Delivery,
  table: RouteTable,
  branches: Iterable<Branch>,
): ReadonlyMap<Branch, Delivery> {
  const byPipeline = new Map<string, Delivery['records'][number][]>();
  for (const each of records) {
    const { pipeline, record } = routed(table, each, envelope.attributes);
    const own = byPipeline.get(pipeline);
    if (own === undefined) byPipeline.set(pipeline, [record]);
    else own.push(record);
  }
  const isLast = receipt.more !== true;
  const parts = new Map<Branch, Delivery>();
  for (const branch of branches) {
    const isRefused = branch.refuses(receipt.handle);
    if (isLast) branch.forget(receipt.handle);
    if (isRefused) continue;
    const own = byPipeline.get(branch.pipeline) ?? [];
    if (own.length === 0 && !(isLast && branch.has(receipt.handle))) continue;
    const bytes = byPipeline.size === 1 ? receipt.bytes : bytesOf(own);
    parts.set(branch, { envelope, records: own, receipt: { ...receipt, bytes } });
  }
  return parts;
}

function bytesOf(records: Delivery['records']): number {
  return records.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
}
