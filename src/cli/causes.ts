// What many failed jobs and quarantined records have in common, so that one mending is one command.

import { createHash } from 'node:crypto';
import type { QuarantineCause } from '../load/quarantine-entries.js';
import { PipelineError } from '../errors.js';
import type { FailedEntry } from '../roles/failed.js';

/** Failed jobs of one pipeline and stage whose errors say the same of different batches; newest job first. */
export interface FailedCause {
  readonly id: string;
  readonly jobs: readonly [FailedEntry, ...FailedEntry[]];
}

/** Of the hash; a list of causes is short, and who is told of two is asked for more of neither. */
const ID_DIGITS = 8;

/** Ids and numbers differ from batch to batch, and are no part of the cause. */
const VARYING = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+/gi;

/** The id of what quarantined records have in common: the same at every look. */
export function quarantineCauseId({
  pipeline,
  code,
  path,
  policy_sha256: policy,
}: Pick<QuarantineCause, 'pipeline' | 'code' | 'path' | 'policy_sha256'>): string {
  return idOf([pipeline, code, path, policy]);
}

/** The id of what a failed job has in common with others. */
export function failedCauseId({ pipeline, stage, reason }: FailedEntry): string {
  return idOf([pipeline, stage, reason.replace(VARYING, '#')]);
}

/** The jobs by cause, the most frequent first. */
export function failedCauses(entries: readonly FailedEntry[]): readonly FailedCause[] {
  const causes = new Map<string, [FailedEntry, ...FailedEntry[]]>();
  for (const entry of entries.toSorted((a, b) => b.failedAt - a.failedAt)) {
    const id = failedCauseId(entry);
    const jobs = causes.get(id);
    if (jobs) jobs.push(entry);
    else causes.set(id, [entry]);
  }
  return [...causes].map(([id, jobs]) => ({ id, jobs })).toSorted((a, b) => b.jobs.length - a.jobs.length);
}

/** Throws `not_found`: nothing has that cause any more, or ever had. */
export function noSuchCause(id: string, list: string): PipelineError {
  return new PipelineError(
    'not_found',
    `nothing has the cause ${id}; \`maskline ${list} --by-cause\` lists them`,
  );
}

function idOf(parts: readonly (string | null)[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, ID_DIGITS);
}
