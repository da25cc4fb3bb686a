import { type Started, runService } from '../lifecycle.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { assemble } from '../roles/assembly.js';
import type { FailedEntry } from '../roles/failed.js';
import { Retry, type RetryResult } from '../roles/retry.js';
import { STOP_DEADLINE_MS, inOrder } from '../roles/role.js';
import { startWorkers } from '../roles/workers.js';
import { confirm } from './confirmation.js';
import type { CliContext, Command } from './context.js';
import { openDeployment } from './deployment.js';
import { exitCode, exitCodeOf } from './exit.js';
import {
  type FailedChangeOptions,
  declined,
  nothingToDo,
  preview,
  selectFailed,
  withFailedQueues,
} from './failed.js';
import { countJobs } from './failed-text.js';
import { reportLifecycle } from './lifecycle-report.js';
import type { Output } from './output.js';
import { reportRow, reportText } from './report.js';
import { readTargets } from './selection.js';

/** `failed retry`: one run per pipeline, with workers of its own; workers elsewhere may take the jobs. */
export const failedRetry: Command<FailedChangeOptions> = async (context, options) => {
  const deployment = openDeployment(context, 'retry');
  const targets = readTargets(options, deployment.clock.now());
  const entries = await withFailedQueues(context, deployment, (queues) => selectFailed(queues, targets));
  if (entries.length === 0) return nothingToDo(context);
  if (options.dryRun) return preview(context, entries, 'retried');
  const question = `${countJobs(entries)} to be loaded once more. Go on?`;
  if (options.all && !(await confirm(context, question))) return declined(context);
  return runService({
    start: (up) => startRetry(context, deployment, entries, up),
    deadlineMs: STOP_DEADLINE_MS,
    exitCodeOf,
    exitCodeOnSignal: exitCode.failed,
    report: reportLifecycle(context, deployment.log),
  });
};

async function startRetry(
  { out }: CliContext,
  deployment: Deployment,
  entries: readonly FailedEntry[],
  up: Parameters<Parameters<typeof runService>[0]['start']>[0],
): Promise<Started> {
  const pipelines = selectPipelines(deployment.config, [...new Set(entries.map(({ pipeline }) => pipeline))]);
  const assembly = await assemble(deployment, { ...up, pipelines, role: 'retry', receives: false });
  const retries = assembly.pipelines.map((one) => {
    const jobs = entries.filter((entry) => entry.pipeline === one.pipeline.name);
    return { one, retry: new Retry(deployment, assembly, one, jobs) };
  });
  const workers = retries.flatMap(({ one, retry }) => {
    const onError = (error: unknown): void => retry.onError(error);
    return startWorkers(deployment, one, assembly.keyring, { role: 'all', jobs: null, onError });
  });
  const soft = new AbortController();
  const hard = new AbortController();
  const retryAll = async (): Promise<number> => {
    let isClean = true;
    for (const { retry } of retries) {
      if (soft.signal.aborted) return exitCode.failed;
      const result = await retry.run({ soft: soft.signal, hard: hard.signal });
      printResult(out, result);
      isClean &&= result.report.state === 'succeeded';
    }
    return isClean ? exitCode.ok : exitCode.failed;
  };
  const done = retryAll();
  const retrying = {
    stop: async (mode: 'soft' | 'hard' = 'soft') => {
      soft.abort();
      if (mode === 'hard') hard.abort();
      await done.catch(() => undefined);
    },
  };
  return { service: inOrder([[retrying], workers]), done };
}

function printResult(out: Output, { report, refused, gone }: RetryResult): void {
  const refusedRows = refused.map(({ batchId, why }) => ({ job_id: batchId, reason: why }));
  const lines = refused.map(({ batchId, why }) => `  left as it is: ${batchId}: ${why}`);
  if (gone > 0) lines.push(`  retried or discarded by somebody else meanwhile: ${gone}`);
  if (report.released > 0) {
    lines.push('  what was released failed again, under new ids: see `maskline failed list`');
  }
  out.result({ ...reportRow(report), refused: refusedRows, gone }, [reportText(report), ...lines].join('\n'));
}
