import type { ErrorCode } from '../errors.js';
import type { EventBus, IntakeBar } from './events.js';
import type { Logger } from './logger.js';

/** An outage is said when it begins and then this often, not at each of its many tries. */
const OUTAGE_EVERY_MS = 30_000;
/** Of the messages that hold their groups so many are named, so that a line stays short. */
const BLOCKING_NAMED = 5;

/** Writes the events to the log: one line a batch, one a run, and one for whatever needs attention. */
export function logEvents(
  events: EventBus,
  log: Logger,
  options: { readonly remedyOf: (code: ErrorCode) => string; readonly now?: () => number },
): void {
  const { remedyOf, now = Date.now } = options;
  logBatches(events, log);
  events.on('run_finished', (run) => {
    const level = run.state === 'succeeded' ? 'info' : 'warn';
    const { pipeline, trigger, state, received, loaded, duplicates, quarantined, released } = run;
    const ms = run.finishedAt === null ? null : run.finishedAt - run.startedAt;
    log[level]({
      event: 'run_finished',
      pipeline,
      run_id: run.runId,
      trigger,
      state,
      received,
      loaded,
      duplicates,
      quarantined,
      released,
      ms,
    });
  });
  events.on('job_failed', ({ pipeline, stage, batchId, code, attempt, final }) => {
    const fields = { event: 'job_failed', pipeline, stage, batch_id: batchId, code, attempt, final };
    log[final ? 'error' : 'warn']({ ...fields, remedy: remedyOf(code) });
  });
  events.on('schedule_overlap', ({ pipeline }) => {
    log.info({ event: 'schedule_overlap', pipeline }, 'the tick before is still going');
  });
  events.on('intake', ({ pipeline, bar }) => {
    if (bar === null) log.info({ event: 'intake_open', pipeline }, 'receiving again');
    else log.warn({ event: 'intake_barred', pipeline, code: bar, remedy: barRemedy(bar, remedyOf) });
  });
  const saidAt = new Map<ErrorCode, number>();
  events.on('outage_waiting', ({ code }) => {
    if (now() - (saidAt.get(code) ?? -Infinity) < OUTAGE_EVERY_MS) return;
    saidAt.set(code, now());
    log.warn({ event: 'outage_waiting', code, remedy: remedyOf(code) });
  });
}

function barRemedy(bar: IntakeBar, remedyOf: (code: ErrorCode) => string): string {
  if (bar === 'queue_memory') return 'give Redis more memory or add workers; receiving goes on by itself';
  if (bar === 'backlog') return 'start or add transform and load workers; receiving goes on by itself';
  if (bar === 'workers_stopped')
    return '`maskline status` says why its workers have stopped it; receiving goes on by itself';
  return remedyOf(bar);
}

function logBatches(events: EventBus, log: Logger): void {
  events.on('batch_loaded', (batch) => {
    const { pipeline, received, loaded, duplicates, quarantined, released, bytes, copies, ms, codes } = batch;
    const { furtherRows } = batch;
    log.info({
      event: 'batch_loaded',
      pipeline,
      run_id: batch.runId,
      batch_id: batch.batchId,
      received,
      loaded,
      duplicates,
      quarantined,
      released,
      bytes,
      copies,
      ...(furtherRows === undefined ? {} : { further_rows: furtherRows }),
      ...(quarantined > 0 ? { codes } : {}),
      ms: { ...ms },
    });
  });
  events.on('batch_loaded', ({ pipeline, batchId, blocked = [] }) => {
    if (blocked.length === 0) return;
    const codes: { [code: string]: number } = {};
    for (const { code } of blocked) codes[code] = (codes[code] ?? 0) + 1;
    const ids = blocked.slice(0, BLOCKING_NAMED).map(({ messageId }) => messageId);
    log.warn(
      { event: 'groups_blocked', pipeline, batch_id: batchId, codes, ids },
      'their groups wait for these messages, which come again by themselves: mend the columns, the table or the ' +
        'masks, delete the message, or set `fifo: skip`',
    );
  });
  events.on('batch_masked', ({ pipeline, runId, batchId, rows, rejected, ms }) => {
    log.debug({ event: 'batch_masked', pipeline, run_id: runId, batch_id: batchId, rows, rejected, ms });
  });
  events.on('batch_let_go', ({ pipeline, runId, batchId, records }) => {
    log.warn({ event: 'batch_let_go', pipeline, run_id: runId, batch_id: batchId, records });
  });
  events.on('origin_refused', ({ pipeline, messages }) => {
    log.warn(
      { event: 'origin_refused', pipeline, messages },
      'not sent by `maskline dlq redrive`: taken as new',
    );
  });
  events.on('receipt_lost', ({ pipeline, receipts }) => {
    log.warn({ event: 'receipt_lost', pipeline, receipts });
  });
}
