import { PipelineError } from '../errors.js';
import { checkSchema } from '../load/migrate.js';
import { listRuns, showRun } from '../load/runs.js';
import type { Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode } from './exit.js';
import { type Row, renderTable } from './output.js';

const COUNTS = ['received', 'loaded', 'duplicates', 'quarantined', 'released'] as const;
const RUN_COLUMNS = ['run_id', 'pipeline', 'trigger', 'state', 'started_at', 'finished_at', ...COUNTS];
const BATCH_COLUMNS = ['batch_id', 'state', 'loaded_at', ...COUNTS];

/** `runs list`: the latest runs, newest first. */
export const runsList: Command<{ readonly limit: number }> = async (context, { limit }) => {
  const rows = await withPool(openDeployment(context, 'cli'), 'cli', async (pool) => {
    await checkSchema(pool);
    return listRuns(pool, {
      limit,
      ...(context.pipelines.length > 0 ? { pipelines: context.pipelines } : {}),
    });
  });
  context.out.list(
    rows.map((row): Row => ({ ...row })),
    RUN_COLUMNS,
  );
  return exitCode.ok;
};

/** `runs show`: one run and its batches. */
export const runsShow: Command<{ readonly args: readonly string[] }> = async (context, { args }) => {
  const [runId = ''] = args;
  const run = await withPool(openDeployment(context, 'cli'), 'cli', async (pool) => {
    await checkSchema(pool);
    return showRun(pool, runId);
  });
  if (run === null)
    throw new PipelineError('not_found', 'there is no such run; `maskline runs list` shows the latest');
  const { batches, ...head } = run;
  const batchRows = batches.map((batch): Row => ({ ...batch }));
  context.out.result(
    { ...head, batches: batchRows },
    `${renderTable([{ ...head }], RUN_COLUMNS)}\n\n${renderTable(batchRows, BATCH_COLUMNS)}`,
  );
  return exitCode.ok;
};
