import type { ErrorCode } from '../errors.js';
import type { BatchFate } from '../load/runs.js';
import { policies } from '../policy.js';
import type { FailedEntry } from '../roles/failed.js';
import type { Row } from './output.js';

/** The columns of `failed list`. */
export const FAILED_COLUMNS = [
  'job_id',
  'pipeline',
  'stage',
  'code',
  'records',
  'attempts',
  'failed_at',
  'reason',
];

/** On a terminal a reason is cut after so many characters; `failed show` has all of it. */
const SHORT_REASON = 60;

/** A failed job as a list shows it. */
export function failedRow(entry: FailedEntry): Row {
  const { batchId, pipeline, stage, code, payload, attempts, failedAt, reason } = entry;
  return {
    job_id: batchId,
    ...{ pipeline, stage, code, records: payload.records, attempts },
    failed_at: isoTime(failedAt),
    reason,
  };
}

/** The same for people: the code is not said twice, and the line not broken by a long reason. */
export function shortRow(entry: FailedEntry): Row {
  const words = entry.reason.slice(entry.code.length + ': '.length);
  const reason = words.length > SHORT_REASON ? `${words.slice(0, SHORT_REASON - 1)}…` : words;
  return { ...failedRow(entry), reason };
}

/** What to do about failed jobs: the remedy of each code, and then the command. */
export function nextSteps(entries: readonly FailedEntry[]): string {
  const counts = new Map<ErrorCode, number>();
  for (const { code } of entries) counts.set(code, (counts.get(code) ?? 0) + 1);
  const remedies = [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .map(([code, count]) => `  ${count} × ${code}: ${policies[code].remedy}`);
  return [
    'What to do:',
    ...remedies,
    '  then `maskline failed retry JOB_ID…`, or --all; what SQS has brought back meanwhile is not loaded twice.',
    '  `maskline failed show JOB_ID` tells all of one job.',
  ].join('\n');
}

/** What has become of a batch, in words; null: no fate is on record. */
function fateText(fate: BatchFate | null): string {
  if (fate === null) {
    return (
      'none on record: its ingester lets it go within seconds, or has died, in which case its messages come back ' +
      'when their visibility timeout ends'
    );
  }
  if (fate.state === 'committed') {
    return (
      `committed at ${fate.loaded_at ?? 'an unknown time'}: loaded ${fate.loaded}, duplicates ${fate.duplicates}, ` +
      `quarantined ${fate.quarantined}, so there is nothing left to retry; discard it`
    );
  }
  const when = fate.run_finished_at === null ? '' : `, which ended at ${fate.run_finished_at}`;
  return `released: its messages went back to SQS in run ${fate.run_id}${when}; they are received again`;
}

/** `failed show` as programs read it. */
export function failedDetails(entry: FailedEntry, fate: BatchFate | null): Row {
  const { payload, queuedBytes, takeovers, addedAt, startedAt } = entry;
  return {
    ...failedRow(entry),
    remedy: policies[entry.code].remedy,
    payload_version: payload.version,
    kid: payload.kid,
    keyring: payload.keyring,
    payload_bytes: payload.bytes,
    queued_bytes: queuedBytes,
    takeovers,
    added_at: isoTime(addedAt),
    started_at: startedAt === null ? null : isoTime(startedAt),
    run_id: fate?.run_id ?? null,
    fate: fate?.state ?? null,
    fate_text: fateText(fate),
  };
}

/** SQS keeps a message for four days unless its queue is told otherwise (AWS docs, MessageRetentionPeriod). */
const SQS_DEFAULT_RETENTION_MS = 4 * 86_400_000;

/** What to bear in mind before jobs are discarded, as a question. */
export function discardQuestion(entries: readonly FailedEntry[], now: number): string {
  const records = entries.reduce((sum, { payload }) => sum + (payload.records ?? 0), 0);
  const old = entries.filter(({ addedAt }) => now - addedAt > SQS_DEFAULT_RETENTION_MS).length;
  const warning =
    old === 0
      ? ''
      : ` ${old} of them are older than 4 days, after which SQS drops messages unless the queue keeps them for longer: ` +
        'they may be the last copy, and `maskline failed retry` loads whatever is not loaded yet.';
  return (
    `${countJobs(entries)} with ${records} records to be removed from the queue. ` +
    `Their messages stay: SQS hands them out again, or has moved them to its dead-letter queue.${warning} ` +
    'Go on?'
  );
}

/** How many jobs they are, in words. */
export function countJobs({ length }: readonly FailedEntry[]): string {
  return length === 1 ? '1 failed job' : `${length} failed jobs`;
}

/** Times as the interface prints them: ISO 8601, UTC. */
function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
