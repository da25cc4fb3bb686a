import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { Releases } from '../lifecycle.js';
import type { Stage } from '../ops/events.js';
import { outlast } from '../policy.js';
import type { FailedFilter, FailedJob } from '../queue/failed-jobs.js';
import type { Deployment } from './deployment.js';
import { type PipelineQueues, openQueues, withoutKeys } from './queues.js';

/** A failed job and where it lies. */
export interface FailedEntry extends FailedJob {
  readonly pipeline: string;
  readonly stage: Stage;
}

/** The queues of some pipelines, open for looking at what failed. */
export interface FailedQueues {
  /** Newest first, over all pipelines and stages. */
  list(filter: FailedFilter): Promise<readonly FailedEntry[]>;
  /** Those of the ids that are kept as failed. */
  find(batchIds: readonly string[]): Promise<readonly FailedEntry[]>;
  /** Removes the job; false when it is not there, or no longer failed. */
  discard(entry: FailedEntry): Promise<boolean>;
}

/**
 * Opens the queues of pipelines without a key, and waits until their server answers, for `waitMs` at most.
 * Throws `usage` for queues in memory, which no other process can reach.
 */
export async function openFailedQueues(
  deployment: Deployment,
  pipelines: readonly PipelineConfig[],
  { releases, waitMs }: { readonly releases: Releases; readonly waitMs: number },
): Promise<FailedQueues> {
  const { config, clock, onWait } = deployment;
  if (config.queue.backend === 'memory') {
    throw new PipelineError(
      'usage',
      'queue.url is memory://, which keeps failed jobs within the process of `run all` only: their messages come ' +
        'back from SQS; to keep failed jobs, set queue.url to a redis:// or postgres:// URL',
    );
  }
  const never = new AbortController().signal;
  const open = await Promise.all(
    pipelines.map(async ({ name }) => {
      const queues = await openQueues(deployment, withoutKeys, name);
      await releases.acquire(queues, ({ transformQueue, loadQueue }) =>
        Promise.all([transformQueue.close(), loadQueue.close()]),
      );
      await outlast(clock, () => queues.transformQueue.backlog(), never, onWait, waitMs);
      return { pipeline: name, queues };
    }),
  );
  return failedQueuesOf(open);
}

/** The failed jobs of queues that are open already. */
export function failedQueuesOf(open: readonly OpenQueues[]): FailedQueues {
  return {
    list: (filter) => listFailed(open, filter),
    find: (batchIds) => findFailed(open, batchIds),
    discard: async ({ pipeline, stage, batchId }) => {
      const found = open.find((one) => one.pipeline === pipeline);
      return found ? found.queues[`${stage}Queue`].discardFailed(batchId) : false;
    },
  };
}

/** The queues of one pipeline. */
export interface OpenQueues {
  readonly pipeline: string;
  readonly queues: Pick<PipelineQueues, 'transformQueue' | 'loadQueue'>;
}

const STAGES = ['transform', 'load'] as const;

async function listFailed(
  open: readonly OpenQueues[],
  filter: FailedFilter,
): Promise<readonly FailedEntry[]> {
  const entries = await inEach(open, (queue) => queue.failed(filter));
  return entries.toSorted((a, b) => b.failedAt - a.failedAt).slice(0, filter.limit ?? Infinity);
}

async function findFailed(
  open: readonly OpenQueues[],
  batchIds: readonly string[],
): Promise<readonly FailedEntry[]> {
  return batchIds.length === 0 ? [] : inEach(open, (queue) => queue.failedByIds(batchIds));
}

type LookedAt = Pick<PipelineQueues['loadQueue'], 'failed' | 'failedByIds'>;

async function inEach(
  open: readonly OpenQueues[],
  look: (queue: LookedAt) => Promise<readonly FailedJob[]>,
): Promise<readonly FailedEntry[]> {
  const found = await Promise.all(
    open.flatMap(({ pipeline, queues }) =>
      STAGES.map(async (stage) => {
        const jobs = await look(queues[`${stage}Queue`]);
        return jobs.map((job): FailedEntry => ({ ...job, pipeline, stage }));
      }),
    ),
  );
  return found.flat();
}
