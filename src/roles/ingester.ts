import type { Batch, Fate, MaskedBatch, RunReport, Trigger } from '../batch.js';
import type { Clock } from '../clock.js';
import type { PipelineConfig } from '../config/config.js';
import { PipelineError } from '../errors.js';
import type { ScheduleLog } from '../load/schedules.js';
import type { HeldBatch, RunLog, Sink } from '../load/sink.js';
import type { Service } from '../lifecycle.js';
import type { EventBus } from '../ops/events.js';
import { type IngestPorts, drain, settle } from '../pipeline.js';
import { outlast } from '../policy.js';
import type { BatchQueue } from '../queue/queue.js';
import { Run } from '../run.js';
import type { ReceiveMode, Source } from '../source/source.js';
import type { Intake } from './intake.js';
import type { Lease } from './lease.js';
import { RunRecord } from './run-record.js';
import type { Tracing } from './tracing.js';

/** What an ingester of one pipeline works with. All of it outlives the runs. */
export interface IngesterParts {
  readonly pipeline: PipelineConfig;
  readonly source: Source & Service;
  readonly intake: Pick<Intake, 'watch'>;
  readonly transformQueue: BatchQueue<Batch>;
  readonly loadQueue: Pick<BatchQueue<MaskedBatch>, 'states'>;
  readonly sink: Pick<Sink, 'fates' | 'letGo'>;
  readonly runs: RunLog;
  readonly schedules: Pick<ScheduleLog, 'breaker' | 'openBreaker' | 'succeeded'>;
  /** Null where any number of ingesters may drain at once. */
  readonly lease: Lease | null;
  /** Makes the ledger's partitions for the days to come, once a day. */
  readonly prepareLedger: () => Promise<void>;
  readonly clock: Clock;
  readonly events: EventBus;
  /** Hears of every wait for something that is away. */
  readonly onWait: (error: unknown) => void;
  /** Names this process in `runs.owner`. */
  readonly owner: string;
  /** Null where nothing is traced. */
  readonly tracing: Pick<Tracing, 'ingest'> | null;
}

/** One run's particulars. */
export interface RunRequest {
  readonly trigger: Trigger;
  readonly mode: ReceiveMode;
  readonly maxRecords?: number;
  /** Cuts the run after so long; it then finishes what it holds. */
  readonly maxMs?: number;
  /** Cuts the run when it aborts. */
  readonly cut?: AbortSignal;
  /** Looks on until `ended`, while the run is under way. Never rejects. */
  readonly watch?: (run: Pick<Run, 'options' | 'held'>, ended: AbortSignal) => Promise<void>;
  /** Called when the run receives no more, though it may still wait for batches. */
  readonly onReceived?: () => void;
}

/** The reason of a soft stop after which the run under way has failed; without it, it was canceled. */
export const BROKEN_DOWN = 'the pipeline has broken down';

/** Soft: receive no more and finish. Hard: let go of everything now. */
export interface StopSignals {
  readonly soft: AbortSignal;
  readonly hard: AbortSignal;
}

/** A run whose owner has been silent for so many visibility timeouts, or so long, is closed as abandoned. */
const SILENT_VISIBILITY_TIMEOUTS = 2;
const SILENT_MS = 30_000;
/** How long a hard stop leaves for letting go and acking what has a fate; less than its share of the deadline. */
const HARD_STOP_GRACE_MS = 3_000;

/** Carries out one run and returns its report. Throws what stopped it, after its report is written. */
export async function ingest(
  parts: IngesterParts,
  request: RunRequest,
  stop: StopSignals,
): Promise<RunReport> {
  const { clock, pipeline, events } = parts;
  await refuseIfOpen(parts, stop);
  await outlast(clock, parts.prepareLedger, stop.soft, parts.onWait);
  const run = newRun(parts, request);
  const record = new RunRecord(parts, run, stop.hard);
  const visibilityMs = pipeline.source.sqs.visibilityTimeoutS * 1000;
  await record.abandonSilent(Math.max(SILENT_MS, SILENT_VISIBILITY_TIMEOUTS * visibilityMs));
  // An empty tick leaves no run behind; everything else that somebody asked for does.
  if (request.trigger !== 'schedule') await record.open();
  const ended = new AbortController();
  stopWith(parts, run, request, stop, ended.signal);
  const watching = Promise.all([
    record.keepAlive(ended.signal),
    parts.intake.watch(run, ended.signal),
    request.watch?.(run, ended.signal),
  ]);
  const results = await Promise.allSettled(flow(parts, run, request, record, stop.hard));
  ended.abort();
  await watching;
  const report = run.report(clock.now());
  // Who was only stopped by it must not open it again, when somebody has closed it meanwhile.
  if (report.state === 'breaker_open' && run.tripped) {
    const open = (): Promise<void> => parts.schedules.openBreaker(pipeline.name, tripReason(report));
    await outlast(clock, open, stop.hard, parts.onWait);
  }
  if (record.isOpen) {
    await record.close(report);
    events.emit('run_finished', report);
  }
  await noteSuccess(parts, request, { ...report, isCut: run.isCut }, stop.hard);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed && !stop.hard.aborted) throw failed.reason;
  return report;
}

/**
 * A run that left something, or saw dead letters only, is no proof that everything up to its start is settled; those of
 * `continuous` are cut always.
 */
async function noteSuccess(
  { schedules, clock, onWait, pipeline: { source } }: IngesterParts,
  { trigger, mode }: RunRequest,
  { state, pipeline, startedAt, isCut }: RunReport & { readonly isCut: boolean },
  hardStop: AbortSignal,
): Promise<void> {
  const isLeaving = isCut && !(trigger === 'schedule' && mode === 'continuous');
  const isOfDeadLetters = source.sqs.queues.some(({ deadLettersOf }) => deadLettersOf !== undefined);
  if (state !== 'succeeded' || isLeaving || isOfDeadLetters) return;
  await outlast(clock, () => schedules.succeeded(pipeline, startedAt), hardStop, onWait);
}

/** Throws `breaker_open`: nothing is received until somebody has closed it. */
async function refuseIfOpen(
  { schedules, pipeline, clock, onWait }: IngesterParts,
  stop: StopSignals,
): Promise<void> {
  const breaker = await outlast(clock, () => schedules.breaker(pipeline.name), stop.soft, onWait);
  if (breaker.state === 'closed') return;
  throw new PipelineError(
    'breaker_open',
    `pipeline ${pipeline.name}: its breaker has been open since ${new Date(breaker.since).toISOString()} ` +
      `(${breaker.reason ?? 'no reason given'}); nothing is received until \`maskline schedule resume ${pipeline.name}\``,
  );
}

function tripReason({ runId, received, quarantined }: RunReport): string {
  return `run ${runId} quarantined ${quarantined} of ${received} records`;
}

function newRun(parts: IngesterParts, request: RunRequest): Run {
  const { clock, pipeline } = parts;
  return new Run({
    runId: clock.id(),
    pipeline: pipeline.name,
    trigger: request.trigger,
    startedAt: clock.now(),
    breaker: pipeline.limits.breaker,
    partLimits: { records: pipeline.limits.inFlight, bytes: pipeline.limits.inFlightBytes },
    holdingFails: pipeline.fifo === 'block',
    ...(request.maxRecords === undefined ? {} : { maxRecords: request.maxRecords }),
  });
}

/** Ends the run's receiving at a soft stop and at its planned cut, and acks that SQS does not answer at a hard one. */
function stopWith(
  { clock, source }: IngesterParts,
  run: Run,
  request: RunRequest,
  stop: StopSignals,
  ended: AbortSignal,
): void {
  const giveUpAcks = async (): Promise<void> => {
    await clock.sleep(HARD_STOP_GRACE_MS, ended);
    if (!ended.aborted) await source.stop('hard');
  };
  stop.hard.addEventListener('abort', () => void giveUpAcks(), { once: true, signal: ended });
  const stopSoftly = (): void => run.stop(stop.soft.reason === BROKEN_DOWN ? 'failed' : 'canceled');
  if (stop.soft.aborted) stopSoftly();
  stop.soft.addEventListener('abort', stopSoftly, { once: true, signal: ended });
  const cut = (): void => run.stop('cut');
  if (request.cut?.aborted) cut();
  request.cut?.addEventListener('abort', cut, { once: true, signal: ended });
  if (request.maxMs === undefined) return;
  void clock.sleep(request.maxMs, ended).then(() => {
    if (!ended.aborted) cut();
  });
}

function flow(
  parts: IngesterParts,
  run: Run,
  request: RunRequest,
  record: RunRecord,
  hardStop: AbortSignal,
): readonly Promise<void>[] {
  const { pipeline, clock, sink } = parts;
  const untraced: IngestPorts = {
    ...parts,
    source: openingRun(parts.source, record),
    sink: { fates: (ids) => sink.fates(ids), letGo: (batches) => lettingGo(parts, batches) },
  };
  const ports = parts.tracing?.ingest(pipeline.name, untraced) ?? untraced;
  const batching = {
    ...pipeline.batch,
    runId: run.options.runId,
    pipeline: pipeline.name,
    clock,
    prompt: request.mode === 'continuous',
  };
  return [
    drain(ports, run, { mode: request.mode, batching }, hardStop).finally(request.onReceived),
    settle(ports, run, { residenceMs: pipeline.limits.residenceMs }, hardStop),
  ];
}

/** The same source, which sees to it that the run is on record before its first message goes on. */
function openingRun(source: Source, record: RunRecord): Source {
  return {
    ack: (receipts) => source.ack(receipts),
    release: (receipts, delayMs) => source.release(receipts, delayMs),
    depth: () => source.depth(),
    async *receive(mode, signal, halt) {
      for await (const deliveries of source.receive(mode, signal, halt)) {
        // What nobody will hand on must not stay hidden.
        await record.open().catch(async (error: unknown) => {
          await source.release(
            deliveries.map((delivery) => delivery.receipt),
            () => 0,
          );
          throw error;
        });
        yield deliveries;
      }
    },
  };
}

async function lettingGo(parts: IngesterParts, batches: readonly HeldBatch[]): Promise<readonly Fate[]> {
  const fates = await parts.sink.letGo(batches);
  const released = new Set(fates.filter((fate) => fate.state === 'released').map((fate) => fate.batchId));
  for (const { batchId, runId, pipeline, records } of batches) {
    if (released.has(batchId)) parts.events.emit('batch_let_go', { pipeline, batchId, runId, records });
  }
  return fates;
}
