import { asPipelineError } from '../errors.js';
import type { Service, StopMode } from '../lifecycle.js';
import type { ScheduleLog } from '../load/schedules.js';
import { actionFor } from '../policy.js';
import type { Deployment } from './deployment.js';
import { type IngesterParts, type StopSignals, ingest } from './ingester.js';
import { startSchedule } from './schedule.js';

/** `continuous` cuts a run at the first of these, so that reports come regularly. */
const CONTINUOUS_RUN_MS = 60_000;
const CONTINUOUS_RUN_RECORDS = 100_000;
/** After a run that failed at once, the next one waits so long. */
const FAILED_RUN_PAUSE_MS = 5_000;

/** An ingester that runs by its schedule; `held` says how many batches it waits for. */
export interface IngestRole extends Service {
  /** Rejects with what no further run can mend, and with it the role ends. */
  readonly failed: Promise<never>;
}

/** Runs one pipeline by its schedule until stopped. */
export async function startIngest(
  deployment: Deployment,
  parts: IngesterParts,
  schedules: ScheduleLog,
): Promise<IngestRole> {
  const { clock, events, log } = deployment;
  const { pipeline } = parts;
  const soft = new AbortController();
  const hard = new AbortController();
  const stop: StopSignals = { soft: soft.signal, hard: hard.signal };
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined);
  const once = async (work: () => Promise<unknown>): Promise<boolean> => {
    let ok = false;
    try {
      const { pausedAt } = await schedules.read(pipeline.name);
      if (pausedAt !== null) return ok;
      await work();
      ok = true;
    } catch (error) {
      if (stop.soft.aborted) return ok;
      log.error({ event: 'run_error', pipeline: pipeline.name, error: asPipelineError(error) });
      if (actionFor(error) === 'stop') fail(error);
    } finally {
      events.emit('schedule_tick', { pipeline: pipeline.name, at: clock.now(), ok });
    }
    return ok;
  };
  const { schedule } = pipeline;
  const running =
    schedule === null || schedule.kind === 'continuous'
      ? runContinuously(deployment, parts, stop, once)
      : await startSchedule({
          pipeline: pipeline.name,
          schedule,
          book: schedules,
          tick: async () => {
            await once(() => ingest(parts, { trigger: 'schedule', mode: 'until_empty' }, stop));
          },
          clock,
          events,
        });
  return {
    failed,
    stop: async (mode: StopMode = 'soft') => {
      soft.abort();
      if (mode === 'hard') hard.abort();
      await running.stop();
    },
  };
}

/** One run after the other; the next begins to receive while the one before waits for its last batches. */
function runContinuously(
  { clock }: Deployment,
  parts: IngesterParts,
  stop: StopSignals,
  once: (work: () => Promise<unknown>) => Promise<boolean>,
): Service {
  const limits = { maxRecords: CONTINUOUS_RUN_RECORDS, maxMs: CONTINUOUS_RUN_MS };
  const finishing = new Set<Promise<boolean>>();
  const loop = async (): Promise<void> => {
    while (!stop.soft.aborted) {
      let received: (ok: true) => void = () => undefined;
      const hasReceived = new Promise<true>((resolve) => {
        received = resolve;
      });
      const request = {
        trigger: 'schedule',
        mode: 'continuous',
        ...limits,
        onReceived: () => received(true),
      } as const;
      const run = once(() => ingest(parts, request, stop));
      finishing.add(run);
      void run.then(() => finishing.delete(run));
      const ok = await Promise.race([hasReceived, run]);
      if (!ok) await clock.sleep(FAILED_RUN_PAUSE_MS, stop.soft);
    }
  };
  const looping = loop();
  return {
    stop: async () => {
      await looping;
      await Promise.all(finishing);
    },
  };
}
