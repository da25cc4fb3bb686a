import { policies } from '../policy.js';
import type { FailedEntry } from '../roles/failed.js';
import type { JobForecast } from '../roles/retry-rehearsal.js';
import { type FailedCause, failedCauseId, failedCauses } from './causes.js';
import { failedRow } from './failed-text.js';
import type { Row } from './output.js';
import { isoTime } from './report.js';

/** What of a cause fits a terminal. */
export const FAILED_CAUSE_COLUMNS = [
  ...['cause', 'pipeline', 'stage', 'code', 'jobs', 'records'],
  ...['oldest_at', 'newest_at', 'sample_id'],
] as const;

/** The columns of `failed retry --dry-run` on a terminal: causes, and what would become of their records. */
export const FORECAST_COLUMNS = [
  ...['cause', 'pipeline', 'stage', 'code', 'jobs', 'would_load', 'would_be_duplicates'],
  ...['would_be_rejected', 'would_stay'],
] as const;

/** A cause as lists have it. */
export type FailedCauseRow = Row & {
  readonly cause: string;
  readonly reason: string;
  readonly remedy: string;
  readonly next: string;
};

/** A cause under the names of the interface, with its latest reason, its remedy, and the command for after that. */
export function failedCauseRow({ id, jobs }: FailedCause): FailedCauseRow {
  const [{ pipeline, stage, code, batchId, reason, failedAt }] = jobs;
  return {
    ...{ cause: id, pipeline, stage, code, jobs: jobs.length, records: recordsOf(jobs) },
    oldest_at: isoTime(jobs.reduce((least, job) => Math.min(least, job.failedAt), failedAt)),
    newest_at: isoTime(failedAt),
    ...{ sample_id: batchId, reason, remedy: policies[code].remedy },
    next: `maskline failed retry --cause ${id} --dry-run`,
  };
}

/** What to do about each cause, and then the command. */
export function failedCauseSteps(rows: readonly FailedCauseRow[]): string {
  if (rows.length === 0) return 'No failed jobs.';
  const steps = rows.flatMap(({ cause, reason, remedy, next }) => [
    `  ${cause}: ${reason}`,
    `    → ${remedy}`,
    `    ${next}`,
  ]);
  return ['What to do:', ...steps, '  without --dry-run it loads them.'].join('\n');
}

/** A failed job and what would become of it: for programs. */
export function forecastRow({ entry, wouldLoad, duplicates, codes, left }: JobForecast): Row {
  return {
    ...failedRow(entry),
    ...{ dry_run: true, cause: failedCauseId(entry), would_load: wouldLoad, would_be_duplicates: duplicates },
    ...{ would_be_rejected: sum(Object.values(codes)), codes },
    would_stay: left === null ? null : left.code,
    why: left?.why ?? null,
  };
}

/** The same by cause: for people. */
export function forecastCauses(forecasts: readonly JobForecast[]): readonly Row[] {
  return failedCauses(forecasts.map(({ entry }) => entry)).map(({ id, jobs }) => {
    const own = forecasts.filter(({ entry }) => jobs.includes(entry));
    const [{ pipeline, stage, code }] = jobs;
    const rejected = sum(own.flatMap(({ codes }) => Object.values(codes)));
    const stays = own.flatMap(({ left }) => left?.code ?? []);
    const which = [...new Set([...own.flatMap(({ codes }) => Object.keys(codes))])].join(', ');
    return {
      ...{ cause: id, pipeline, stage, code, jobs: jobs.length },
      would_load: sum(own.map(({ wouldLoad }) => wouldLoad)),
      would_be_duplicates: sum(own.map(({ duplicates }) => duplicates)),
      would_be_rejected: rejected === 0 ? 0 : `${rejected} (${which})`,
      would_stay: stays.length === 0 ? 0 : `${stays.length} (${[...new Set(stays)].join(', ')})`,
    };
  });
}

function recordsOf(jobs: readonly FailedEntry[]): number {
  return sum(jobs.map(({ payload }) => payload.records ?? 0));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
