import { type Started, runService } from '../lifecycle.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { assemble } from '../roles/assembly.js';
import type { FailedEntry } from '../roles/failed.js';
import { Retry, type RetryResult } from '../roles/retry.js';
import { openKeyring } from '../roles/keyring.js';
import { type JobForecast, rehearseRetry } from '../roles/retry-rehearsal.js';
import { STOP_DEADLINE_MS, inOrder } from '../roles/role.js';
import { startWorkers } from '../roles/workers.js';
import { confirm } from './confirmation.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode, exitCodeOf } from './exit.js';
import { type FailedChangeOptions, declined, nothingToDo, selectFailed, withFailedQueues } from './failed.js';
import { FORECAST_COLUMNS, forecastCauses, forecastRow } from './failed-causes.js';
import { countJobs } from './failed-text.js';
import { reportLifecycle } from './lifecycle-report.js';
import type { Output } from './output.js';
import { followBatches, openProgress } from './progress.js';
import { reportRow, reportText } from './report.js';
import { readTargets } from './selection.js';

/** `failed retry`: one run per pipeline, with workers of its own; workers elsewhere may take the jobs. */
export const failedRetry: Command<FailedChangeOptions> = async (context, options) => {
  const deployment = openDeployment(context, 'retry');
  const targets = readTargets(options, deployment.clock.now());
  const entries = await withFailedQueues(context, deployment, (queues) => selectFailed(queues, targets));
  if (entries.length === 0) return nothingToDo(context);
  const isNamed = targets.ids.length + targets.codes.length > 0 || targets.cause !== null;
  if (options.dryRun) return rehearse(context, deployment, entries, isNamed);
  const question = `${countJobs(entries)} to be loaded once more. Go on?`;
  if (targets.ids.length === 0 && !(await confirm(context, question))) return declined(context);
  return runService({
    start: (up) => startRetry(context, deployment, entries, up),
    deadlineMs: STOP_DEADLINE_MS,
    exitCodeOf,
    exitCodeOnSignal: exitCode.failed,
    report: reportLifecycle(context, deployment.log),
  });
};

async function startRetry(
  { out, line }: CliContext,
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
  const progress = openProgress(line, deployment.log);
  const expected = entries.reduce((sum, { payload }) => sum + (payload.records ?? 0), 0);
  followBatches(progress, deployment.events, { what: countJobs(entries), expected });
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
  const done = retryAll().finally(() => progress.end());
  const retrying = {
    stop: async (mode: 'soft' | 'hard' = 'soft') => {
      soft.abort();
      if (mode === 'hard') hard.abort();
      await done.catch(() => undefined);
    },
  };
  return { service: inOrder([[retrying], workers]), done };
}

/** What ended its workers may end this process too: it is looked into when it is asked for by code, cause or id. */
const DANGEROUS = 'worker_died';

/** `failed retry --dry-run`: opens and masks all of them, and says what would become of their records. */
async function rehearse(
  { out }: CliContext,
  deployment: Deployment,
  selected: readonly FailedEntry[],
  isNamed: boolean,
): Promise<number> {
  const entries = selected.filter(({ code }) => isNamed || code !== DANGEROUS);
  const leftOut = selected.length - entries.length;
  const keyring = await openKeyring(deployment);
  const forecasts = await withPool(deployment, 'cli', async (pool) => {
    const all: JobForecast[] = [];
    for (const pipeline of selectPipelines(deployment.config, [])) {
      const own = entries.filter((entry) => entry.pipeline === pipeline.name);
      if (own.length > 0) all.push(...(await rehearseRetry({ deployment, pool, keyring }, pipeline, own)));
    }
    return all;
  });
  if (out.json) out.list(forecasts.map(forecastRow), []);
  else if (forecasts.length > 0) out.list(forecastCauses(forecasts), FORECAST_COLUMNS);
  const reasons = new Set(forecasts.flatMap(({ left }) => left?.why ?? []));
  for (const why of out.json ? [] : reasons) out.note(`  would stay: ${why}`);
  if (leftOut > 0) {
    out.note(
      `Not looked into: ${leftOut} of code ${DANGEROUS}, which may end this process too; name them by --code or id.`,
    );
  }
  out.note(`${countJobs(entries)} would be retried; nothing was changed. The table may still refuse rows.`);
  return leftOut + reasons.size === 0 ? exitCode.ok : exitCode.failed;
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
