import { PipelineError } from '../errors.js';
import { Releases } from '../lifecycle.js';
import { checkSchema } from '../load/migrate.js';
import { readFate } from '../load/runs.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { type FailedEntry, type FailedQueues, openFailedQueues } from '../roles/failed.js';
import { failedCauseId, failedCauses, noSuchCause } from './causes.js';
import { confirm } from './confirmation.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { FAILED_CAUSE_COLUMNS, failedCauseRow, failedCauseSteps } from './failed-causes.js';
import {
  FAILED_COLUMNS,
  countJobs,
  discardQuestion,
  failedDetails,
  failedRow,
  nextSteps,
  shortRow,
} from './failed-text.js';
import { type Cell, renderFields } from './output.js';
import { type Selection, type SelectionOptions, readSelection, readTargets } from './selection.js';

/** Options of commands that change failed jobs. */
export interface FailedChangeOptions extends SelectionOptions {
  readonly dryRun?: boolean;
}

interface FailedListOptions extends SelectionOptions {
  readonly byCause?: boolean;
}

/** `failed list`: newest first; people also read what to do. */
export const failedList: Command<FailedListOptions> = async (context, options) => {
  const { out } = context;
  const deployment = openDeployment(context, 'cli');
  const selection = readSelection({ ...options, args: [] }, deployment.clock.now());
  const entries = await withFailedQueues(context, deployment, (queues) => selectFailed(queues, selection));
  if (options.byCause) {
    const rows = failedCauses(entries).map(failedCauseRow);
    if (out.json || rows.length > 0) out.list(rows, FAILED_CAUSE_COLUMNS);
    if (!out.json) out.note(failedCauseSteps(rows));
    return exitCode.ok;
  }
  printFailed(context, entries);
  if (context.out.json) return exitCode.ok;
  context.out.note(entries.length === 0 ? 'No failed jobs.' : nextSteps(entries));
  return exitCode.ok;
};

/** `failed show`: all that is known of one job without opening it, and what has become of its batch. */
export const failedShow: Command<{ readonly args: readonly string[] }> = async (context, { args }) => {
  const deployment = openDeployment(context, 'cli');
  const [entry] = await withFailedQueues(context, deployment, (queues) => findAll(queues, args));
  if (entry === undefined) throw noSuchJobs(args);
  const fate = await withPool(deployment, 'cli', async (pool) => {
    await checkSchema(pool);
    return readFate(pool, entry.batchId);
  });
  const { fate: _state, fate_text, ...rest } = failedDetails(entry, fate);
  const fields: readonly (readonly [string, Cell])[] = [...Object.entries(rest), ['fate', fate_text ?? null]];
  context.out.result(failedDetails(entry, fate), renderFields(fields));
  return exitCode.ok;
};

/**
 * `failed discard`: removes jobs. No record is lost by it: a batch whose fate is `released` was given back to SQS
 * before; one that has none is let go by its ingester, which finds it in no queue, or by the visibility timeout when
 * the ingester is dead; one that is committed is in the database; and what a retry failed to load was released by the
 * batch's first run. Only SQS itself ends that, by its retention, which is why old jobs are pointed out.
 */
export const failedDiscard: Command<FailedChangeOptions> = async (context, options) => {
  const deployment = openDeployment(context, 'cli');
  const { clock } = deployment;
  const targets = readTargets(options, clock.now());
  return withFailedQueues(context, deployment, async (queues) => {
    const entries = await selectFailed(queues, targets);
    if (entries.length === 0) return nothingToDo(context);
    if (options.dryRun) return preview(context, entries, 'removed');
    if (!(await confirm(context, discardQuestion(entries, clock.now())))) return declined(context);
    const rows = [];
    for (const entry of entries) {
      // False: somebody else has retried or discarded it meanwhile.
      const discarded = await queues.discard(entry);
      rows.push({ ...failedRow(entry), discarded });
    }
    context.out.list(rows, [...FAILED_COLUMNS.filter((name) => name !== 'reason'), 'discarded']);
    return exitCode.ok;
  });
};

/**
 * Lends the queues of the pipelines that were named, once their server answers; waits `startup_timeout` for it, or so
 * long. Throws `usage` for queues in memory.
 */
export async function withFailedQueues<T>(
  { pipelines }: CliContext,
  deployment: Deployment,
  work: (queues: FailedQueues) => Promise<T>,
  waitMs = deployment.config.startupTimeoutMs,
): Promise<T> {
  const releases = new Releases();
  try {
    const selected = selectPipelines(deployment.config, pipelines);
    return await work(await openFailedQueues(deployment, selected, { releases, waitMs }));
  } finally {
    await releases.release();
  }
}

/** The failed jobs that a change is about. Throws `not_found`, and nothing is changed, when an id or cause is not there. */
export async function selectFailed(
  queues: FailedQueues,
  { ids, cause, ...filter }: Selection,
): Promise<readonly FailedEntry[]> {
  if (ids.length > 0) return findAll(queues, ids);
  if (cause === null) return queues.list(filter);
  const all = await queues.list({ ...filter, limit: null });
  const entries = all.filter((entry) => failedCauseId(entry) === cause);
  if (entries.length === 0) throw noSuchCause(cause, 'failed list');
  return entries.slice(0, filter.limit ?? Infinity);
}

/** Says that no job matches: no failure, so that a script may ask at any time. */
export function nothingToDo({ out }: CliContext): number {
  out.note('No failed jobs match; nothing to do.');
  return exitCode.ok;
}

/** Lists what would be changed. */
export function preview(context: CliContext, entries: readonly FailedEntry[], done: string): number {
  printFailed(context, entries);
  context.out.note(`${countJobs(entries)} would be ${done}; nothing was changed.`);
  return exitCode.ok;
}

/** Says that the question was answered with no. */
export function declined({ out }: CliContext): number {
  out.note('Nothing was changed.');
  return exitCode.failed;
}

function printFailed({ out }: CliContext, entries: readonly FailedEntry[]): void {
  if (out.json || entries.length > 0) out.list(entries.map(out.json ? failedRow : shortRow), FAILED_COLUMNS);
}

async function findAll(queues: FailedQueues, ids: readonly string[]): Promise<readonly FailedEntry[]> {
  const wanted = [...new Set(ids)];
  const entries = await queues.find(wanted);
  const known = new Set(entries.map((entry) => entry.batchId));
  const unknown = wanted.filter((id) => !known.has(id));
  if (unknown.length > 0) throw noSuchJobs(unknown);
  return entries;
}

function noSuchJobs(ids: readonly string[]): PipelineError {
  return new PipelineError(
    'not_found',
    `no failed job ${ids.join(', ')}: it was retried or discarded, was dropped by queue.keep_failed, or never was`,
  );
}
