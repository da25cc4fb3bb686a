import type { Batch, MaskedBatch } from '../batch.js';
import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { Service } from '../lifecycle.js';
import { oldestSentAt } from '../load/fate.js';
import type { Sink } from '../load/sink.js';
import { type LeakGate, compileLeakGate } from '../masking/leak-gate.js';
import { type Masking, type VaultMasker, compileMasker } from '../masking/mask.js';
import type { Keyring } from '../masking/keyring.js';
import { unhurried } from '../masking/one-by-one.js';
import type { Vault } from '../masking/vault.js';
import { withVault } from '../masking/vaulted.js';
import { load, transform } from '../pipeline.js';
import { outlast } from '../policy.js';
import type { FailpointPorts } from '../proof/failpoint-ports.js';
import type { BatchHandler, BatchQueue } from '../queue/queue.js';
import type { Deployment } from './deployment.js';
import type { PipelineQueues } from './queues.js';
import { type Probe, processProbe } from './suspect.js';
import { maskTakenOver } from './takeover.js';
import type { Loop } from './watch.js';
import type { TargetLimits } from './target-limits.js';
import { handlerLoop } from './watch-ports.js';

/** Batches that one worker masks at once: masking itself holds the thread, so more only overlaps the queue's round trips. */
const TRANSFORM_CONCURRENCY = 2;
/** Transactions of one load worker at once: Postgres and the network work while it waits. */
const LOAD_CONCURRENCY = 2;

/** What a pipeline's workers work with. */
export interface WorkerParts {
  readonly pipeline: PipelineConfig;
  readonly queues: PipelineQueues;
  readonly sink: Pick<Sink, 'commit'>;
  readonly failpoints: FailpointPorts | null;
  readonly vault: Vault;
  readonly limits: TargetLimits;
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

/** What masks a pipeline's batches. */
export interface TransformParts {
  readonly masker: VaultMasker;
  readonly vault: Vault;
  /** Those that the masker asks; null: it asks none. */
  readonly limits: Pick<TargetLimits, 'confirming'> | null;
  readonly probe: Probe;
  /** Null: what was masked is not looked through again. */
  readonly leakGate: LeakGate | null;
  readonly loadQueue: Pick<BatchQueue<MaskedBatch>, 'add'>;
}

/** Batches that one process works on at once, in each stage of a pipeline: its own figure, that of `-j`, or the default. */
export function concurrencyOf(
  { concurrency }: Pick<PipelineConfig, 'concurrency'>,
  jobs: number | null,
): { readonly transform: number; readonly load: number } {
  return {
    transform: concurrency.transform ?? jobs ?? TRANSFORM_CONCURRENCY,
    load: concurrency.load ?? jobs ?? LOAD_CONCURRENCY,
  };
}

/** Works on the stages of one pipeline until stopped. */
export function startWorkers(
  deployment: Deployment,
  parts: WorkerParts,
  keyring: Keyring,
  options: WorkerOptions,
): readonly Service[] {
  return preparedWorkers(deployment, parts, keyring, options)(options.onError);
}

/** The same in two steps, for workers that may be started again: what is compiled is so once. */
export function preparedWorkers(
  deployment: Deployment,
  parts: WorkerParts,
  keyring: Keyring,
  { role, jobs }: Pick<WorkerOptions, 'role' | 'jobs'>,
): (onError: WorkerOptions['onError']) => readonly Service[] {
  const { pipeline, queues } = parts;
  const concurrency = concurrencyOf(pipeline, jobs);
  const masks = role === 'transform' || role === 'all' ? maskHandler(deployment, parts, keyring) : null;
  const loads = role === 'load' || role === 'all' ? loadHandler(deployment, parts) : null;
  const loop = {
    transform: handlerLoop(deployment.loops, 'transform', pipeline),
    load: handlerLoop(deployment.loops, 'load', pipeline),
  };
  return (onError) => [
    ...(masks === null
      ? []
      : [
          queues.transformQueue.process(telling(onError, loop.transform, masks), {
            concurrency: concurrency.transform,
            onUnreadable: onError,
          }),
        ]),
    ...(loads === null
      ? []
      : [
          queues.loadQueue.process(telling(onError, loop.load, loads), {
            concurrency: concurrency.load,
            onUnreadable: onError,
          }),
        ]),
  ];
}

function maskHandler(deployment: Deployment, parts: WorkerParts, keyring: Keyring): BatchHandler<Batch> {
  const { name, policy } = parts.pipeline;
  const leakGate = parts.pipeline.leakGate ? compileLeakGate(policy, deployment.clock) : null;
  const { limits, vault } = parts;
  const compiled = compileMasker(policy, keyring, deployment.clock, {
    limits,
    onFailure: ({ column, file, values, at }) => {
      const some = values === 1 ? 'a value' : `${values} values`;
      const what = values === null ? 'gave no answer to a record' : `failed with ${some}`;
      const fields = { event: 'mask_failed', pipeline: name, file, ...(at === null ? {} : { at }) };
      deployment.log.warn(fields, `column ${column}: the masker ${file} ${what}`);
    },
  });
  const masker = parts.failpoints?.masker(compiled) ?? compiled;
  const { loadQueue } = parts.queues;
  const { tracing } = deployment;
  const probe = processProbe(policy);
  const handedTo = tracing?.handingOn(loadQueue) ?? loadQueue;
  const ports = { masker, vault, limits, probe, leakGate, loadQueue: handedTo };
  const handler = transformHandler(deployment, name, ports);
  return tracing?.handler('transform', name, handler) ?? handler;
}

function telling<T>(onError: (error: unknown) => void, loop: Loop, handle: BatchHandler<T>): BatchHandler<T> {
  return async (batch, hardStop, takeover) => {
    try {
      await loop.turn(() => handle(batch, hardStop, takeover));
    } catch (error) {
      onError(error);
      throw error;
    }
  };
}

/** Masks a pipeline's batches and hands them on. Batches that were taken over are masked one at a time. */
export function transformHandler(
  { clock, events, onWait }: Pick<Deployment, 'clock' | 'events' | 'onWait'>,
  pipeline: string,
  { masker: compiled, vault, limits, probe, leakGate, loadQueue }: TransformParts,
): BatchHandler<Batch> {
  let turn: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const done = turn.then(work);
    turn = done.catch(() => undefined);
    return done;
  };
  return async (batch, hardStop, takeover) => {
    const startedAt = clock.now();
    const vaulted = withVault(compiled, {
      tokens: (entries) => outlast(clock, () => vault.tokens(entries), hardStop, onWait),
    });
    const masker = unhurried(limits?.confirming(vaulted) ?? vaulted, () => {
      if (hardStop.aborted) throw new PipelineError('canceled', `batch ${batch.batchId} was cut short`);
    });
    // Several at once would be at some record each when one of them ends the process.
    const careful = takeover && {
      mask: () => inTurn(() => maskTakenOver({ masker, probe, clock, onWait }, batch, takeover, hardStop)),
    };
    const mask = async (): Promise<Masking> => {
      const masking = await (careful ?? masker).mask(batch);
      leakGate?.check(batch, masking.masked);
      return masking;
    };
    const ports = { masker: { mask }, loadQueue, clock, onWait };
    const counts = await transform(ports, batch, hardStop);
    const { batchId, runId } = batch;
    const ms = clock.now() - startedAt;
    events.emit('batch_masked', { ...counts, pipeline, batchId, runId, ms });
  };
}

function loadHandler(
  { clock, events, onWait, tracing }: Deployment,
  { pipeline, sink }: WorkerParts,
): BatchHandler<MaskedBatch> {
  const table = `${pipeline.target.schema}.${pipeline.target.table}`;
  const handler: BatchHandler<MaskedBatch> = async (batch, hardStop) => {
    const report = await load({ sink, clock, onWait }, batch, hardStop);
    if (report === null) return;
    const oldest = oldestSentAt(batch);
    const lagMs = oldest === null ? null : clock.now() - oldest;
    events.emit('batch_loaded', { ...report, table, lagMs });
  };
  return tracing?.handler('load', pipeline.name, handler) ?? handler;
}
