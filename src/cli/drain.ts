import type { Trigger } from '../batch.js';
import type { Clock } from '../clock.js';
import type { PipelineConfig } from '../config/config.js';
import { durationMs } from '../config/units.js';
import { PipelineError } from '../errors.js';
import { type Started, runService } from '../lifecycle.js';
import { type Assembly, assemble } from '../roles/assembly.js';
import { type Deployment, selectPipelines } from '../roles/deployment.js';
import { type DrainResult, drainAll } from '../roles/drain.js';
import { withDeadLetters } from '../roles/redrive.js';
import { STOP_DEADLINE_MS, inOrder, startAllWorkers } from '../roles/role.js';
import type { CliContext, Command } from './context.js';
import { openDeployment } from './deployment.js';
import { exitCode, exitCodeOf } from './exit.js';
import type { Output } from './output.js';
import { reportLifecycle } from './lifecycle-report.js';
import { followBatches, openProgress } from './progress.js';
import { reportRow, reportText } from './report.js';

interface DrainCommandOptions {
  readonly args: readonly string[];
  readonly ingestOnly?: boolean;
  readonly dlq?: boolean;
  readonly max?: number;
  readonly timeout?: string;
}

/** `drain`: one run per pipeline, then the end. */
export const drainCommand: Command<DrainCommandOptions> = async (context, options) => {
  const deployment = openDeployment(context, 'drain');
  const timeoutMs = options.timeout === undefined ? null : durationMs(options.timeout);
  if (options.timeout !== undefined && timeoutMs === null) {
    throw new PipelineError('usage', '--timeout must be a duration such as 90s or 15m');
  }
  if (options.ingestOnly && deployment.config.queue.backend === 'memory') {
    throw new PipelineError(
      'usage',
      '--ingest-only cannot be used over memory://, which no other process can reach: set queue.url',
    );
  }
  const selected = selectPipelines(deployment.config, [...options.args, ...context.pipelines]);
  const pipelines = options.dlq ? await Promise.all(selected.map(withDeadLetters)) : selected;
  return runService({
    start: (up) =>
      startDrain(context, deployment, { ...options, pipelines, trigger: 'drain', timeoutMs }, up),
    deadlineMs: STOP_DEADLINE_MS,
    exitCodeOf,
    exitCodeOnSignal: exitCode.failed,
    report: reportLifecycle(context, deployment.log),
  });
};

/** What to drain, and how. */
export interface DrainRequest extends Pick<DrainCommandOptions, 'ingestOnly' | 'max'> {
  readonly pipelines: readonly PipelineConfig[];
  readonly trigger: Trigger;
  readonly timeoutMs: number | null;
}

/** Starts one run per pipeline, and workers for them in this process; prints each report. */
export async function startDrain(
  { out, line }: CliContext,
  deployment: Deployment,
  options: DrainRequest,
  up: Parameters<Parameters<typeof runService>[0]['start']>[0],
): Promise<Started> {
  const { pipelines, trigger } = options;
  const assembly = await assemble(deployment, { ...up, pipelines, role: 'drain', receives: true });
  const workers = options.ingestOnly ? [] : startAllWorkers(deployment, assembly);
  const soft = new AbortController();
  const hard = new AbortController();
  const timer = new AbortController();
  if (options.timeoutMs !== null) {
    void stopAfter(deployment.clock, options.timeoutMs, { soft, hard, done: timer.signal });
  }
  const progress = openProgress(line, deployment.log);
  const what = pipelines.map(({ name }) => name).join(', ');
  followBatches(progress, deployment.events, {
    what,
    expected: line.isTerminal ? await waiting(assembly) : null,
  });
  const work = drainAll(deployment, assembly.pipelines, {
    request: {
      trigger,
      mode: 'until_empty',
      ...(options.max === undefined ? {} : { maxRecords: options.max }),
    },
    hasWorkers: !options.ingestOnly,
    soft: soft.signal,
    hard: hard.signal,
    onResult: (result) => printResult(out, result),
  });
  const done = work
    .then((isClean) => (isClean ? exitCode.ok : exitCode.failed))
    .finally(() => {
      timer.abort();
      progress.end();
    });
  const draining = {
    stop: async (mode: 'soft' | 'hard' = 'soft') => {
      soft.abort();
      if (mode === 'hard') hard.abort();
      await work.catch(() => undefined);
    },
  };
  return { service: inOrder([[draining], workers]), done };
}

/** Messages that the queues say that they hold; null when one does not say, which is no reason not to begin. */
async function waiting({ pipelines }: Assembly): Promise<number | null> {
  const depths = pipelines.map(async ({ ingester }) => (await ingester?.source.depth())?.visible ?? 0);
  const known = await Promise.all(depths).catch(() => null);
  return known && known.reduce((sum, visible) => sum + visible, 0);
}

/** `--timeout` stops as a signal does: softly at first, and hard when that takes too long. */
async function stopAfter(
  clock: Clock,
  timeoutMs: number,
  stop: { readonly soft: AbortController; readonly hard: AbortController; readonly done: AbortSignal },
): Promise<void> {
  await clock.sleep(timeoutMs, stop.done);
  if (stop.done.aborted) return;
  stop.soft.abort();
  await clock.sleep(STOP_DEADLINE_MS, stop.done);
  if (!stop.done.aborted) stop.hard.abort();
}

function printResult(out: Output, { report, left }: DrainResult): void {
  const leftRow = left && { visible: left.visible, in_flight: left.inFlight, delayed: left.delayed };
  const leftText = left
    ? `  left in the queue: ${left.visible} visible, ${left.inFlight} in flight, ${left.delayed} delayed`
    : '  what is left in the queue is not known';
  out.result({ ...reportRow(report), left: leftRow }, `${reportText(report)}\n${leftText}`);
}
