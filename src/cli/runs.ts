import type { RunState } from '../batch.js';
import { PipelineError, asPipelineError } from '../errors.js';
import { checkSchema } from '../load/migrate.js';
import { type LoadRow, listRuns, showRun } from '../load/runs.js';
import type { Deployment } from '../roles/deployment.js';
import type { FailedEntry } from '../roles/failed.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { withFailedQueues } from './failed.js';
import { FAILED_COLUMNS, failedRow, shortRow } from './failed-text.js';
import { type Row, renderTable } from './output.js';
import { readSelection } from './selection.js';

const COUNTS = ['received', 'loaded', 'duplicates', 'quarantined', 'released'] as const;
const RUN_COLUMNS = ['run_id', 'pipeline', 'trigger', 'state', 'started_at', 'finished_at', ...COUNTS];
const BATCH_COLUMNS = ['batch_id', 'state', 'received_at', 'loaded_at', ...COUNTS];

const STATES: { readonly [state in RunState]: true } = {
  running: true,
  succeeded: true,
  failed: true,
  canceled: true,
  breaker_open: true,
  abandoned: true,
};

interface RunsListOptions {
  readonly limit: number;
  readonly state?: readonly string[];
  readonly since?: string;
}

/** `runs list`: the latest runs, newest first. */
export const runsList: Command<RunsListOptions> = async (context, { limit, state: states = [], since }) => {
  const unknown = states.filter((state) => !Object.hasOwn(STATES, state));
  if (unknown.length > 0) {
    throw new PipelineError('usage', `--state must be one of ${Object.keys(STATES).join(', ')}`);
  }
  const deployment = openDeployment(context, 'cli');
  const from = since === undefined ? null : readSelection({ since }, deployment.clock.now()).since;
  const rows = await withPool(deployment, 'cli', async (pool) => {
    await checkSchema(pool);
    return listRuns(pool, {
      limit,
      ...(context.pipelines.length > 0 ? { pipelines: context.pipelines } : {}),
      ...(states.length > 0 ? { states } : {}),
      ...(from === null ? {} : { since: from }),
    });
  });
  context.out.list(
    rows.map((row): Row => ({ ...row })),
    RUN_COLUMNS,
  );
  return exitCode.ok;
};

/** `runs show`: one run, its batches, and those of them that are kept as failed jobs. */
export const runsShow: Command<{ readonly args: readonly string[] }> = async (context, { args }) => {
  const [runId = ''] = args;
  const deployment = openDeployment(context, 'cli');
  const run = await withPool(deployment, 'cli', async (pool) => {
    await checkSchema(pool);
    return showRun(pool, runId);
  });
  if (run === null)
    throw new PipelineError('not_found', 'there is no such run; `maskline runs list` shows the latest');
  const { batches, ...head } = run;
  const failed = await failedOf(context, deployment, run.pipeline, batches);
  const batchRows = batches.map((batch): Row => ({ ...batch }));
  const tables = [renderTable([{ ...head }], RUN_COLUMNS), renderTable(batchRows, BATCH_COLUMNS)];
  if (failed !== null && failed.length > 0) {
    tables.push(`kept as failed:\n${renderTable(failed.map(shortRow), FAILED_COLUMNS)}`);
  }
  context.out.result(
    { ...head, batches: batchRows, failed_jobs: failed === null ? null : failed.map(failedRow) },
    tables.join('\n\n'),
  );
  return exitCode.ok;
};

/** The failed jobs among a run's batches; null, and said why, when they can't be known. */
async function failedOf(
  context: CliContext,
  deployment: Deployment,
  pipeline: string,
  batches: readonly LoadRow[],
): Promise<readonly FailedEntry[] | null> {
  const { config } = deployment;
  // A job that failed has lost its batch: one that is committed needs no look.
  const released = batches.filter(({ state }) => state === 'released').map((batch) => batch.batch_id);
  if (released.length === 0 || config.queue.backend === 'memory') return [];
  if (!config.pipelines.some(({ name }) => name === pipeline)) {
    context.out.note(`pipeline ${pipeline} is not in ${config.file} any more, so its queues are not asked`);
    return null;
  }
  try {
    const one = { ...context, pipelines: [pipeline] };
    return await withFailedQueues(one, deployment, (queues) => queues.find(released), 0);
  } catch (error) {
    context.out.note(`failed jobs are left out: ${asPipelineError(error).message}`);
    return null;
  }
}
