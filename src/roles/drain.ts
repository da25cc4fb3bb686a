import type { RunReport } from '../batch.js';
import { PipelineError } from '../errors.js';
import type { Run } from '../run.js';
import type { QueueDepth } from '../source/source.js';
import type { AssembledPipeline } from './assembly.js';
import type { Deployment } from './deployment.js';
import { type RunRequest, type StopSignals, ingest } from './ingester.js';
import { type Turn, everybodysTurn } from './lease.js';

/** One pipeline's drain: its run, and what the queue still holds; null when it can't say. */
export interface DrainResult {
  readonly report: RunReport;
  readonly left: QueueDepth | null;
}

/** How to drain. */
export interface DrainOptions extends StopSignals {
  readonly request: RunRequest;
  /** False: masking and loading are left to other processes, and it is said how long they are waited for. */
  readonly hasWorkers: boolean;
  /** Called as soon as a pipeline is done. */
  readonly onResult: (result: DrainResult) => void;
}

/** Who waits for workers elsewhere says so this often: often enough for somebody who wonders why nothing happens. */
const SAY_EVERY_MS = 10_000;

/**
 * Runs each pipeline once, in order, those that share a queue at once, and resolves to whether all that was received is
 * loaded, known or quarantined. A stop cancels the run under way, and those after it never begin.
 */
export async function drainAll(
  deployment: Deployment,
  pipelines: readonly AssembledPipeline[],
  options: DrainOptions,
): Promise<boolean> {
  let isClean = true;
  const failures: unknown[] = [];
  const drain = async (one: AssembledPipeline): Promise<void> => {
    // What keeps one from being drained is nothing to the others.
    const result = await drainOne(deployment, one, options).catch(
      (error: unknown) => void failures.push(error),
    );
    if (!result) return;
    options.onResult(result);
    isClean &&= result.report.state === 'succeeded';
  };
  for (const { pipeline } of pipelines) {
    if (options.soft.aborted) return false;
    // Those that share a queue are drained with the first of them.
    const group = pipeline.route?.pipelines ?? [pipeline.name];
    if (group[0] !== pipeline.name) continue;
    await Promise.all(pipelines.filter((one) => group.includes(one.pipeline.name)).map(drain));
  }
  if (failures.length > 0) throw failures[0];
  return isClean;
}

async function drainOne(
  deployment: Deployment,
  one: AssembledPipeline,
  options: DrainOptions,
): Promise<DrainResult> {
  const { pipeline, ingester } = one;
  if (ingester === null) throw new TypeError(`pipeline ${pipeline.name} was assembled without its source`);
  const watch: NonNullable<RunRequest['watch']> = (run, ended) =>
    options.hasWorkers ? Promise.resolve() : sayWaiting(deployment, one, run, ended);
  const turn = await takeTurn(one, options.soft);
  try {
    const report = await ingest(ingester, { ...options.request, watch, cut: turn.lost }, options);
    const left = await ingester.source.depth().catch((error: unknown) => {
      deployment.onWait(error);
      return null;
    });
    return { report, left };
  } finally {
    await turn.end();
  }
}

/** Throws `turn_taken` while another process drains an exclusive pipeline: somebody who waits for this one must know. */
async function takeTurn({ pipeline, ingester }: AssembledPipeline, signal: AbortSignal): Promise<Turn> {
  const lease = ingester?.lease ?? null;
  if (lease === null) return everybodysTurn();
  const answer = await lease.take(signal);
  if ('lost' in answer) return answer;
  throw new PipelineError(
    'turn_taken',
    `pipeline ${pipeline.name} is exclusive, and ${answer.holder} drains it: nothing was received`,
  );
}

/** Says every few seconds how many batches are waited for, and at which stage nobody is at work on them. */
async function sayWaiting(
  { clock, log, onWait }: Deployment,
  { pipeline, queues }: Pick<AssembledPipeline, 'pipeline' | 'queues'>,
  run: Pick<Run, 'options' | 'held'>,
  ended: AbortSignal,
): Promise<void> {
  const { transformQueue, loadQueue } = queues;
  while (!ended.aborted) {
    await clock.sleep(SAY_EVERY_MS, ended);
    const batches = run.held.length;
    if (ended.aborted || batches === 0) continue;
    try {
      const [transform, load] = await Promise.all([transformQueue.backlog(), loadQueue.backlog()]);
      const fields = {
        event: 'waiting_for_workers',
        pipeline: pipeline.name,
        run_id: run.options.runId,
        batches,
        waiting: { transform: transform.waiting, load: load.waiting },
      };
      const idle = Object.entries({ transform, load }).flatMap(([stage, { waiting, active }]) =>
        waiting > 0 && active === 0 ? [stage] : [],
      );
      if (idle.length === 0) log.info(fields);
      else
        log.warn(
          fields,
          `no worker has taken any: start \`maskline run ${idle.join('` and `maskline run ')}\``,
        );
    } catch (error) {
      onWait(error);
    }
  }
}
