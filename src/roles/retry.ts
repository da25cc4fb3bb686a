// Failed batches once more: a run of their own, whose source is the queue of failed jobs.

import type { Batch, Fate, MaskedBatch, RunReport } from '../batch.js';
import { PipelineError, asPipelineError } from '../errors.js';
import { createRunLog } from '../load/runs.js';
import { type IngestPorts, settle } from '../pipeline.js';
import { actionFor, outlast } from '../policy.js';
import type { FailedJobs } from '../queue/failed-jobs.js';
import type { BatchQueue } from '../queue/queue.js';
import { Run } from '../run.js';
import { Bell } from '../bell.js';
import type { Source } from '../source/source.js';
import type { AssembledPipeline, Assembly } from './assembly.js';
import type { Deployment } from './deployment.js';
import type { FailedEntry } from './failed.js';
import type { StopSignals } from './ingester.js';
import { tooOld } from './retry-age.js';
import { RunRecord } from './run-record.js';

/** A job that was left as it is, and why, in words that hold no value. */
export interface RefusedJob {
  readonly batchId: string;
  readonly why: string;
}

/** What became of the failed jobs of one pipeline. */
export interface RetryResult {
  readonly report: RunReport;
  readonly refused: readonly RefusedJob[];
  /** Jobs that somebody else has retried or discarded meanwhile. */
  readonly gone: number;
}

/** Each lies in the queue twice until it is committed, so only so many at once. */
const IN_FLIGHT = 32;

/**
 * Retries failed jobs of one pipeline. Each payload goes through its stage again under a new batch id, since a batch
 * has one fate and the old one's is `released` by now; the ledger leaves out what SQS redelivered meanwhile. The old
 * job goes only when the new one is committed or has failed in its place, so that a crash in between loses nothing;
 * whoever retries it once more, or at the same time, finds its records in the ledger.
 */
export class Retry {
  readonly #deployment: Deployment;
  readonly #pipeline: AssembledPipeline;
  readonly #jobs: readonly FailedEntry[];
  readonly #run: Run;
  readonly #record: RunRecord;
  readonly #hardStop = new AbortController();
  /** The jobs under retry, by the new batch's id. */
  readonly #underWay = new Map<string, FailedEntry>();
  readonly #concluded = new Bell();
  readonly #refused: RefusedJob[] = [];
  #gone = 0;

  constructor(
    deployment: Deployment,
    { pool }: Pick<Assembly, 'pool'>,
    pipeline: AssembledPipeline,
    jobs: readonly FailedEntry[],
  ) {
    const { clock } = deployment;
    this.#deployment = deployment;
    this.#pipeline = pipeline;
    this.#jobs = jobs;
    this.#run = new Run({
      runId: clock.id(),
      pipeline: pipeline.pipeline.name,
      trigger: 'retry',
      startedAt: clock.now(),
      holdingFails: pipeline.pipeline.fifo === 'block',
    });
    const parts = { ...deployment, runs: createRunLog(pool) };
    this.#record = new RunRecord(parts, this.#run, this.#hardStop.signal);
  }

  /** Hears of the errors of the pipeline's workers: where only a person can help, the jobs to come stay as they are. */
  onError(error: unknown): void {
    if (actionFor(error) === 'stop') this.#run.stop('failed');
  }

  /**
   * Carries out the run. A soft stop leaves the jobs to come as they are; a hard one also those under way. Throws what
   * stopped it, after its report is written.
   */
  async run(stop: StopSignals): Promise<RetryResult> {
    const { clock, events } = this.#deployment;
    const ended = new AbortController();
    this.#stopWith(stop, ended.signal);
    await this.#record.open();
    const alive = this.#record.keepAlive(ended.signal);
    const { residenceMs } = this.#pipeline.pipeline.limits;
    const results = await Promise.allSettled([
      this.#submitAll(),
      settle(this.#ports(), this.#run, { residenceMs }, this.#hardStop.signal),
    ]);
    ended.abort();
    await alive;
    const report = this.#run.report(clock.now());
    await this.#record.close(report);
    events.emit('run_finished', report);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed && !this.#hardStop.signal.aborted) throw failed.reason;
    return { report, refused: this.#refused, gone: this.#gone };
  }

  #stopWith(stop: StopSignals, ended: AbortSignal): void {
    const soft = (): void => this.#run.stop('canceled');
    const hard = (): void => this.#hardStop.abort();
    stop.soft.addEventListener('abort', soft, { once: true, signal: ended });
    stop.hard.addEventListener('abort', hard, { once: true, signal: ended });
    if (stop.soft.aborted) soft();
    if (stop.hard.aborted) hard();
  }

  async #submitAll(): Promise<void> {
    const { intake } = this.#run;
    const { transformQueue, loadQueue } = this.#pipeline.queues;
    try {
      for (const job of this.#jobs) {
        while (this.#underWay.size >= IN_FLIGHT && !intake.aborted) await this.#concluded.wait(intake);
        if (intake.aborted) break;
        if (job.stage === 'transform') await this.#submit(transformQueue, job);
        else await this.#submit(loadQueue, job);
      }
      if (this.#refused.length > 0) this.#run.stop('failed');
    } catch (error) {
      this.#run.stop('failed');
      throw error;
    } finally {
      this.#run.drained();
    }
  }

  async #submit<T extends Batch | MaskedBatch>(
    queue: BatchQueue<T> & FailedJobs<T>,
    job: FailedEntry,
  ): Promise<void> {
    const { clock, onWait } = this.#deployment;
    const { signal } = this.#hardStop;
    let opened: T | null;
    try {
      opened = await outlast(clock, () => queue.openFailed(job.batchId), signal, onWait);
    } catch (thrown) {
      const error = asPipelineError(thrown);
      if (signal.aborted || actionFor(error) === 'wait') throw error;
      this.#refused.push({ batchId: job.batchId, why: `${error.code}: ${error.message}` });
      return;
    }
    if (opened === null) {
      this.#gone += 1;
      return;
    }
    const why = tooOld(this.#deployment, opened);
    if (why !== null) {
      this.#refused.push({ batchId: job.batchId, why });
      return;
    }
    const batch: T = { ...opened, batchId: clock.id(), runId: this.#run.options.runId };
    this.#run.hold(batch, [], clock.elapsed());
    this.#underWay.set(batch.batchId, job);
    await outlast(clock, () => queue.add(batch), signal, onWait);
  }

  #ports(): IngestPorts {
    const { clock, onWait } = this.#deployment;
    const { sink, queues } = this.#pipeline;
    return {
      clock,
      onWait,
      source: noSource,
      transformQueue: queues.transformQueue,
      loadQueue: queues.loadQueue,
      sink: {
        fates: async (batchIds) => this.#conclude(await sink.fates(batchIds)),
        letGo: async (batches) => this.#conclude(await sink.letGo(batches)),
      },
    };
  }

  /** Removes the jobs whose retry has come to its end; before the run takes note, so that it ends after them. */
  async #conclude(fates: readonly Fate[]): Promise<readonly Fate[]> {
    try {
      for (const fate of fates) {
        const job = this.#underWay.get(fate.batchId);
        if (!job) continue;
        if (await this.#isReplaced(fate))
          await this.#pipeline.queues[`${job.stage}Queue`].discardFailed(job.batchId);
        this.#underWay.delete(fate.batchId);
      }
    } catch (error) {
      // A job that stays is retried in vain, no more; nobody waits for that at a hard stop.
      if (!this.#hardStop.signal.aborted) throw error;
    }
    this.#concluded.ring();
    return fates;
  }

  /** True when the old job holds nothing that is not in the database or in a new failed job. */
  async #isReplaced({ batchId, state }: Fate): Promise<boolean> {
    if (state === 'committed') return true;
    const { transformQueue, loadQueue } = this.#pipeline.queues;
    const states = await Promise.all([transformQueue.states([batchId]), loadQueue.states([batchId])]);
    return states.flat().includes('failed');
  }
}

/** The messages went back to SQS when the batch was let go the first time: there is nothing to ack or release. */
const noSource: Source = {
  receive: async function* none() {
    // Nothing is received.
  },
  ack: async () => undefined,
  release: async () => undefined,
  depth: () => Promise.reject(new PipelineError('unexpected', 'a retry has no source')),
};
