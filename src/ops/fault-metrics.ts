import type { Registry } from 'prom-client';
import type { ErrorCode } from '../errors.js';
import type { EventBus, IntakeBar, Stage } from './events.js';
import { counter, gauge, plainCounter } from './instruments.js';
import { metricNames } from './metric-names.js';

/** Refused, or not there to be had: who looks for holes gets these. */
const REFUSALS = new Set([400, 401, 403, 404, 405, 413, 421, 429]);

const STAGES: readonly Stage[] = ['transform', 'load'];
/** What alerts count: a series that begins with its first event shows no increase (Prometheus docs, `increase`). */
const WATCHED: readonly { readonly code: ErrorCode; readonly final: 'true' | 'false' }[] = [
  { code: 'leak_found', final: 'true' },
  { code: 'worker_died', final: 'true' },
  { code: 'contention', final: 'false' },
  { code: 'statement_timeout', final: 'false' },
];

/** Counts what goes wrong, by batch, job or wait; it is what alerts about a fault are built on. */
export function countFaults(registry: Registry, events: EventBus, pipelines: readonly string[]): void {
  countReturns(registry, events, pipelines);
  const failures = counter(
    registry,
    metricNames.jobFailures,
    'Attempts of jobs that failed, by stage and code of the error; final: it is not tried again.',
    [],
    ['stage', 'code', 'final'],
  );
  for (const pipeline of pipelines)
    for (const stage of STAGES)
      for (const { code, final } of WATCHED) failures.inc({ pipeline, stage, code, final }, 0);
  events.on('job_failed', ({ pipeline, stage, code, final }) =>
    failures.inc({ pipeline, stage, code, final: String(final) }),
  );
  const overlaps = counter(
    registry,
    metricNames.scheduleOverlaps,
    'Ticks left out, because the one before was still going.',
    pipelines,
  );
  events.on('schedule_overlap', ({ pipeline }) => overlaps.inc({ pipeline }));
  followWaits(registry, events);
}

function countReturns(registry: Registry, events: EventBus, pipelines: readonly string[]): void {
  const released = counter(
    registry,
    metricNames.rowsReleased,
    'Records given back to SQS, to come again.',
    pipelines,
  );
  events.on('batch_loaded', (batch) => {
    if (batch.released > 0) released.inc({ pipeline: batch.pipeline }, batch.released);
  });
  events.on('batch_let_go', ({ pipeline, records }) => released.inc({ pipeline }, records));
  const lost = counter(
    registry,
    metricNames.receiptsLost,
    'Messages whose receipt ran out before it was spent: they come again.',
    pipelines,
  );
  events.on('receipt_lost', ({ pipeline, receipts }) => lost.inc({ pipeline }, receipts));
  const refused = counter(
    registry,
    metricNames.originsRefused,
    'Messages with an origin that no redrive of ours gave them: they count as new.',
    pipelines,
  );
  events.on('origin_refused', ({ pipeline, messages }) => refused.inc({ pipeline }, messages));
}

/** An outage is the process's, not one pipeline's: whoever waits for Postgres waits for all of them. */
function followWaits(registry: Registry, events: EventBus): void {
  const waits = plainCounter(
    registry,
    metricNames.outageWaits,
    'Waits for something that is away, by code of the error; each lasts up to 5 seconds.',
    ['code'],
  );
  events.on('outage_waiting', ({ code }) => waits.inc({ code }));
  const barred = gauge(
    registry,
    metricNames.intakeBarred,
    '1 while this process receives nothing, for that reason.',
    ['pipeline', 'reason'],
  );
  const barOf = new Map<string, IntakeBar>();
  events.on('intake', ({ pipeline, bar }) => {
    const before = barOf.get(pipeline);
    if (before !== undefined) barred.remove({ pipeline, reason: before });
    barOf.delete(pipeline);
    if (bar === null) return;
    barOf.set(pipeline, bar);
    barred.set({ pipeline, reason: bar }, 1);
  });
}

/** Counts answers of HTTP that are refusals. */
export function countRefusals(registry: Registry): (status: number) => void {
  const refused = plainCounter(
    registry,
    metricNames.httpRefused,
    'HTTP requests that were refused, by status.',
    ['status'],
  );
  for (const status of REFUSALS) refused.inc({ status }, 0);
  return (status) => {
    if (REFUSALS.has(status)) refused.inc({ status });
  };
}
