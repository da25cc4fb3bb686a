import type { Batch, MaskedBatch } from '../batch.js';
import type { PipelineConfig } from '../config/config.js';
import type { Service } from '../lifecycle.js';
import type { Sink } from '../load/sink.js';
import { compileMasker } from '../masking/mask.js';
import type { Keyring } from '../masking/keyring.js';
import { load, transform } from '../pipeline.js';
import type { Deployment } from './deployment.js';
import type { PipelineQueues } from './queues.js';

/** Batches that one worker masks at once: masking itself holds the thread, so more only overlaps the queue's round trips. */
export const TRANSFORM_CONCURRENCY = 2;
/** Transactions of one load worker at once: Postgres and the network work while it waits. */
export const LOAD_CONCURRENCY = 2;

/** What a pipeline's workers work with. */
export interface WorkerParts {
  readonly pipeline: PipelineConfig;
  readonly queues: PipelineQueues;
  readonly sink: Pick<Sink, 'commit'>;
}

/** How to run them. */
export interface WorkerOptions {
  /** The stages to work on. */
  readonly role: 'transform' | 'load' | 'ingest' | 'all';
  /** Batches at once in each stage; null: the default of the stage. */
  readonly jobs: number | null;
  /** Hears of every error that a batch ended with, before the queue decides about it. */
  readonly onError: (error: unknown) => void;
}

/** Works on the stages of one pipeline until stopped. */
export function startWorkers(
  deployment: Deployment,
  parts: WorkerParts,
  keyring: Keyring,
  { role, jobs, onError }: WorkerOptions,
): readonly Service[] {
  const { transformQueue, loadQueue } = parts.queues;
  const workers: Service[] = [];
  if (role === 'transform' || role === 'all') {
    const handle = telling(onError, transformHandler(deployment, parts, keyring));
    workers.push(transformQueue.process(handle, { concurrency: jobs ?? TRANSFORM_CONCURRENCY }));
  }
  if (role === 'load' || role === 'all') {
    const handle = telling(onError, loadHandler(deployment, parts));
    workers.push(loadQueue.process(handle, { concurrency: jobs ?? LOAD_CONCURRENCY }));
  }
  return workers;
}

type Handler<T> = (batch: T, hardStop: AbortSignal) => Promise<void>;

function telling<T>(onError: (error: unknown) => void, handle: Handler<T>): Handler<T> {
  return async (batch, hardStop) => {
    try {
      await handle(batch, hardStop);
    } catch (error) {
      onError(error);
      throw error;
    }
  };
}

function transformHandler(
  { clock, events, onWait }: Deployment,
  { pipeline, queues }: WorkerParts,
  keyring: Keyring,
): Handler<Batch> {
  const masker = compileMasker(pipeline.policy, keyring, clock);
  const ports = { masker, loadQueue: queues.loadQueue, clock, onWait };
  return async (batch, hardStop) => {
    const startedAt = clock.now();
    const counts = await transform(ports, batch, hardStop);
    const { batchId, runId } = batch;
    const ms = clock.now() - startedAt;
    events.emit('batch_masked', { ...counts, pipeline: pipeline.name, batchId, runId, ms });
  };
}

function loadHandler(
  { clock, events, onWait }: Deployment,
  { pipeline, sink }: WorkerParts,
): Handler<MaskedBatch> {
  const table = `${pipeline.target.schema}.${pipeline.target.table}`;
  return async (batch, hardStop) => {
    const report = await load({ sink, clock, onWait }, batch, hardStop);
    if (report === null) return;
    const oldest = Math.min(...[...batch.keys, ...batch.rejections].map((key) => key.sentAt));
    const lagMs = Number.isFinite(oldest) ? clock.now() - oldest : null;
    events.emit('batch_loaded', { ...report, table, lagMs });
  };
}
