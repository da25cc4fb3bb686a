import type { RunReport } from '../batch.js';
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
  /** Called as soon as a pipeline is done. */
  readonly onResult: (result: DrainResult) => void;
}

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
  for (const { pipeline, ingester } of pipelines) {
    if (ingester === null) throw new TypeError(`pipeline ${pipeline.name} was assembled without its source`);
    if (options.soft.aborted) return false;
    const report = await ingest(ingester, options.request, options);
    const left = await ingester.source.depth().catch((error: unknown) => {
      deployment.onWait(error);
      return null;
    });
    options.onResult({ report, left });
    isClean &&= report.state === 'succeeded';
  }
  return isClean;
}
