import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { type Started, runService } from '../lifecycle.js';
import { checkSchema } from '../load/migrate.js';
import type { PostgresPool } from '../load/connection.js';
import type { Keyring } from '../masking/keyring.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { openKeyring } from '../roles/keyring.js';
import { type RemaskReport, remaskPipeline, requireOldKid } from '../roles/remask.js';
import { STOP_DEADLINE_MS } from '../roles/role.js';
import { confirm } from './confirmation.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode, exitCodeOf } from './exit.js';
import { declined } from './failed.js';
import { reportLifecycle } from './lifecycle-report.js';
import { openProgress } from './progress.js';

interface RemaskCommandOptions {
  readonly fromKid: number;
  readonly rate: number;
  readonly dryRun?: boolean;
}

/** The counts at the end of a passage read whole tables; a step takes well below a second. */
const STATEMENT_TIMEOUT_MS = 6 * 3_600_000;

/** `remask`: one pipeline after the other; what one run leaves, the next goes on with. */
export const remaskCommand: Command<RemaskCommandOptions> = async (context, options) => {
  if (options.rate === 0) throw new PipelineError('usage', '--rate must be at least 1 row a second');
  const deployment = openDeployment(context, 'cli');
  const pipelines = selectPipelines(deployment.config, context.pipelines);
  const keyring = await openKeyring(deployment);
  keyring.requireMasters('remask');
  requireOldKid(keyring, options.fromKid);
  const names = pipelines.map(({ name }) => name).join(', ');
  const question =
    `The rows and quarantined records of ${names}, and all values of the vault, that are under key ${options.fromKid} ` +
    `are to be brought to key ${keyring.primaryKid}: tokens change, and equal values become equal again. Remask them?`;
  if (!options.dryRun && !(await confirm(context, question))) return declined(context);
  return runService({
    start: () => Promise.resolve(startRemask(context, { deployment, keyring }, pipelines, options)),
    deadlineMs: STOP_DEADLINE_MS,
    exitCodeOf,
    exitCodeOnSignal: exitCode.failed,
    report: reportLifecycle(context, deployment.log),
  });
};

/** As the owner of the tables, who alone may change rows that are there. */
function startRemask(
  context: CliContext,
  { deployment, keyring }: { readonly deployment: Deployment; readonly keyring: Keyring },
  pipelines: readonly PipelineConfig[],
  { fromKid, rate, dryRun = false }: RemaskCommandOptions,
): Started {
  const stopping = new AbortController();
  const { signal } = stopping;
  const progress = openProgress(context.line, deployment.log);
  const onBlocks = (relation: string, done: number, total: number): void =>
    progress.at(`${relation}: blocks`, done, total);
  const work = async (pool: PostgresPool): Promise<number> => {
    await checkSchema(pool);
    let isClean = true;
    for (const pipeline of pipelines) {
      if (signal.aborted) return exitCode.failed;
      const parts = { deployment, pool, keyring };
      progress.at(`${pipeline.name}: vault and quarantine`);
      const report = await remaskPipeline(parts, pipeline, { fromKid, rate, dryRun, signal, onBlocks });
      if (report === null) context.out.note(`Another process is remasking ${pipeline.name} at this moment.`);
      else printReport(context, report);
      isClean &&= report?.state === 'done';
    }
    return isClean ? exitCode.ok : exitCode.failed;
  };
  const done = withPool(deployment, 'migrate', work, { statementTimeoutMs: STATEMENT_TIMEOUT_MS }).finally(
    () => progress.end(),
  );
  const service = {
    stop: async () => {
      stopping.abort();
      await done.catch(() => undefined);
    },
  };
  return { service, done };
}

function printReport({ out }: CliContext, report: RemaskReport): void {
  const { pipeline, from_kid: from, to_kid: to, state, one_way: oneWay } = report;
  const would = report.dry_run ? 'would be ' : '';
  const lines = [
    `${pipeline}: ${report.remasked} rows ${would}brought from key ${from} to key ${to} (${state})`,
    `  quarantine: ${report.quarantine_resealed} records ${would}sealed anew`,
  ];
  if (report.vault_remasked > 0)
    lines.push(`  vault: ${report.vault_remasked} values ${would}given new tokens`);
  const unopened = report.unopened + report.quarantine_unopened + report.vault_unopened;
  if (unopened > 0) lines.push(`  ${unopened} stay: something in them does not open under key ${from}`);
  if (!report.dry_run && report.left) lines.push(`  ${report.left} rows are still under key ${from}`);
  for (const { table, column, method, values, why } of oneWay) {
    lines.push(`  ${table}.${column} (${method}): ${values} values stay under key ${from}: ${why}`);
  }
  if (state === 'interrupted') lines.push('  The next `maskline remask` goes on where this one ended.');
  out.result({ ...report, one_way: oneWay.map((left) => ({ ...left })) }, lines.join('\n'));
}
