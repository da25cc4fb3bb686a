import type { QuarantineCount, QuarantineRow } from '../load/quarantine-entries.js';
import { remedyFor } from '../masking/remedies.js';
import type { Row } from './output.js';

/** The keys of an entry in lists, in their order. */
const LIST_KEYS = [
  'id',
  'pipeline',
  'code',
  'path',
  'kind',
  'record_id',
  'message_id',
  'sent_at',
  'quarantined_at',
  'replayed_at',
] as const;

/** What of them fits a terminal; `show` has the rest. */
export const SHORT_KEYS = ['id', 'pipeline', 'code', 'path', 'kind', 'quarantined_at'] as const;

/** The columns of `quarantine list --by-code`. */
export const COUNT_COLUMNS = ['pipeline', 'code', 'path', 'open', 'replayed', 'oldest_at', 'newest_at'];

/** An entry as lists have it. */
export function listRow(entry: QuarantineRow): Row {
  return Object.fromEntries(LIST_KEYS.map((key) => [key, entry[key]]));
}

/** All that is known of an entry without opening it. */
export function fullRow(entry: QuarantineRow): Row {
  const { id, pipeline, code, path, kind, record_id, message_id, batch_id, kid, bytes } = entry;
  const { sent_at, quarantined_at, replayed_at } = entry;
  return {
    ...{ id, pipeline, code, path, kind, record_id, message_id, batch_id, kid, bytes },
    ...{ sent_at, quarantined_at, replayed_at },
  };
}

/** Codes with their counts, the most frequent first: `too_long 3, bad_ip 1`. */
export function codesText(codes: Readonly<{ [code: string]: number }>): string {
  return Object.entries(codes)
    .toSorted(([, a], [, b]) => b - a)
    .map(([code, count]) => `${code} ${count}`)
    .join(', ');
}

/** Counts by code, of open entries. */
export function openByCode(counts: readonly QuarantineCount[]): { readonly [code: string]: number } {
  const codes: { [code: string]: number } = {};
  for (const { code, open } of counts) if (open > 0) codes[code] = (codes[code] ?? 0) + open;
  return codes;
}

/** What to do about open entries: what each code means, its remedy, and then the command. */
export function nextSteps(counts: readonly QuarantineCount[]): string {
  const codes = openByCode(counts);
  const open = Object.values(codes).reduce((sum, count) => sum + count, 0);
  if (open === 0) return 'Nothing in quarantine is open.';
  return [
    `${open} open in quarantine. What to do:`,
    ...remedyLines(codes, counts),
    '  then `maskline quarantine replay --all`, or with --code, or IDs; --dry-run says first what would pass.',
    '  `maskline quarantine show ID` tells all of one.',
  ].join('\n');
}

/** A line for each code: how often, where, what it means and its remedy. */
export function remedyLines(
  codes: Readonly<{ [code: string]: number }>,
  counts: readonly QuarantineCount[] = [],
): readonly string[] {
  return Object.entries(codes)
    .toSorted(([, a], [, b]) => b - a)
    .map(([code, count]) => {
      const paths = new Set(counts.filter((one) => one.code === code).flatMap(({ path }) => path ?? []));
      const at = paths.size === 0 ? '' : ` (${[...paths].join(', ')})`;
      const { meaning, remedy } = remedyFor(code);
      return `  ${count} × ${code}${at}: ${meaning} → ${remedy}`;
    });
}
