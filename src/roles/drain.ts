import type { RunReport } from '../batch.js';
import type { Run } from '../run.js';
import type { QueueDepth } from '../source/source.js';
import type { AssembledPipeline } from './assembly.js';
import type { Deployment } from './deployment.js';
import { type RunRequest, type StopSignals, ingest } from './ingester.js';

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
 * Runs each pipeline once, in order, and resolves to whether all that was received is loaded, known or quarantined.
 * A stop cancels the run under way, and those after it never begin.
 */
export async function drainAll(
  deployment: Deployment,
  pipelines: readonly AssembledPipeline[],
  options: DrainOptions,
): Promise<boolean> {
  let isClean = true;
  for (const one of pipelines) {
    const { pipeline, ingester } = one;
    if (ingester === null) throw new TypeError(`pipeline ${pipeline.name} was assembled without its source`);
    if (options.soft.aborted) return false;
    const watch: NonNullable<RunRequest['watch']> = (run, ended) =>
      options.hasWorkers ? Promise.resolve() : sayWaiting(deployment, one, run, ended);
    const report = await ingest(ingester, { ...options.request, watch }, options);
    const left = await ingester.source.depth().catch((error: unknown) => {
      deployment.onWait(error);
      return null;
    });
    options.onResult({ report, left });
    isClean &&= report.state === 'succeeded';
  }
  return isClean;
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
