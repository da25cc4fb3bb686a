// The journal of a process's failpoints: what it was at when it was killed.

import { existsSync, readFileSync } from 'node:fs';

/** What a process had begun and not ended. */
export interface Unfinished {
  /** Batches whose job was under way. */
  readonly batchIds: readonly string[];
  /** Messages received and neither acked nor released. */
  readonly messages: number;
  /** The last point that was passed; null when there was none. */
  readonly lastPoint: string | null;
}

/** Reads a journal up to its last whole line. A process that has not written any yet had begun nothing. */
export function readJournal(file: string): Unfinished {
  const batches = new Set<string>();
  const ending = new Set<string>();
  let messages = 0;
  let lastPoint: string | null = null;
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    const [, point = '', batchId = '', count = '0'] = line.split(' ');
    if (point === '') continue;
    lastPoint = point;
    for (const ended of ending) batches.delete(ended);
    ending.clear();
    if (point === 'transform.before' || point === 'load.before') batches.add(batchId);
    // Whose end is the last thing on record may not be known to the queue yet.
    if (JOB_ENDS.has(point)) ending.add(batchId);
    if (point === 'receive.after') messages += Number(count);
    if (point === 'ack.after' || point === 'release.after') messages -= Number(count);
  }
  return { batchIds: [...batches], messages: Math.max(0, messages), lastPoint };
}

const JOB_ENDS = new Set(['transform.after', 'transform.failed', 'load.after', 'load.failed']);

/** Adds to `counts` how often each point was passed. */
export function countPassages(file: string, counts: Map<string, number>): void {
  if (!existsSync(file)) return;
  for (const [, point = ''] of readFileSync(file, 'utf8').matchAll(/^\d+ (\S+) /gm)) {
    counts.set(point, (counts.get(point) ?? 0) + 1);
  }
}
