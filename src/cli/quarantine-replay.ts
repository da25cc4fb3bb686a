import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import { type Started, runService } from '../lifecycle.js';
import type { PostgresPool } from '../load/connection.js';
import {
  type QuarantineCount,
  type QuarantineFilter,
  countEntries,
  serverTime,
} from '../load/quarantine-entries.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { openKeyring } from '../roles/keyring.js';
import { checkDatabase } from '../roles/preflight.js';
import { type ReplayParts, type ReplayResult, replay } from '../roles/replay.js';
import { type Rehearsal, rehearse } from '../roles/replay-rehearsal.js';
import { STOP_DEADLINE_MS } from '../roles/role.js';
import { confirm } from './confirmation.js';
import type { CliContext, Command } from './context.js';
import { withPool } from './database.js';
import { openDeployment } from './deployment.js';
import { exitCode, exitCodeOf } from './exit.js';
import { declined } from './failed.js';
import { reportLifecycle } from './lifecycle-report.js';
import { quarantineFilter } from './quarantine-selection.js';
import { codesText, openByCode, remedyLines } from './quarantine-text.js';
import { followBatches, openProgress } from './progress.js';
import { reportRow, reportText } from './report.js';
import { type Selection, type SelectionOptions, readTargets } from './selection.js';

interface ReplayOptions extends SelectionOptions {
  readonly dryRun?: boolean;
}

/** What is to be replayed. */
interface Plan {
  readonly filter: QuarantineFilter;
  readonly limit: number | null;
  readonly counts: readonly QuarantineCount[];
  /** Those of the entries' pipelines that the configuration has, in its order. */
  readonly pipelines: readonly PipelineConfig[];
  readonly records: number;
  /** Open entries that `--all` means and that are left out all the same. */
  readonly leftOut: number;
}

/** What ended a worker may end this process too: such entries are replayed when they are asked for by code or id. */
const DANGEROUS = 'crashed_worker';

/** `quarantine replay`: each pipeline's entries as a run of its own. */
export const quarantineReplay: Command<ReplayOptions> = async (context, options) => {
  const { out } = context;
  const deployment = openDeployment(context, 'replay');
  const targets = readTargets(options, deployment.clock.now());
  const keyring = await openKeyring(deployment);
  const plan = await withPool(deployment, 'cli', (pool) => planReplay(pool, context, deployment, targets));
  if (plan.records === 0) {
    if (plan.leftOut === 0) out.note('Nothing to replay.');
    return plan.leftOut === 0 ? exitCode.ok : exitCode.failed;
  }
  const names = plan.pipelines.map(({ name }) => name).join(', ');
  const question =
    `${plan.records} records of ${names} (${codesText(openByCode(plan.counts))}) are to be loaded ` +
    'by the policy of today. Replay them?';
  if (targets.ids.length === 0 && !options.dryRun && !(await confirm(context, question)))
    return declined(context);
  return runService({
    start: () => {
      const work = options.dryRun ? rehearsePlan : replayPlan;
      return Promise.resolve(
        startWork(deployment, (pool, stop) => work(context, { deployment, pool, keyring }, plan, stop)),
      );
    },
    deadlineMs: STOP_DEADLINE_MS,
    exitCodeOf,
    exitCodeOnSignal: exitCode.failed,
    report: reportLifecycle(context, deployment.log),
  });
};

/** Finds the entries, and sees to it that their tables fit before one is touched. */
async function planReplay(
  pool: PostgresPool,
  context: CliContext,
  { config }: Deployment,
  targets: Selection,
): Promise<Plan> {
  const named = selectPipelines(config, context.pipelines).map(({ name }) => name);
  const found = await quarantineFilter(pool, context, targets, 'open');
  const isOpenToDanger = found.ids !== null || found.codes.length > 0;
  const all = { ...found, until: await serverTime(pool) };
  const counted = await countEntries(pool, all);
  const isMeant = ({ pipeline, code }: QuarantineCount): boolean =>
    named.includes(pipeline) && (isOpenToDanger || code !== DANGEROUS);
  const counts = counted.filter(isMeant);
  const leftOut = warnOfOthers(context, counted, named, found.ids !== null, isOpenToDanger);
  const pipelines = config.pipelines.filter(({ name }) => counts.some(({ pipeline }) => pipeline === name));
  await checkDatabase(pool, pipelines, 'loads');
  const total = counts.reduce((sum, { open, replayed }) => sum + open + replayed, 0);
  return {
    filter: { ...all, withoutCodes: isOpenToDanger ? [] : [DANGEROUS] },
    limit: targets.limit,
    counts,
    pipelines,
    records: Math.min(total, targets.limit ?? total),
    leftOut,
  };
}

/** Says which open entries are left out, and returns how many. Throws `usage` when they were named. */
function warnOfOthers(
  { out, configFile }: CliContext,
  counts: readonly QuarantineCount[],
  named: readonly string[],
  isById: boolean,
  isOpenToDanger: boolean,
): number {
  const sum = (some: readonly QuarantineCount[]): number => some.reduce((n, { open }) => n + open, 0);
  const strange = counts.filter(({ pipeline }) => !named.includes(pipeline));
  const names = [...new Set(strange.map(({ pipeline }) => pipeline))].join(', ');
  if (strange.length > 0) {
    const text = `${sum(strange)} open records of ${names}, which ${configFile} does not have`;
    if (isById) throw new PipelineError('usage', `${text}: add the pipeline again, or leave them out`);
    out.note(`Left out: ${text}.`);
  }
  const dangerous = counts.filter(({ pipeline, code }) => named.includes(pipeline) && code === DANGEROUS);
  if (isOpenToDanger || sum(dangerous) === 0) return sum(strange);
  out.note(
    `Left out: ${sum(dangerous)} records of code ${DANGEROUS}, which may end this process too: ` +
      `replay them by id, or by --code ${DANGEROUS}.`,
  );
  return sum(strange) + sum(dangerous);
}

function startWork(
  deployment: Deployment,
  work: (pool: PostgresPool, stop: AbortSignal) => Promise<number>,
): Started {
  const stopping = new AbortController();
  const done = withPool(deployment, 'cli', (pool) => work(pool, stopping.signal));
  const service = {
    stop: async () => {
      stopping.abort();
      await done.catch(() => undefined);
    },
  };
  return { service, done };
}

async function replayPlan(
  { out, line }: CliContext,
  parts: ReplayParts,
  plan: Plan,
  stop: AbortSignal,
): Promise<number> {
  const { log, events } = parts.deployment;
  const progress = openProgress(line, log);
  followBatches(progress, events, { what: 'replay', expected: plan.records });
  try {
    return await replayEach(out, parts, plan, stop);
  } finally {
    progress.end();
  }
}

async function replayEach(
  out: CliContext['out'],
  parts: ReplayParts,
  plan: Plan,
  stop: AbortSignal,
): Promise<number> {
  let isClean = plan.leftOut === 0;
  let left = plan.limit;
  for (const pipeline of plan.pipelines) {
    if (stop.aborted) return exitCode.failed;
    if (left === 0) break;
    const filter = { ...plan.filter, pipelines: [pipeline.name] };
    const result = await replay(parts, { pipeline, filter, limit: left }, stop);
    if (left !== null) left -= result.report.received;
    printResult(out, result);
    const { state, quarantined, released } = result.report;
    isClean &&= state === 'succeeded' && quarantined + released === 0;
  }
  return isClean ? exitCode.ok : exitCode.failed;
}

function printResult(out: CliContext['out'], { report, codes }: ReplayResult): void {
  const lines = remedyLines(codes);
  const text = lines.length === 0 ? [] : ['  still in quarantine:', ...lines.map((line) => `  ${line}`)];
  out.result({ ...reportRow(report), codes }, [reportText(report), ...text].join('\n'));
}

async function rehearsePlan(
  { out }: CliContext,
  parts: ReplayParts,
  plan: Plan,
  stop: AbortSignal,
): Promise<number> {
  let isClean = plan.leftOut === 0;
  let left = plan.limit;
  for (const pipeline of plan.pipelines) {
    if (left === 0) break;
    const filter = { ...plan.filter, pipelines: [pipeline.name] };
    const rehearsal = await rehearse(parts, { pipeline, filter, limit: left }, stop);
    if (left !== null) left -= rehearsal.received;
    printRehearsal(out, rehearsal);
    isClean &&= rehearsal.wouldPass === rehearsal.received;
  }
  out.note('Nothing was changed. What passes the masks may still be refused by the table.');
  return isClean ? exitCode.ok : exitCode.failed;
}

function printRehearsal(out: CliContext['out'], rehearsal: Rehearsal): void {
  const { pipeline, received, wouldPass, codes } = rehearsal;
  const causes = rehearsal.causes.map(({ code, path, entries, wouldPass: passes, codes: stays }) => ({
    row: { code, path, entries, would_pass: passes, codes: stays },
    line:
      `  ${code}${path === null ? '' : ` (${path})`}: ${passes} of ${entries} would pass` +
      (passes === entries ? '' : `, still rejected: ${codesText(stays)}`),
  }));
  const text = [
    `${pipeline}: ${wouldPass} of ${received} would pass`,
    ...causes.map(({ line }) => line),
    ...remedyLines(codes),
  ];
  const row = { pipeline, dry_run: true, received, would_pass: wouldPass, would_stay: received - wouldPass };
  out.result({ ...row, codes, causes: causes.map((cause) => cause.row) }, text.join('\n'));
}
